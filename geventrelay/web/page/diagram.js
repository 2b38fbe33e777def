// A device as a diagram: its sockets, and arrows in the direction of traffic, with rates and losses.

import { draw, setAttribute, setClass, setText } from "./dom.js";
import { fit, font, head, showFlow } from "./drawing.js";
import { layout, shapeOf } from "./layout.js";
import { byteRate, count, exact, plural, rate } from "./numbers.js";
import { counterKey } from "./rates.js";
import { addresses, cargo, isUp, peersName, peersText } from "./labels.js";
import { dropMeaning, dropName } from "./values.js";

const PLUGS = 6;

// An address, without its transport if it fits only then.
function fitAddress(text, width, type) {
  const short = text.replace("tcp://", "");
  return fit(fit(text, width, type) === text ? text : short, width, type);
}

export class Diagram {
  #shape = "";
  #updates = [];

  constructor(name) {
    // It is drawn when it comes to the screen.
    this.root = draw("svg", { class: "diagram", role: "img", width: "100%", "aria-label": `Diagram of ${name}` });
  }

  // Show `device` with its rates in a diagram of this width; draws again only if the shape has changed.
  update(device, rates, width) {
    const shape = shapeOf(device, width);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#draw(device, width);
    }
    for (const update of this.#updates) update(device, rates);
  }

  #draw(device, width) {
    this.#updates = [];
    const plan = layout(device, width);
    setAttribute(this.root, "viewBox", `0 0 ${width} ${plan.height}`);
    setAttribute(this.root, "height", plan.height);
    setAttribute(this.root, "aria-label", describe(device, plan));
    const parts = plan.lanes.map((lane) => this.#lane(device, lane));
    device.sockets.forEach((socket, index) => {
      const box = plan.boxes[socket.key];
      parts.push(box.side === "aside" ? this.#aside(device, socket, index, box) : this.#box(device, socket, index, box, plan.narrow));
    });
    const keys = new Set(device.sockets.map((socket) => socket.key));
    for (const [key, box] of Object.entries(plan.boxes)) {
      if (!keys.has(key)) parts.push(this.#others(plan.lanes.filter((lane) => lane.right === key), box, plan.narrow));
    }
    this.root.replaceChildren(...parts);
  }

  #box(device, socket, index, box, narrow) {
    const title = draw("title");
    const room = box.width - 20;
    const places = addresses(socket);
    const address = (places[0] ?? "not open") + (places.length > 1 ? ` +${places.length - 1}` : "");
    const top = box.y + (narrow ? 0 : (box.height - 82) / 2);
    const type = draw("text", { class: "box-type", x: box.x + box.width - 10, y: top + 25, "text-anchor": "end" }, socket.type);
    const keyRoom = room - 8 - socket.type.length * 8;
    const key = draw("text", { class: "box-key", x: box.x + 10, y: top + 25 }, fit(socket.key, keyRoom, font(14, 600)));
    const where = draw("text", { class: "box-address", x: box.x + 10, y: top + 45 }, fitAddress(address, room, font(12)));
    const peers = draw("text", { class: "box-peers", x: box.x + 10, y: top + 66 });
    const plugs = Array.from({ length: PLUGS }, () => draw("circle", { class: "plug", r: 4.5 }));
    const root = draw("g", { class: "box" }, title,
      draw("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: 8 }), ...plugs, key, type, where, peers);
    const peersWords = peersName(device.pattern, socket);
    this.#updates.push((now) => {
      const one = now.sockets[index];
      placePlugs(plugs, box, Math.min(PLUGS, one.peers), narrow);
      setClass(root, "lonely", isUp(now) && one.peers === 0);
      setText(peers, peersText(now, one, peersWords));
      setText(title, socketTitle(one));
    });
    return root;
  }

  // Where messages go to other devices of the same name, or come from.
  #others(lanes, box, narrow) {
    const top = box.y + (narrow ? 0 : (box.height - 82) / 2);
    const name = draw("text", { class: "box-key", x: box.x + 10, y: top + 25 }, lanes.every((lane) => lane.forward) ? "to others" : "others");
    const peers = draw("text", { class: "box-peers", x: box.x + 10, y: top + 66 });
    this.#updates.push((now) => {
      const backbone = now.backbone;
      const there = backbone?.state === "connected";
      setText(peers, fit(there ? plural(backbone.neighbours.length, "device", "devices") : "no connection to NATS", box.width - 20, font(12)));
    });
    return draw("g", { class: "box" }, draw("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: 8 }), name, peers);
  }

  // A socket without traffic, in one line.
  #aside(device, socket, index, box) {
    const title = draw("title");
    const y = box.y + box.height / 2 + 4;
    const key = draw("text", { class: "box-key", x: box.x + 10, y });
    const peers = draw("text", { class: "box-peers", x: box.x + box.width - 10, y, "text-anchor": "end" });
    const words = peersName(device.pattern, socket);
    this.#updates.push((now) => {
      const one = now.sockets[index];
      setText(key, fit(`${one.key} ${one.type}`, box.width / 2, font(13, 600)));
      setText(peers, peersText(now, one, words));
      setText(title, socketTitle(one));
    });
    return draw("g", { class: "box aside" }, title,
      draw("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: 8 }), key, peers);
  }

  #lane(device, lane) {
    const byKey = Object.fromEntries(device.sockets.map((socket) => [socket.key, socket]));
    const goods = cargo(device.pattern, byKey[lane.source] ?? { key: lane.source }, byKey[lane.outlet] ?? { key: lane.outlet });
    const line = draw("line", { class: "line", x1: lane.x1, y1: lane.y1, x2: lane.x2, y2: lane.y2 });
    const flow = draw("line", { class: "flow", x1: lane.x1, y1: lane.y1, x2: lane.x2, y2: lane.y2 });
    const title = draw("title");
    const speed = draw("text", { class: "rate", x: lane.text.x, y: lane.text.y, "text-anchor": lane.text.anchor });
    const caption = draw("text", { class: "caption", x: lane.text.x, y: lane.text.y + 15, "text-anchor": lane.text.anchor });
    const held = heldMark(lane);
    const tag = lane.tag ? [tagOf(lane.tag)] : [];
    const size = lane.text.second ? draw("text", { class: "caption", x: lane.text.x, y: lane.text.y + 30 }) : null;
    const root = draw("g", { class: "lane", "data-lane": `${lane.source} ${lane.outlet}${lane.elsewhere ? " elsewhere" : ""}` },
      title, ...tag, line, flow, head(lane), held.root, speed, caption, ...(size ? [size] : []), this.#drops(lane));
    this.#updates.push((now, rates) => {
      const outlet = find(now, lane);
      if (outlet === undefined) return;
      if (lane.elsewhere) {
        const moved = rates.get(counterKey(lane.source, lane.outlet, "elsewhere"));
        setText(speed, rates.known ? rate(moved) : "…");
        setText(caption, `${goods} elsewhere`);
        setClass(root, "moving", moved > 0);
        showFlow(line, flow, moved);
        setText(title, `${goods} from ${lane.source} to other devices\n${exact(moved)} messages/s, ${exact(outlet.elsewhere ?? 0)} in all`);
        return;
      }
      const perSecond = rates.get(counterKey(lane.source, lane.outlet, "sent"));
      const bytes = rates.get(counterKey(lane.source, lane.outlet, "bytes"));
      const stuck = outlet.held > 0 && perSecond === 0;
      setText(speed, rates.known ? rate(perSecond) : "…");
      setText(caption, stuck ? heldText(outlet.held) : size ? goods : `${goods} · ${byteRate(bytes)}`);
      if (size) setText(size, byteRate(bytes));
      setClass(root, "moving", perSecond > 0);
      setClass(root, "stuck", stuck);
      setClass(held.root, "on", stuck);
      showFlow(line, flow, perSecond);
      setText(title, `${goods} from ${lane.source} to ${lane.outlet}\n${exact(perSecond)} messages/s, ${exact(Math.round(bytes))} bytes/s\n` +
        `${exact(outlet.sent.messages)} messages, ${exact(outlet.sent.bytes)} bytes sent\n${heldText(outlet.held)}`);
    });
    return root;
  }

  #drops(lane) {
    if (!lane.reasons.length) return draw("g");
    const { x, y, drip, anchor } = lane.drops;
    const width = anchor === "middle" ? 118 : 102;
    const loses = lane.reasons.some(([what]) => what === "lost");
    const [past, now] = loses ? ["lost", "losing"] : ["dropped", anchor === "middle" ? "dropping" : "drops"];
    const left = anchor === "middle" ? x - width / 2 : x;
    const label = draw("text", { class: "drop-label", x: left + width / 2, y: y + 15, "text-anchor": "middle" });
    const title = draw("title");
    const rows = lane.reasons.map((_, row) =>
      draw("text", { class: "drop-reason", x: anchor === "middle" ? x : left + 2, y: y + 37 + row * 15, "text-anchor": anchor }));
    const root = draw("g", { class: "drops" }, title,
      draw("line", { class: "drip", x1: drip[0], y1: drip[1], x2: drip[2], y2: drip[3] }),
      draw("rect", { x: left, y, width, height: 22, rx: 11 }), label, ...rows);
    this.#updates.push((device, rates) => {
      const outlet = find(device, lane);
      const counts = lane.reasons.map(([what, reason]) => outlet?.[what]?.[reason] ?? 0);
      const perSecond = lane.reasons.reduce((sum, reason) => sum + rates.get(counterKey(lane.source, lane.outlet, reason.join(" "))), 0);
      const total = counts.reduce((sum, one) => sum + one, 0);
      setClass(root, "now", perSecond > 0);
      setText(label, perSecond > 0 ? `${now} ${rate(perSecond)}` : `${past} ${count(total)}`);
      lane.reasons.forEach(([, reason], row) => setText(rows[row], `${dropName(reason)} ${count(counts[row])}`));
      setText(title, [`${past} ${loses ? "at" : "before"} ${lane.outlet}: ${exact(total)} messages, ${exact(perSecond)}/s now`,
        ...lane.reasons.map(([what, reason], row) => `${exact(counts[row])} ${what}, ${reason}: ${dropMeaning(reason)}`)].join("\n"));
    });
    return root;
  }
}

// Stands for other devices, where a line begins or ends there.
function tagOf({ x, y, width, height }) {
  return draw("g", { class: "box tag" }, draw("rect", { x, y, width, height, rx: height / 2 }),
    draw("text", { class: "tag-text", x: x + width / 2, y: y + height / 2 + 4, "text-anchor": "middle" }, "others"));
}

function find(device, lane) {
  return device.pumps.find((pump) => pump.source === lane.source)?.outlets.find((outlet) => outlet.socket === lane.outlet);
}

function socketTitle(socket) {
  const peers = `${exact(socket.peers ?? 0)} connected now` + (socket.certain === false ? "; this number is not certain" : "");
  return [`${socket.key}: ${socket.type}`, ...addresses(socket), peers].join("\n");
}

// The connected peers, as plugs at the outer edge of their socket.
function placePlugs(plugs, box, number, narrow) {
  const outside = box.side === "left" ? 0 : 1;
  plugs.forEach((plug, index) => {
    setClass(plug, "on", index < number);
    const at = index - (number - 1) / 2;
    setAttribute(plug, "cx", narrow ? box.x + box.width / 2 + at * 14 : box.x + outside * box.width);
    setAttribute(plug, "cy", narrow ? box.y + outside * box.height : box.y + box.height / 2 + at * 11.5);
  });
}

function heldText(held) {
  return `${plural(held, "message", "messages")} held`;
}

// A held message: it was read, and its destination does not take it.
function heldMark(lane) {
  const [dx, dy] = [Math.sign(lane.x2 - lane.x1), Math.sign(lane.y2 - lane.y1)];
  const [cx, cy] = [lane.x1 + dx * 12, lane.y1 + dy * 12];
  return { root: draw("g", { class: "held-mark" }, draw("rect", { x: cx - 7, y: cy - 7, width: 14, height: 14, rx: 3 })) };
}

function describe(device, plan) {
  const ways = plan.lanes.map((lane) => `from ${lane.source} to ${lane.outlet}`);
  const sockets = device.sockets.map((socket) => `${socket.key} (${socket.type})`);
  return `${device.name}: sockets ${sockets.join(", ")}; messages go ${ways.join(", ")}. Figures below, under Details.`;
}
