// The table of the peers of a device. With engine zmtp it has all of each, and a button that disconnects it.

import { bytes, duration, exact, milliseconds, plural, rate } from "./numbers.js";
import { topicText } from "./labels.js";
import { Table } from "./table.js";
import { columnsOf } from "./values.js";

const ALWAYS = ["socket", "address", "connected for"];
const LAST = ["user", "mechanism", "certain"];
// What "waiting" and the rates say already.
const SHOWN_OTHERWISE = ["waiting", "waiting bytes", "received", "bytes received", "delivered"];

export class PeersTable {
  #table;
  #allowed = false;

  // clock(): the server's time, in seconds. onDisconnect(peer): the button of a peer was pressed.
  constructor(name, clock, onDisconnect) {
    this.clock = clock;
    this.onDisconnect = onDisconnect;
    this.#table = new Table("Peers", [...ALWAYS, ...LAST], "No peer is connected.", name);
    this.root = this.#table.root;
  }

  // Whether a peer may be disconnected.
  allow(allowed) {
    this.#allowed = allowed;
  }

  // Show the answer of /api/devices/NAME/peers.
  show(sockets) {
    const rows = Object.entries(sockets).flatMap(([key, some]) => some.map((peer) => [key, peer]));
    const exactly = rows.some(([, peer]) => peer.id !== undefined);
    const columns = exactly ? this.#columns() : [];
    this.#table.setHeadings([...ALWAYS, ...columns.map(([heading, title, , name]) => [heading, title, name]), ...LAST]);
    this.#table.show(rows.map(([key, peer]) => [
      key, peer.address, duration(this.clock() - peer.since),
      ...columns.map(([, , cell]) => (peer.id === undefined ? "–" : cell(peer))),
      peer.user || (peer.user === "" ? "none" : "–"), peer.mechanism ?? "", peer.certain === false ? "no" : "yes",
    ]));
  }

  // [heading, what it is, cell(peer)] of what only engine zmtp knows.
  #columns() {
    const numbers = columnsOf("peer").filter(([heading]) => !SHOWN_OTHERWISE.includes(heading));
    const button = (peer) => ({ text: "Disconnect", label: `Disconnect ${peer.address}`, press: () => this.onDisconnect(peer) });
    return [
      ...(this.#allowed ? [["action", "ends the connection of the peer, which may come again", button]] : []),
      ["type", "the type of its socket, and the version of ZMTP that is spoken with it", (peer) => `${peer.type ?? "unknown"}, ${peer.zmtp}`],
      ["in", "messages that come from it", (peer) => speed(peer.received_per_s, peer.received.messages)],
      ["out", "messages that are delivered to it", (peer) => speed(peer.delivered_per_s, peer.delivered)],
      ["waits", "what waits for it, and for how long the oldest has", waits],
      ...numbers,
      ["routing id", "what it calls itself", (peer) => peer.routing_id || "none"],
      ["topics", "the last ones that it has subscribed to", topics, "whole"],
    ];
  }
}

function speed(perS, all) {
  return perS === null || perS === undefined ? exact(all) : `${rate(perS)}, ${exact(all)}`;
}

function waits(peer) {
  if (peer.waiting === 0) return "nothing";
  const age = peer.oldest_s < 1 ? milliseconds(peer.oldest_s) : duration(peer.oldest_s);
  return `${plural(peer.waiting, "message", "messages")}, ${bytes(peer.waiting_bytes)}, ${age}`;
}

function topics(peer) {
  const more = peer.subscriptions - peer.topics.length;
  return peer.topics.map(topicText).join(", ") + (more > 0 ? ` and ${exact(more)} more` : "");
}
