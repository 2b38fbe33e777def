// The mesh as a map: this relay in the middle, the others around it, and between them what goes to and fro.

import { draw, setAttribute, setClass, setText } from "./dom.js";
import { fit, font, head, showFlow } from "./drawing.js";
import { count, exact, milliseconds, plural, rate } from "./numbers.js";
import { meshKey } from "./rates.js";

// From this width on there are relays at both sides.
const WIDE = 520;
const NARROWEST = 200;
const ROW = { height: 66, gap: 8 };
const MOST = 12;
// A relay says every second that it is there, and is gone when it was silent for 5.
const LATE_S = 2.5;

export class MeshMap {
  #shape = "";
  #updates = [];

  constructor(name) {
    this.name = name;
    this.root = draw("svg", { class: "diagram mesh-map", role: "img", width: "100%", "aria-label": `Map of the mesh of ${name}` });
  }

  // Show the mesh of `device` in a map of this width; draws again only if there are other relays than before.
  update(device, rates, width) {
    const shown = pick(device.backbone.neighbours);
    const shape = JSON.stringify([width, device.backbone.neighbours.length, shown.map((one) => one.relay)]);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#draw(shown, device.backbone.neighbours.length - shown.length, Math.max(NARROWEST, width));
    }
    const byRelay = new Map(device.backbone.neighbours.map((one) => [one.relay, one]));
    for (const update of this.#updates) update(device, byRelay, rates);
  }

  #draw(shown, more, width) {
    this.#updates = [];
    const sides = width >= WIDE ? 2 : 1;
    const rows = Math.max(1, Math.ceil(shown.length / sides));
    const height = rows * (ROW.height + ROW.gap) - ROW.gap;
    const box = Math.round(Math.min(220, width * (sides === 2 ? 0.26 : 0.35)));
    const middle = sides === 2 ? Math.round((width - box) / 2) : 1;
    setAttribute(this.root, "viewBox", `0 0 ${width} ${height + (more > 0 ? 22 : 0)}`);
    setAttribute(this.root, "height", height + (more > 0 ? 22 : 0));
    const all = plural(shown.length + more, "other relay", "other relays");
    setAttribute(this.root, "aria-label", `Map of the mesh of ${this.name}: this relay and ${all}. Figures below.`);
    const parts = shown.map((one, index) => {
      const isLeft = sides === 2 && index % 2 === 1;
      const y = Math.floor(index / sides) * (ROW.height + ROW.gap);
      const place = { x: isLeft ? 1 : width - box - 1, y, width: box, height: ROW.height };
      const [near, far] = isLeft ? [middle - 5, box + 7] : [middle + box + 5, width - box - 7];
      return this.#other(one.relay, place, near, far);
    });
    parts.push(this.#own({ x: middle, y: 0, width: box, height }));
    if (more > 0) parts.push(draw("text", { class: "caption", x: width / 2, y: height + 17, "text-anchor": "middle" }, `and ${exact(more)} more, in the table`));
    this.root.replaceChildren(...parts);
  }

  #own(box) {
    const top = box.y + box.height / 2 - ROW.height / 2;
    const [title, host, more] = [draw("title"), line(box, top + 40), line(box, top + 57, "box-peers")];
    const root = draw("g", { class: "box mesh-own" }, title, rectangle(box), draw("text", { class: "box-key", x: box.x + 10, y: top + 21 }, fit("this relay", box.width - 20, font(14, 600))), host, more);
    this.#updates.push(({ backbone }) => {
      const there = backbone.state === "connected";
      setText(host, fitHost(backbone.host || backbone.relay, box.width - 20, font(12)));
      const away = backbone.round_trip_s != null ? `NATS ${milliseconds(backbone.round_trip_s)}` : "NATS";
      const waits = backbone.waiting + backbone.incoming;
      const isKept = backbone.store?.state !== "refused";
      const words = !there ? "no NATS" : !isKept ? "work not kept" : waits > 0 ? `${count(waits)} waiting` : away;
      setText(more, fit(words, box.width - 20, font(12, 600)));
      setClass(root, "apart", !there || !isKept);
      setClass(root, "busy", there && isKept && waits > 0);
      setText(title, [`this relay: ${backbone.relay}`, there ? `at ${backbone.server}` : `no connection to NATS: ${backbone.reason}`,
        `${exact(backbone.waiting)} messages wait for others, ${exact(backbone.incoming)} from others`].join("\n"));
    });
    return root;
  }

  #other(relay, box, near, far) {
    const [title, host, peers, state] = [draw("title"), line(box, box.y + 21, "box-key"), line(box, box.y + 40, "box-address"), line(box, box.y + 57, "box-peers")];
    const root = draw("g", { class: "box mesh-other", "data-relay": relay }, title, rectangle(box), host, peers, state);
    const ways = [way("sent", near, far, box.y + 27, box.y + 18), way("received", far, near, box.y + 44, box.y + 62)];
    this.#updates.push((device, byRelay, rates) => {
      const one = byRelay.get(relay);
      if (one === undefined) return;
      const room = box.width - 20;
      const isLate = one.silent_s >= LATE_S || device.backbone.state !== "connected";
      setText(host, fitHost(one.host || relay, room, font(14, 600)));
      setText(peers, fit(programs(one.about), room, font(12)));
      setText(state, fit(stateText(one, device.backbone.state === "connected"), room, font(12, 600)));
      setClass(root, "late", isLate);
      setClass(root, "busy", !isLate && one.about != null && one.about.waiting + one.about.incoming > 0);
      for (const { what, root: arrow, line: shaft, flow, text, title: told } of ways) {
        const perSecond = rates.get(meshKey(relay, what));
        setText(text, rates.known ? rate(perSecond) : "…");
        setClass(arrow, "moving", perSecond > 0);
        showFlow(shaft, flow, perSecond);
        setText(told, `${what === "sent" ? "to" : "from"} ${one.host}: ${exact(perSecond)} messages/s, ${exact((one[what] ?? 0) + (one[`work_${what}`] ?? 0))} in all`);
      }
      setText(title, [`${one.host}: ${relay}`, ...(one.about ? [`geventrelay ${one.about.version} at ${one.about.server}`] : []),
        `heard of ${one.silent_s.toFixed(1)} s ago`, `${exact(one.lost ?? 0)} messages of it were lost on the way`].join("\n"));
    });
    return draw("g", {}, ...ways.map((one) => one.root), root);
  }
}

// Those that are drawn, where there are too many: each stays in its place as long as it is there.
function pick(neighbours) {
  return neighbours.slice(0, MOST);
}

// A host's name, without its domain if it fits only then.
function fitHost(text, width, type) {
  return fit(fit(text, width, type) === text ? text : text.split(".")[0], width, type);
}

function way(what, x1, x2, y, textY) {
  const ends = { x1, y1: y, x2, y2: y };
  const [shaft, flow, title] = [draw("line", { class: "line", ...ends }), draw("line", { class: "flow slow", ...ends }), draw("title")];
  const text = draw("text", { class: "mesh-rate", x: (x1 + x2) / 2, y: textY, "text-anchor": "middle" });
  return { what, line: shaft, flow, text, title, root: draw("g", { class: "lane", "data-way": what }, title, shaft, flow, head(ends), text) };
}

function line(box, y, name = "box-address") {
  return draw("text", { class: name, x: box.x + 10, y });
}

function rectangle(box) {
  return draw("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: 8 });
}

function programs(about) {
  if (!about) return "an older version";
  const keys = Object.values(about.peers);
  return keys.length ? plural(keys.reduce((sum, one) => sum + one, 0), "program", "programs") : "programs not seen";
}

function stateText(one, there) {
  if (one.silent_s >= LATE_S) return `silent for ${Math.round(one.silent_s)} s`;
  if (!there) return "not known now";
  const waits = one.about ? one.about.waiting + one.about.incoming : 0;
  if (waits > 0) return `${count(waits)} waiting`;
  return one.round_trip_s != null ? `${milliseconds(one.round_trip_s)} away` : "here";
}
