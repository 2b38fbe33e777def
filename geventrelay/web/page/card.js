// One device on the page: name, state, buttons, diagram, curves, details.

import { Addresses } from "./addresses.js";
import { make, setAttribute, setClass, setHidden, setText } from "./dom.js";
import { Details } from "./details.js";
import { count, duration, exact, plural, rate } from "./numbers.js";
import { Diagram } from "./diagram.js";
import { Sparkline } from "./sparkline.js";
import { isUp, keptText } from "./labels.js";
import { Mesh } from "./mesh.js";
import { Watch } from "./watch.js";

export class Card {
  #state = make("span", { class: "state" });
  #about = make("p", { class: "about" });
  #failure = make("p", { class: "failure", hidden: true });
  #note = make("p", { class: "note", hidden: true });
  #denied = make("p", { class: "denied", hidden: true });
  #kept = make("p", { class: "kept", hidden: true });
  #diagram;
  #frame;
  #addresses;
  #mesh = null;
  #curves;
  #toggle;
  #drain;
  #actions;

  // clock(): the server's time in seconds. onAction(name, word, peer): a button was pressed; only "disconnect" is about
  // a peer. onToken(error): the token is needed.
  constructor(name, { clock, onAction, onToken }) {
    this.name = name;
    this.clock = clock;
    this.visible = false;
    this.#toggle = make("button", { type: "button" });
    this.#drain = make("button", { type: "button", class: "quiet", "aria-label": `Drain ${name}` }, "Drain");
    this.#actions = make("div", { class: "actions", role: "group", "aria-label": `Control ${name}`, hidden: true }, this.#toggle, this.#drain);
    this.#toggle.addEventListener("click", () => onAction(name, this.#toggle.dataset.word));
    this.#drain.addEventListener("click", () => onAction(name, "drain"));
    this.#curves = {
      received: new Sparkline("received", "Received", rate, name),
      dropped: new Sparkline("dropped", "Dropped", rate, name),
      held: new Sparkline("held", "Held", count, name),
    };
    this.details = new Details(name, clock, (peer) => onAction(name, "disconnect", peer), onToken);
    this.watch = new Watch(name, onToken);
    this.#addresses = new Addresses(name);
    this.#diagram = new Diagram(name);
    this.#frame = make("div", { class: "diagram-frame" }, this.#diagram.root);
    const heading = make("h2", { title: name }, name);
    this.root = make("article", { class: "card", "data-device": name, "aria-label": `Device ${name}` },
      make("div", { class: "card-head" }, heading, this.#state, this.#about, this.#actions),
      this.#failure, this.#note, this.#denied, this.#frame, this.#addresses.root, this.#kept,
      make("div", { class: "curves", role: "group", "aria-label": `Last 15 minutes of ${name}` }, ...Object.values(this.#curves).map((curve) => curve.root)),
      this.details.root, this.watch.root);
  }

  // The width that its diagram has, in pixels.
  get width() {
    return this.#frame.clientWidth;
  }

  // Show its figures. `width` is that of the diagram, in pixels.
  update(device, rates, width) {
    this.#diagram.update(device, rates, width);
    this.#addresses.update(device);
    this.#showMesh(device, rates, width);
    this.#curves.received.now(rates.get("received"));
    this.#curves.dropped.now(rates.get("missing"));
    this.#curves.held.now(device.held);
    const denied = deniedText(device);
    setHidden(this.#denied, denied === "");
    setText(this.#denied, denied);
    setClass(this.#denied, "now", rates.get("denied") > 0);
    const kept = keptText(device);
    setHidden(this.#kept, kept === "");
    setText(this.#kept, `Kept: ${kept}`);
    this.details.update(device);
    this.watch.update(device);
  }

  // Most devices are part of none, and have nothing of it on the page.
  #showMesh(device, rates, width) {
    if (device.backbone) {
      if (this.#mesh === null) {
        this.#mesh = new Mesh(this.name);
        this.#kept.after(this.#mesh.root);
      }
      this.#mesh.update(device, rates, width);
    } else if (this.#mesh !== null) {
      this.#mesh.root.remove();
      this.#mesh = null;
    }
  }

  // Fetch nothing more.
  close() {
    this.details.close();
    this.watch.close();
  }

  // Show its last 15 minutes, {received, dropped, lost, held}; `times` says when these were.
  curves(series, times) {
    const shown = { ...series, dropped: series.dropped.map((value, at) => value + series.lost[at]) };
    for (const [what, curve] of Object.entries(this.#curves)) curve.curve(shown[what], times);
  }

  // Show or hide the buttons: possible, the server has a token; allowed, this tab has it.
  allow(access) {
    setHidden(this.#actions, !access.allowed);
    this.details.allow(access);
    this.watch.allow(access);
  }

  // Show name, state, failure and buttons.
  showState(device) {
    setAttribute(this.root, "data-state", device.state);
    setText(this.#state, device.state);
    setText(this.#about, this.#aboutText(device));
    setHidden(this.#failure, device.failure === null);
    setText(this.#failure, failureText(device));
    const note = [...unconnected(device), uncutText(device)].filter((text) => text !== "").join("\n");
    setHidden(this.#note, note === "");
    setText(this.#note, note);
    const word = device.state === "paused" ? "resume" : "pause";
    setAttribute(this.#toggle, "data-word", word);
    setText(this.#toggle, word === "pause" ? "Pause" : "Resume");
    setAttribute(this.#toggle, "aria-label", `${word === "pause" ? "Pause" : "Resume"} ${this.name}`);
    this.#toggle.disabled = !isUp(device);
    // A device that waits for its next start can be stopped too.
    this.#drain.disabled = this.#toggle.disabled && device.next_start_in_s === null;
  }

  #aboutText(device) {
    const parts = [device.pattern];
    if (device.engine === "zmtp") parts.push("zmtp");
    if (isUp(device) && device.started_at !== null) parts.push(`up ${duration(this.clock() - device.started_at)}`);
    if (device.restarts > 0) parts.push(device.restarts === 1 ? "restarted once" : `restarted ${exact(device.restarts)} times`);
    return parts.join(" · ");
  }
}

// Where it connects to and is not connected, and why.
function unconnected(device) {
  if (!isUp(device)) return [];
  return device.sockets.flatMap((socket) => (socket.connecting ?? []).filter((one) => !one.connected && one.failure !== null).map((one) =>
    `${socket.key} is not connected to ${one.endpoint}: ${one.failure} (tried ${plural(one.tries, "time", "times")})`));
}

// Which connections were refused by the rules of who may connect, and why.
function deniedText(device) {
  return device.sockets.flatMap((socket) => {
    const reasons = Object.entries(socket.denied ?? {}).map(([reason, number]) => `${exact(number)} ${reason.replaceAll("_", " ")}`);
    return reasons.length ? [`denied at ${socket.key}: ${reasons.join(", ")}`] : [];
  }).join("\n");
}

// What the log says once as "uncut".
function uncutText(device) {
  return device.pumps.flatMap((pump) => pump.outlets).filter((outlet) => outlet.uncut > 0).map((outlet) =>
    `${plural(outlet.uncut, "message", "messages")} went whole to ${outlet.socket}: no topic stands before the first space. ` +
    "With --push-payload space, the relay cuts there all the same.").join("\n");
}

function failureText(device) {
  if (device.failure === null) return "";
  const next = device.next_start_in_s;
  // A device that is up again still shows its last failure.
  const lead = device.state === "failed" ? "Failed" : "Failed before";
  return `${lead}: ${device.failure}` + (next === null ? "" : ` (starts again in ${duration(next)})`);
}
