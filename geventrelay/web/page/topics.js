// The busiest topics of a device that counts them: sorted by the server, asked for while they are looked at.

import { ApiError, devicePath, get } from "./api.js";
import { make, setAttribute, setHidden, setText } from "./dom.js";
import { LastValue } from "./last_value.js";
import { messageTopic } from "./labels.js";
import { MiniCurve } from "./minicurve.js";
import { byteRate, bytes, count, duration, exact, plural, rate } from "./numbers.js";
import { Poll } from "./poll.js";
import { losing, SortedTable, textual } from "./sorted.js";

const EVERY_MS = 2000;
const TYPING_MS = 400;
const FEW = 100;
// What a browser can show without keeping its reader waiting.
const MANY = 1000;

export class Topics {
  #name;
  #clock;
  #onToken;
  #poll = new Poll((current) => this.#load(current), EVERY_MS);
  #table;
  #sort = "rate";
  #limit = FEW;
  #curves = new Map();
  #lasts = new Map();
  #keeps = false;
  #open = false;
  #access = { possible: false, allowed: false };
  #device = null;
  #typing = 0;
  #prefix = make("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "all" });
  #summary = make("p", { class: "topics-summary muted" });
  #more = make("button", { type: "button", hidden: true });

  // clock(): the server's time, in seconds. onToken(error): the token is needed, or was refused.
  constructor(name, clock, onToken) {
    [this.#name, this.#clock, this.#onToken] = [name, clock, onToken];
    this.#table = new SortedTable({
      caption: "Topics", of: name, columns: this.#columns(), sorted: this.#sort, none: "No topic was counted.",
      onSort: (key) => this.#sortBy(key),
    });
    const field = make("label", { class: "topics-prefix" }, make("span", {}, "Topic begins with"), this.#prefix);
    this.root = make("div", { class: "topics", hidden: true }, make("div", { class: "topics-head" }, field, this.#summary), this.#table.root, this.#more);
    this.#prefix.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#again(), TYPING_MS);
    });
    this.#more.addEventListener("click", () => {
      this.#limit = MANY;
      this.#again();
    });
  }

  // Take what the events say: whether it counts topics, and whether it keeps last values.
  update(device) {
    this.#device = device;
    setHidden(this.root, !device.topics);
    this.#keeps = device.pumps.some((pump) => pump.outlets.some(({ last_values: values }) => typeof values?.kept === "number"));
    this.#ask();
  }

  // Whether it is looked at.
  look(open) {
    this.#open = open;
    this.#ask();
  }

  allow(access) {
    const changed = access.possible !== this.#access.possible || access.allowed !== this.#access.allowed;
    this.#access = access;
    if (changed) for (const last of this.#lasts.values()) last.load();
  }

  close() {
    clearTimeout(this.#typing);
    this.look(false);
  }

  #ask() {
    const wanted = this.#open && Boolean(this.#device?.topics);
    if (wanted === this.#poll.wanted) return;
    if (wanted) this.#poll.start();
    else this.#poll.stop();
  }

  // With another question than before.
  #again() {
    if (this.#poll.wanted) this.#poll.start();
  }

  #sortBy(key) {
    this.#sort = key;
    this.#table.mark(key);
    this.#again();
  }

  async #load(current) {
    const query = new URLSearchParams({ sort: this.#sort, limit: this.#limit });
    if (this.#prefix.value !== "") query.set("prefix", this.#prefix.value);
    try {
      const { sockets } = await get(`${devicePath(this.#name, "topics")}?${query}`);
      if (current()) this.#show(Object.entries(sockets));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (current()) setText(this.#summary, error.message);
    }
  }

  #show(sockets) {
    const rows = sockets.flatMap(([key, { topics }]) => topics.map((one) => [`${key} ${one.hex}`, one]));
    for (const of of [this.#curves, this.#lasts]) {
      const keys = new Set(rows.map(([key]) => key));
      for (const key of of.keys()) if (!keys.has(key)) of.delete(key);
    }
    for (const [key, one] of rows) {
      if (!this.#curves.has(key)) this.#curves.set(key, new MiniCurve());
      this.#curves.get(key).add(one.messages_per_s);
      one.key = key;
    }
    this.#table.show(rows);
    setText(this.#summary, sockets.map(([, one]) => summary(one, rows.length)).join(" · ") || "The device is not up.");
    const all = sockets.reduce((sum, [, one]) => sum + one.counted, 0);
    setHidden(this.#more, this.#limit === MANY || rows.length < FEW || all <= rows.length);
    setText(this.#more, `Show ${exact(Math.min(all, MANY))}`);
  }

  #columns() {
    return [
      { key: "topic", heading: "Topic", sort: true, fill: (cell, one, row) => this.#fillTopic(cell, one, row) },
      { key: "rate", heading: "Rate", title: "messages of late: what came 10 s ago counts about a third", sort: true, figure: true, fill: (cell, one) => this.#fillRate(cell, one) },
      { key: "messages", heading: "Messages", title: "since the device started", sort: true, figure: true, fill: textual((one) => atMost(one.messages, one.error), messagesTitle) },
      { key: "bytes", heading: "Bytes", sort: true, figure: true, fill: textual((one) => bytes(one.bytes), (one) => `${exact(one.bytes)} bytes, ${byteRate(one.bytes_per_s)} of late`) },
      { key: "last", heading: "Last", title: "how long ago the last one was published", sort: true, figure: true, fill: textual((one) => (one.last_seen === null ? "–" : duration(this.#clock() - one.last_seen))) },
      { key: "lost", heading: "Lost", title: "deliveries that subscribers lost", sort: true, figure: true, fill: losing((one) => atMost(one.lost, one.lost_error), lostTitle, (one) => one.lost > 0) },
      { key: "subscribers", heading: "Subscribers", title: "that get it now", figure: true, fill: textual((one) => exact(one.subscribers)) },
    ];
  }

  // The topic itself; where last values are kept, a button that shows that of the topic.
  #fillTopic(cell, one, row) {
    const text = messageTopic(one);
    if (!this.#keeps) {
      setText(cell, text);
      return;
    }
    let button = cell.querySelector("button");
    if (button === null) {
      button = make("button", { type: "button", class: "row-open", "aria-expanded": "false" }, make("span", {}));
      cell.replaceChildren(button);
      button.addEventListener("click", () => this.#toggle(button, one, row));
    }
    setText(button.firstChild, text);
    setAttribute(button, "title", `the last value of ${text}`);
  }

  #toggle(button, one, row) {
    const before = this.#lasts.get(one.key);
    setAttribute(button, "aria-expanded", before === undefined);
    if (before !== undefined) {
      this.#lasts.delete(one.key);
      before.root.remove();
      return;
    }
    const last = new LastValue(this.#name, one, { access: () => this.#access, onToken: this.#onToken, device: () => this.#device });
    this.#lasts.set(one.key, last);
    row.append(last.root);
    last.load();
  }

  #fillRate(cell, one) {
    const curve = this.#curves.get(one.key);
    if (curve.root.parentNode !== cell) cell.replaceChildren(make("span", {}), curve.root);
    setText(cell.firstChild, one.messages > 0 ? rate(one.messages_per_s) : "–");
    setAttribute(cell, "title", `${exact(one.messages_per_s)} messages/s of late`);
  }
}

function atMost(number, error) {
  return (error > 0 ? "≤ " : "") + count(number);
}

function messagesTitle({ messages, error }) {
  if (messages === 0) return "it is counted no more: other topics are busier";
  return error > 0 ? `from ${exact(messages - error)} to ${exact(messages)}: it was not counted all the time` : exact(messages);
}

function lostTitle({ lost, lost_error: error }) {
  return error > 0 ? `from ${exact(lost - error)} to ${exact(lost)}` : exact(lost);
}

// `shown` rows of a socket's topics are there.
function summary({ counted, lost, most_error: error }, shown) {
  const told = [shown < counted ? `${exact(shown)} of ${exact(counted)} topics` : plural(counted, "topic", "topics")];
  if (lost > 0) told.push(`${plural(lost, "delivery", "deliveries")} lost in all`);
  if (error > 0) told.push(`≤ is at most ${exact(error)} too high`);
  return told.join(" · ");
}
