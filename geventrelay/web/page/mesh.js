// The mesh that a device is part of: all devices of its name, joined over NATS. A map, and a table with all figures.

import { make, setClass, setHidden, setText } from "./dom.js";
import { MeshMap } from "./meshmap.js";
import { bytes, count, exact, milliseconds, plural, rate } from "./numbers.js";
import { meshKey } from "./rates.js";
import { Table } from "./table.js";

// Each is [heading, what it is, text(other, rates)]. Those that no device has are left out.
const OF_WORK = new Set(["credit", "promised", "hungry"]);
const COLUMNS = [
  ["host", "where it is", (one) => one.host],
  ["silent", "how long ago it was heard of", (one) => secondsText(one.silent_s)],
  ["away", "how long the way to it and back takes", (one) => one.round_trip_s === null ? "?" : one.round_trip_s !== undefined ? milliseconds(one.round_trip_s) : null],
  ["to it", "messages a second that are sent to it", (one, rates) => rateText(rates, one.relay, "sent")],
  ["from it", "messages a second that come from it", (one, rates) => rateText(rates, one.relay, "received")],
  ["lost", "messages of it that did not come", (one) => exact(one.lost ?? 0)],
  ["peers", "how many programs are connected to it", (one) => peersText(one.about?.peers)],
  ["in", "messages a second that it gets from its own programs", (one) => perSecond(one.about?.received_per_s)],
  ["out", "messages a second that it sends to its own programs", (one) => perSecond(one.about?.sent_per_s)],
  ["waits there", "messages that wait there, for others and from others", (one) => waitsText(one.about)],
  ["credit", "how many messages it takes from here now, for workers of its own", (one) => number(one.credit)],
  ["promised", "how many messages are taken from it now, for workers here", (one) => number(one.promised)],
  ["hungry", "whether messages wait there for a worker", (one) => one.hungry === undefined ? null : one.hungry ? "yes" : "no"],
  ["NATS", "its server of NATS", (one) => one.about?.server],
  ["relay", "what tells this life of it from all others", (one) => one.relay],
  ["version", "of geventrelay", (one) => one.about?.version],
];

export class Mesh {
  #map;
  #table;
  #summary = make("p", { class: "mesh-summary muted" });
  #store = make("p", { class: "mesh-store muted", hidden: true });

  constructor(name) {
    this.#map = new MeshMap(name);
    this.#table = new Table("Other relays", [], "There is no other relay of this name.", name);
    this.root = make("details", { class: "mesh", open: true },
      make("summary", {}, "Mesh", make("span", { class: "visually-hidden" }, ` of ${name}`)),
      make("div", { class: "mesh-body" }, this.#summary, this.#store, this.#map.root, this.#table.root));
  }

  // Show the mesh that a device is part of. `width` is that of the map, in pixels.
  update(device, rates, width) {
    const { backbone } = device;
    setText(this.#summary, summary(backbone));
    setHidden(this.#store, !backbone.store);
    if (backbone.store) {
      setText(this.#store, storeText(backbone));
      setClass(this.#store, "refused", backbone.store.state === "refused");
    }
    this.#map.update(device, rates, width);
    const others = backbone.neighbours;
    const rows = others.map((one) => COLUMNS.map(([, , text]) => text(one, rates) ?? null));
    // A device without work knows of none, and what NATS keeps is not shared by credit.
    const hasWork = !backbone.store && device.pumps.some((pump) => pump.source === "backbone_work_in");
    const used = COLUMNS.map(([heading], column) =>
      column < 1 || ((hasWork || !OF_WORK.has(heading)) && rows.some((row) => row[column] !== null)));
    this.#table.setHeadings(COLUMNS.filter((_, column) => used[column]).map(([heading, title]) => [heading, title]));
    this.#table.show(rows.map((row) => row.filter((_, column) => used[column]).map((text) => text ?? "?")));
  }
}

// What this device itself is at, in a line.
function summary(backbone) {
  const parts = [];
  if (backbone.state === "connected") {
    parts.push(`connected to ${backbone.server}` + (backbone.round_trip_s != null ? `, ${milliseconds(backbone.round_trip_s)} away` : ""));
  } else {
    parts.push(`no connection to NATS${backbone.reason ? `: ${backbone.reason}` : ""}; trying again`);
  }
  if (backbone.waiting > 0) parts.push(`${plural(backbone.waiting, "message waits", "messages wait")} for others`);
  if (backbone.incoming > 0) parts.push(`${plural(backbone.incoming, "message", "messages")} from others ${backbone.incoming === 1 ? "waits" : "wait"} here`);
  if (backbone.hungry) parts.push("messages wait for a worker");
  if (backbone.credit > 0) parts.push(`others take ${count(backbone.credit)}`);
  if (backbone.promised > 0) parts.push(`${count(backbone.promised)} promised to others`);
  const dropped = Object.entries(backbone.dropped ?? {}).filter(([, messages]) => messages > 0);
  if (dropped.length) parts.push(`dropped ${dropped.map(([reason, messages]) => `${exact(messages)} ${reason.replaceAll("_", " ")}`).join(", ")}`);
  if (backbone.lost > 0) parts.push(`${exact(backbone.lost)} lost on the way here`);
  return parts.join(" · ");
}

// How the work stands that NATS keeps for this device, in a line.
function storeText(backbone) {
  const { store } = backbone;
  const parts = [];
  if (store.state === "storing") {
    parts.push("NATS keeps its work" + (store.replicas > 0 ? ` on ${plural(store.replicas, "server", "servers")}` : ""));
  } else if (store.state === "refused") {
    parts.push(`NATS does not keep its work: ${store.reason}; trying again`);
  } else {
    parts.push("NATS gives no answer, so that its work is not stored");
  }
  if (store.packs != null) parts.push(`it holds ${plural(store.packs, "pack", "packs")}` + (store.bytes != null ? `, ${bytes(store.bytes)}` : ""));
  parts.push(`${exact(backbone.stored)} stored from here`);
  if (store.waiting > 0) parts.push(`${exact(store.waiting)} on the way there`);
  parts.push(`${exact(backbone.fetched)} fetched`);
  if (backbone.redelivered > 0) parts.push(`${exact(backbone.redelivered)} redelivered`);
  if (backbone.stored_again > 0) parts.push(`${exact(backbone.stored_again)} returned`);
  if (backbone.malformed > 0) parts.push(`${exact(backbone.malformed)} not understood`);
  return parts.join(" · ");
}

export function secondsText(seconds) {
  return `${seconds.toFixed(1)}\u00a0s`;
}

function rateText(rates, relay, what) {
  return rates.known ? rate(rates.get(meshKey(relay, what))) : "–";
}

function perSecond(value) {
  return value === undefined ? null : rate(value);
}

function number(value) {
  return value === undefined || value === null ? null : exact(value);
}

// Such as "sub 3, pub 12".
export function peersText(peers) {
  if (peers === undefined) return null;
  return Object.entries(peers).map(([key, number]) => `${key} ${count(number)}`).join(", ") || "not seen";
}

function waitsText(about) {
  if (about === undefined || about === null) return null;
  return `${exact(about.waiting)} out, ${exact(about.incoming)} in`;
}
