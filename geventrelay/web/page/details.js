// The "Details" of a device: exact figures, connected peers, and subscriptions. Fetched when opened.

import { ApiError, devicePath, get } from "./api.js";
import { make, setHidden, setText } from "./dom.js";
import { clockTime, exact, plural } from "./numbers.js";
import { PeersTable } from "./peers.js";
import { Subscribers } from "./subscribers.js";
import { Table } from "./table.js";
import { Topics } from "./topics.js";
import { addresses, topicText } from "./labels.js";
import { NOT_SEEN, columnsOf } from "./values.js";

const AGAIN_MS = 5000;

export class Details {
  #messages;
  #sockets;
  #connecting;
  #peers;
  #subscriptions;
  #subscribers;
  #topics;
  #message = make("p", { class: "muted", role: "status", hidden: true });
  #device = null;
  #timer = 0;

  // clock(): the server's time, in seconds. onDisconnect(peer): ends its connection, if that is confirmed. onToken(error):
  // the token is needed, or was refused.
  constructor(name, clock, onDisconnect, onToken) {
    this.name = name;
    this.#messages = new Table("Messages", [], "No traffic goes through it.", name);
    this.#sockets = new Table("Sockets", [], "It has no sockets.", name);
    this.#connecting = new Table("Connections that it makes", ["socket", "endpoint", "connected", "last failure", "tries", "waits"], "It makes none.", name);
    this.#peers = new PeersTable(name, clock, async (peer) => {
      await onDisconnect(peer);
      await this.#load();
    });
    this.#subscriptions = new Table("Subscriptions", ["topic", "who"], "No peer subscribes.", name);
    this.#subscribers = new Subscribers(name, clock);
    this.#topics = new Topics(name, clock, onToken);
    this.root = make("details", { class: "details" },
      make("summary", {}, "Details", make("span", { class: "visually-hidden" }, ` of ${name}`)),
      make("div", { class: "details-body" }, this.#message, this.#messages.root, this.#sockets.root, this.#connecting.root, this.#peers.root, this.#subscriptions.root,
        this.#subscribers.root, this.#topics.root));
    this.root.addEventListener("toggle", () => {
      this.close();
      if (!this.root.open) return;
      this.#subscribers.look(true);
      this.#topics.look(true);
      this.#show();
      this.#load();
    });
  }

  // Show the figures that come with every event.
  update(device) {
    this.#device = device;
    this.#subscribers.update(device);
    this.#topics.update(device);
    if (this.root.open) this.#show();
  }

  // Whether this tab may disconnect a peer, and see last values.
  allow(access) {
    this.#peers.allow(access.allowed);
    this.#topics.allow(access);
    if (this.root.open) this.#load();
  }

  // Stop fetching.
  close() {
    clearTimeout(this.#timer);
    this.#subscribers.look(false);
    this.#topics.close();
  }

  #show() {
    if (this.#device === null) return;
    const every = this.#device.pumps.flatMap((pump) => pump.outlets);
    // What no outlet has, as deliveries with engine libzmq, takes no room.
    const outlets = columnsOf("outlet").filter(([, , text]) => every.some((outlet) => text(outlet) !== NOT_SEEN));
    this.#messages.setHeadings(["way", "received", ...outlets]);
    this.#messages.show(this.#device.pumps.flatMap((pump) => pump.outlets.map((outlet) => [
      `${pump.source} → ${outlet.socket}`, exact(pump.received.messages), ...outlets.map(([, , text]) => text(outlet)),
    ])));
    const sockets = columnsOf("socket");
    this.#sockets.setHeadings(["socket", "type", ["addresses", "where it listens, and → where it connects to", "whole"], ...sockets]);
    this.#sockets.show(this.#device.sockets.map((socket) => [
      socket.key, socket.type, addresses(socket).join("\n") || "none", ...sockets.map(([, , text]) => text(socket)),
    ]));
    const connecting = this.#device.sockets.flatMap((socket) => (socket.connecting ?? []).map((one) => [socket.key, one]));
    if (connecting.length) this.#connecting.show(connecting.map(([key, one]) => [
      key, one.endpoint, one.connected ? "yes" : "no",
      one.failure === null ? "none" : `${one.failure} (${clockTime(one.failed_at)})`,
      exact(one.tries), plural(one.waiting, "message", "messages"),
    ]));
  }

  async #load() {
    try {
      const peers = await get(devicePath(this.name, "peers"));
      this.#peers.show(peers.sockets);
      await this.#loadSubscriptions();
      setHidden(this.#message, true);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(this.#message, error.message);
      setHidden(this.#message, false);
    }
    clearTimeout(this.#timer);
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
