// What is behind "Details" of a device: exact figures, who is connected, and what is subscribed to. Fetched when opened.

import { ApiError, devicePath, get } from "./api.js";
import { make, setHidden } from "./dom.js";
import { duration, exact, plural } from "./numbers.js";
import { addresses } from "./words.js";

const MOST_ROWS = 100;
const AGAIN_MS = 5000;

export class Details {
  #figures = make("div");
  #peers = make("div");
  #subscriptions = make("div");
  #message = make("p", { class: "muted", role: "status" });
  #timer = 0;

  // clock(): the server's time, in seconds.
  constructor(name, clock) {
    this.name = name;
    this.clock = clock;
    this.root = make("details", { class: "details" },
      make("summary", {}, "Details", make("span", { class: "visually-hidden" }, ` of ${name}`)),
      make("div", { class: "details-body" }, this.#message, this.#figures, this.#peers, this.#subscriptions));
    this.root.addEventListener("toggle", () => {
      clearTimeout(this.#timer);
      if (this.root.open) this.#load();
    });
  }

  get open() {
    return this.root.open;
  }

  // The figures that come with every event.
  update(device) {
    const rows = device.sockets.map((socket) => [
      socket.key, socket.type, addresses(socket).join(", ") || "none", exact(socket.peers), exact(socket.disconnects), exact(socket.retries),
      Object.entries(socket.handshake_failures).map(([reason, times]) => `${exact(times)} ${reason}`).join(", ") || "none",
    ]);
    const flows = device.pumps.flatMap((pump) => pump.outlets.map((outlet) => [
      `${pump.source} → ${outlet.socket}`, exact(pump.received.messages), exact(outlet.sent.messages), exact(outlet.sent.bytes),
      Object.entries(outlet.dropped).filter(([, messages]) => messages > 0).map(([reason, messages]) => `${exact(messages)} ${reason}`).join(", ") || "none",
      exact(outlet.held),
    ]));
    this.#figures.replaceChildren(
      table("Messages", ["way", "received", "sent", "bytes sent", "dropped", "held"], flows),
      table("Sockets", ["socket", "type", "addresses", "peers", "disconnects", "retries", "failed handshakes"], rows));
  }

  close() {
    clearTimeout(this.#timer);
  }

  async #load() {
    try {
      const peers = await get(devicePath(this.name, "peers"));
      this.#showPeers(peers.sockets);
      await this.#loadSubscriptions();
      setHidden(this.#message, true);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#message.textContent = error.message;
      setHidden(this.#message, false);
    }
    clearTimeout(this.#timer);
    if (this.root.open && this.root.isConnected) this.#timer = setTimeout(() => this.#load(), AGAIN_MS);
  }

  async #loadSubscriptions() {
    try {
      this.#showSubscriptions((await get(devicePath(this.name, "subscriptions"))).subscriptions);
    } catch (error) {
      // Only some patterns have subscriptions.
      if (error.status !== 404) throw error;
    }
  }

  #showPeers(sockets) {
    const rows = Object.entries(sockets).flatMap(([key, peers]) =>
      peers.map((peer) => [key, peer.address, duration(this.clock() - peer.since), peer.mechanism ?? ""]));
    this.#peers.replaceChildren(table("Peers", ["socket", "address", "connected for", "mechanism"], rows, "Nobody is connected."));
  }

  #showSubscriptions(subscriptions) {
    const rows = subscriptions.map((one) => [topicText(one), plural(one.count, "subscriber", "subscribers")]);
    this.#subscriptions.replaceChildren(table("Subscriptions", ["topic", "who"], rows, "Nobody subscribes."));
  }
}

function topicText({ topic, hex }) {
  if (hex === "") return "(everything)";
  // A topic that is no text is shown by its bytes.
  return /[\u0000-\u001f\u007f-\u009f\ufffd]/.test(topic ?? "\ufffd") ? `0x${hex}` : topic;
}

function table(caption, headings, rows, none = "") {
  const shown = rows.slice(0, MOST_ROWS);
  const more = rows.length - shown.length;
  const body = shown.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))));
  return make("div", { class: "table", role: "region", "aria-label": caption, tabindex: "0" },
    make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...headings.map((heading) => make("th", { scope: "col" }, heading)))),
      make("tbody", {}, ...body)),
    ...(rows.length === 0 ? [make("p", { class: "muted" }, none)] : []),
    ...(more > 0 ? [make("p", { class: "muted" }, `and ${exact(more)} more`)] : []));
}

