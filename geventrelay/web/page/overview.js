// All devices together: what comes in, what goes out, what is lost; and the line about the server itself.

import { byId, make, setAttribute, setClass, setHidden, setText } from "./dom.js";
import { count, duration, exact, milliseconds, rate } from "./numbers.js";

const TILES = [
  ["received", "Received", "What all devices read from their sockets"],
  ["sent", "Sent", "What all devices sent; more than they received where each message goes to two sockets"],
  ["dropped", "Dropped", "Messages that could not be sent. Lost is what single peers missed of those that were sent (engine zmtp)"],
  ["held", "Held", "Messages that were read, and that their destinations do not take"],
];

const SERVER = ["Version", "Up", "Process", "Hub delay"];

export class Overview {
  #tiles = new Map();
  #server = new Map();

  constructor() {
    for (const [key, name, meaning] of TILES) {
      const tile = { now: make("span", { class: "tile-now" }, "–"), total: make("span", { class: "tile-total" }) };
      tile.root = make("div", { class: `tile ${key}`, role: "group", title: meaning },
        make("span", { class: "tile-name" }, name), tile.now, tile.total);
      this.#tiles.set(key, tile);
      byId("overview").append(tile.root);
    }
    for (const name of SERVER) {
      const value = make("dd", {}, "–");
      this.#server.set(name, value);
      byId("server").append(make("div", {}, make("dt", {}, name), value));
    }
  }

  update(data, rates, clock) {
    for (const key of ["received", "sent", "dropped"]) {
      let [perSecond, total, known] = [0, 0, rates.size === 0];
      for (const one of rates.values()) {
        known ||= one.known;
        perSecond += one.get(key);
        total += one.total(key);
      }
      const tile = this.#tiles.get(key);
      // A rate needs two events.
      setText(tile.now, known ? rate(perSecond) : "–");
      const lost = key === "dropped" ? sumOf(rates, "lost") : 0;
      setText(tile.total, `${count(total)} in all` + (lost > 0 ? `, ${count(lost)} lost` : ""));
      setAttribute(tile.root, "aria-label",
        `${key}: ${exact(perSecond)} a second, ${exact(total)} in all` + (lost > 0 ? `; ${exact(lost)} lost by subscribers and other peers` : ""));
      setClass(tile.root, "some", total > 0);
      setClass(tile.root, "now", perSecond > 0);
    }
    const held = this.#tiles.get("held");
    const waiting = data.devices.reduce((sum, device) => sum + device.held, 0);
    setText(held.now, count(waiting));
    setText(held.total, `${waiting === 1 ? "message" : "messages"} now`);
    this.#showServer(data.server, clock);
  }

  #showServer(server, clock) {
    setText(this.#server.get("Version"), `${server.geventrelay}, ${server.burst} burst`);
    setText(this.#server.get("Up"), duration(clock() - server.started_at) + (server.ready ? "" : " (not ready)"));
    setText(this.#server.get("Process"), String(server.pid));
    setText(this.#server.get("Hub delay"), milliseconds(server.hub_delay_s));
  }
}

function sumOf(rates, key) {
  return [...rates.values()].reduce((sum, one) => sum + one.total(key), 0);
}

// Whether the figures are live: shown as text, and in grey if they are not.
export function showConnection(state, text) {
  setAttribute(byId("connection"), "data-connection", state);
  setText(byId("connection-text"), text);
  setClass(document.body, "stale", state !== "live");
}

let announced = "";

// For screen readers: changes of state, and nothing that changes every second.
export function announce(text) {
  // A screen reader would not read the same words again.
  announced = announced === text ? `${text}\u00a0` : text;
  setText(byId("announcer"), announced);
}

export function notify(kind, text, lines = []) {
  const list = lines.length ? [make("ul", {}, ...lines.map((line) => make("li", {}, line)))] : [];
  setAttribute(byId("notice"), "data-kind", kind);
  byId("notice-text").replaceChildren(make("p", {}, text), ...list);
  setHidden(byId("notice"), false);
}

export function dismiss() {
  setHidden(byId("notice"), true);
}
