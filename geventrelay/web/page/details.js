// The "Details" of a device: exact figures, connected peers, and subscriptions. Fetched when opened.

import { ApiError, devicePath, get } from "./api.js";
import { make, setHidden, setText } from "./dom.js";
import { duration, exact, plural } from "./numbers.js";
import { Table } from "./table.js";
import { addresses } from "./labels.js";
import { columnsOf } from "./values.js";

const AGAIN_MS = 5000;

export class Details {
  #messages;
  #sockets;
  #peers;
  #subscriptions;
  #message = make("p", { class: "muted", role: "status", hidden: true });
  #device = null;
  #timer = 0;

  // clock(): the server's time, in seconds.
  constructor(name, clock) {
    this.name = name;
    this.clock = clock;
    this.#messages = new Table("Messages", [], "No traffic goes through it.", name);
    this.#sockets = new Table("Sockets", [], "It has no sockets.", name);
    this.#peers = new Table("Peers", ["socket", "address", "connected for", "mechanism", "certain"], "No peer is connected.", name);
    this.#subscriptions = new Table("Subscriptions", ["topic", "who"], "No peer subscribes.", name);
    this.root = make("details", { class: "details" },
      make("summary", {}, "Details", make("span", { class: "visually-hidden" }, ` of ${name}`)),
      make("div", { class: "details-body" }, this.#message, this.#messages.root, this.#sockets.root, this.#peers.root, this.#subscriptions.root));
    this.root.addEventListener("toggle", () => {
      this.close();
      if (!this.root.open) return;
      this.#show();
      this.#load();
    });
  }

  // Show the figures that come with every event.
  update(device) {
    this.#device = device;
    if (this.root.open) this.#show();
  }

  // Stop fetching.
  close() {
    clearTimeout(this.#timer);
  }

  #show() {
    if (this.#device === null) return;
    const outlets = columnsOf("outlet");
    this.#messages.setHeadings(["way", "received", ...outlets]);
    this.#messages.show(this.#device.pumps.flatMap((pump) => pump.outlets.map((outlet) => [
      `${pump.source} → ${outlet.socket}`, exact(pump.received.messages), ...outlets.map(([, , text]) => text(outlet)),
    ])));
    const sockets = columnsOf("socket");
    this.#sockets.setHeadings(["socket", "type", ["addresses", "where it listens, and → where it connects to", "whole"], ...sockets]);
    this.#sockets.show(this.#device.sockets.map((socket) => [
      socket.key, socket.type, addresses(socket).join("\n") || "none", ...sockets.map(([, , text]) => text(socket)),
    ]));
  }

  async #load() {
    try {
      const peers = await get(devicePath(this.name, "peers"));
      this.#peers.show(Object.entries(peers.sockets).flatMap(([key, some]) =>
        some.map((peer) => [key, peer.address, duration(this.clock() - peer.since), peer.mechanism ?? "", peer.certain === false ? "no" : "yes"])));
      await this.#loadSubscriptions();
      setHidden(this.#message, true);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(this.#message, error.message);
      setHidden(this.#message, false);
    }
    this.close();
    if (this.root.open && this.root.isConnected) this.#timer = setTimeout(() => this.#load(), AGAIN_MS);
  }

  async #loadSubscriptions() {
    // Only an XPUB with an XSUB has subscriptions; for other devices the request would be an error.
    const types = new Set(this.#device?.sockets.filter((socket) => socket.key !== "tap").map((socket) => socket.type));
    if (!types.has("XPUB") || !types.has("XSUB")) return;
    const { subscriptions } = await get(devicePath(this.name, "subscriptions"));
    this.#subscriptions.show(subscriptions.map((one) => [topicText(one), plural(one.count, "subscriber", "subscribers")]));
  }
}

function topicText({ topic, hex }) {
  if (hex === "") return "(everything)";
  // A topic that is not text is shown as bytes.
  return /[\u0000-\u001f\u007f-\u009f\ufffd]/.test(topic ?? "\ufffd") ? `0x${hex}` : topic;
}
