// What each subscriber of a device got and lost, and those that have left and had lost something (engine zmtp).

import { ApiError, devicePath, get } from "./api.js";
import { Order } from "./columns.js";
import { make, setHidden, setText } from "./dom.js";
import { messageTopic, topicText } from "./labels.js";
import { bytes, clockTime, count, duration, exact, plural } from "./numbers.js";
import { Poll } from "./poll.js";
import { losing, SortedTable, textual } from "./sorted.js";
import { dropName } from "./values.js";

const EVERY_MS = 5000;
const MOST = 100;
// Topics of one subscriber that are shown; the tooltip has more.
const FEW = 4;
const SOME = 20;

export class Subscribers {
  #name;
  #clock;
  #poll = new Poll((current) => this.#load(current), EVERY_MS);
  #order = new Order();
  #columns;
  #there;
  #gone;
  #rows = [];
  #message = make("p", { class: "muted" });
  #device = null;
  #open = false;

  // clock(): the server's time, in seconds.
  constructor(name, clock) {
    [this.#name, this.#clock] = [name, clock];
    this.#columns = this.#columnsOf();
    this.#there = new SortedTable({
      caption: "What subscribers lost", of: name, columns: this.#columns, sorted: "lost", none: "No peer subscribes.",
      onSort: (key) => this.#sortBy(key),
    });
    const of = (key) => ({ ...this.#columns.find((one) => one.key === key), sort: false });
    const left = { key: "left", heading: "Left at", fill: textual((one) => clockTime(one.left_at)) };
    this.#gone = new SortedTable({
      caption: "Subscribers that have left and had lost something", of: name, none: "",
      columns: [of("address"), left, of("lost"), of("why"), of("topics")],
    });
    this.#order.column = this.#columns.find(({ key }) => key === "lost");
    this.#order.falling = true;
    this.root = make("div", { class: "subscribers", hidden: true }, this.#message, this.#there.root, this.#gone.root);
    setHidden(this.#gone.root, true);
  }

  // Take what the events say: whether it has subscribers, and an engine that knows them.
  update(device) {
    this.#device = device;
    setHidden(this.root, !tells(device));
    this.#ask();
  }

  // Whether it is looked at.
  look(open) {
    this.#open = open;
    this.#ask();
  }

  #ask() {
    const wanted = this.#open && this.#device !== null && tells(this.#device);
    if (wanted === this.#poll.wanted) return;
    if (wanted) this.#poll.start();
    else this.#poll.stop();
  }

  async #load(current) {
    try {
      const answer = await get(`${devicePath(this.#name, "subscribers")}?limit=${MOST}`);
      if (current()) this.#take(answer);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (current()) setText(this.#message, error.message);
    }
  }

  #take({ sockets, by_topic: byTopic }) {
    const all = Object.entries(sockets);
    const of = (key, one, at) => [`${key} ${one.id ?? one.address} ${at ?? ""}`, { ...one, byTopic }];
    this.#rows = all.flatMap(([key, { peers }]) => peers.map((one) => of(key, one)));
    this.#show();
    // The last one first.
    const gone = all.flatMap(([key, one]) => one.gone.map((peer) => of(key, peer, peer.left_at))).reverse();
    this.#gone.show(gone);
    setHidden(this.#gone.root, gone.length === 0);
    const total = all.reduce((sum, [, one]) => sum + one.total, 0);
    const [left, lost] = ["gone_total", "gone_lost"].map((what) => all.reduce((sum, [, one]) => sum + one[what], 0));
    const told = [
      total > this.#rows.length && `${exact(this.#rows.length)} of ${exact(total)} subscribers, those that lost most`,
      left > 0 && `${plural(left, "subscriber has left that had", "subscribers have left that had")} lost something: ${plural(lost, "delivery", "deliveries")}`,
      !byTopic && "The option topics would tell which topics were lost.",
    ];
    setText(this.#message, told.filter(Boolean).join(" · "));
  }

  #sortBy(key) {
    const column = this.#columns.find((one) => one.key === key);
    [this.#order.column, this.#order.falling] = [column, Boolean(column.figure)];
    this.#there.mark(key);
    this.#show();
  }

  #show() {
    const ordered = this.#order.sorted(this.#rows.map(([key, one]) => ({ key, one })));
    this.#there.show(ordered.map(({ key, one }) => [key, one]));
  }

  #columnsOf() {
    const all = [
      { key: "address", heading: "Subscriber", sort: true, by: (one) => one.address, fill: textual(whose, (one) => `id ${one.id}`) },
      { key: "since", heading: "For", title: "how long it has been connected", sort: true, figure: true, by: (one) => -(one.since ?? Infinity),
        fill: textual((one) => (one.since === null ? "–" : duration(this.#clock() - one.since))) },
      { key: "wants", heading: "Wants", title: "the last topics that it has subscribed to", fill: textual(wants) },
      { key: "delivered", heading: "Delivered", sort: true, figure: true, by: (one) => one.delivered, fill: textual((one) => count(one.delivered), (one) => exact(one.delivered)) },
      { key: "waits", heading: "Waits", title: "what waits for it", sort: true, figure: true, by: (one) => one.waiting, fill: textual(waits) },
      { key: "lost", heading: "Lost", sort: true, figure: true, by: lostOf, fill: losing((one) => count(lostOf(one)), (one) => exact(lostOf(one)), (one) => lostOf(one) > 0) },
      { key: "why", heading: "Why", fill: textual(why) },
      { key: "topics", heading: "Lost by topic", title: "≤ is a number that may be too high", fill: textual((one) => byTopicText(one, FEW), (one) => byTopicText(one, SOME)) },
    ];
    return all.map((column) => ({ ...column, value: ({ one }) => column.by?.(one) }));
  }
}

// Whether a device has subscribers, and an engine that tells what they lost.
function tells(device) {
  return device.engine === "zmtp" && device.sockets.some(({ key, type }) => key !== "tap" && (type === "PUB" || type === "XPUB"));
}

function whose(one) {
  const user = one.user ? `, ${one.user}` : "";
  return one.address + user + (one.connected === false && one.left_at === undefined ? " (away)" : "");
}

function wants(one) {
  const more = (one.subscriptions ?? 0) - one.topics.length;
  return one.topics.map(topicText).join(", ") + (more > 0 ? ` and ${exact(more)} more` : "");
}

function waits(one) {
  return one.waiting === 0 ? "0" : `${count(one.waiting)}, ${bytes(one.waiting_bytes)}`;
}

function lostOf({ lost }) {
  return Object.values(lost).reduce((sum, number) => sum + number, 0);
}

function why({ lost }) {
  return Object.entries(lost).filter(([, number]) => number > 0).map(([reason, number]) => `${dropName(reason)} ${exact(number)}`).join(", ");
}

function byTopicText(one, most) {
  if (!one.byTopic) return lostOf(one) > 0 ? "not counted" : "";
  const told = one.lost_topics.slice(0, most).map((topic) => `${messageTopic(topic)} ${topic.error > 0 ? "≤ " : ""}${exact(topic.lost)}`);
  const more = one.lost_topics.length - told.length;
  return told.join(", ") + (more > 0 ? ` and ${plural(more, "topic", "topics")} more` : "");
}
