// The positions in a device's diagram: sockets at two sides, one lane for each way of messages.
//
// Side by side where there is room, one above the other on a phone. Sizes are in pixels; nothing is drawn here.

import { LOSSES } from "./rates.js";

const NARROW = 425;
const BOX = { widest: 260, narrowest: 146, height: 82 };
const LANE = { above: 44, below: 14, drops: 40, reason: 15, gap: 6 };
const STACK = { box: 82, lane: 98, gap: 8 };
// The words beside more lines would cover each other.
const MOST_STACKED = 3;
const PLUG = 6;
// A socket without traffic, such as the control socket.
const ASIDE = { height: 28, gap: 6 };

// Where other devices say what they want: those are no messages.
const NEWS = new Set(["backbone_out"]);
// Sockets whose messages may go to other devices where there is no room, and where what these have no room for comes in.
const LENDS = new Set(["PUSH", "DEALER", "ROUTER"]);
const WORK_IN = "backbone_work_in";
const TAG = { width: 50, height: 20, gap: 5 };

// Whether a socket is one of those that lead to other devices of the same name.
export function isOthers(key) {
  return key.startsWith("backbone_");
}

// The lanes of a device, and the side of each socket: the source of the first lane is on the left.
function lanesOf(device) {
  const side = new Map();
  const lanes = [];
  const hasWork = device.pumps.some((pump) => pump.source === WORK_IN);
  const types = new Map(device.sockets.map((socket) => [socket.key, socket.type]));
  for (const pump of device.pumps.filter((one) => !NEWS.has(one.source))) {
    const outlets = pump.outlets.filter((outlet) => outlet.socket !== "backbone_news");
    // Other devices are where messages come from as where they go: opposite to the device's own socket.
    if (outlets.length && !side.has(pump.source)) side.set(pump.source, side.get(outlets[0].socket) === "left" ? "right" : "left");
    for (const outlet of outlets) {
      if (!side.has(outlet.socket)) side.set(outlet.socket, side.get(pump.source) === "left" ? "right" : "left");
      const forward = side.get(pump.source) === "left";
      const place = (key) => (isOthers(key) ? `others ${side.get(key)}` : key);
      const [left, right] = forward ? [place(pump.source), place(outlet.socket)] : [place(outlet.socket), place(pump.source)];
      const reasons = LOSSES.flatMap((what) =>
        Object.keys(outlet[what] ?? {}).filter((reason) => outlet[what][reason] > 0).sort().map((reason) => [what, reason]));
      lanes.push({ source: pump.source, outlet: outlet.socket, left, right, forward, reasons, elsewhere: false });
      if (hasWork && !isOthers(pump.source) && LENDS.has(types.get(outlet.socket))) {
        const ends = forward ? { left, right: "others right" } : { left: "others left", right };
        lanes.push({ source: pump.source, outlet: outlet.socket, ...ends, forward, reasons: [], elsewhere: true });
      }
    }
  }
  return { side, lanes };
}

// Everything that the shape of a diagram depends on; while it stays the same, only figures change.
export function shapeOf(device, width) {
  const { lanes } = lanesOf(device);
  const sockets = device.sockets.map((one) => [one.key, one.type, one.bound, one.connects]);
  return JSON.stringify([width, sockets, lanes]);
}

// The sockets on the left. Other devices have no box there, but a tag at each line: a line may leave any part of a box.
function boxesOf(lanes) {
  return [...new Set(lanes.filter((lane) => !isTagged(lane)).map((lane) => lane.left))];
}

function isTagged(lane) {
  return lane.left.startsWith("others ");
}

function stackedEnds(lane, at, from, to) {
  const tag = isTagged(lane) ? { x: at - 8, y: from - 4, ...TAG } : null;
  const begin = tag ? from + TAG.height : from;
  return { tag, x1: at, y1: lane.forward ? begin : to, x2: at, y2: lane.forward ? to : begin };
}

function dropsHeight(reasons) {
  return reasons.length ? LANE.drops + reasons.length * LANE.reason : 0;
}

// In less room, boxes would have a negative width; it is then wider than its frame.
const NARROWEST = 200;

// {height, narrow, boxes: {key: {x, y, width, height, side}}, lanes: [{x1, y1, x2, y2, text: {...}}]}
export function layout(device, width) {
  const plan = lanesOf(device);
  width = Math.max(NARROWEST, width);
  if (width < NARROW && plan.lanes.length > MOST_STACKED) {
    // The map of the mesh has what goes to others.
    plan.lanes = plan.lanes.filter((lane) => !lane.elsewhere && !isOthers(lane.source) && !isOthers(lane.outlet));
  }
  const made = width < NARROW ? stacked(plan, width) : sideBySide(plan, width);
  for (const { key } of device.sockets.filter((socket) => !(socket.key in made.boxes))) {
    made.height += ASIDE.gap;
    made.boxes[key] = { x: PLUG, y: made.height, width: width - 2 * PLUG, height: ASIDE.height, side: "aside" };
    made.height += ASIDE.height;
  }
  return made;
}

function sideBySide({ lanes }, width) {
  const boxWidth = Math.round(Math.max(BOX.narrowest, Math.min(BOX.widest, width * 0.31)));
  const left = PLUG;
  const right = width - boxWidth - PLUG;
  const boxes = {};
  let y = 0;
  const placed = [];
  for (const key of [...new Set(lanes.map((lane) => lane.right))]) {
    const own = lanes.filter((lane) => lane.right === key);
    const needed = own.reduce((sum, lane) => sum + LANE.above + LANE.below + dropsHeight(lane.reasons), 0);
    const height = Math.max(BOX.height, needed);
    let laneY = y + (height - needed) / 2;
    boxes[key] = { x: right, y, width: boxWidth, height, side: "right" };
    for (const lane of own) {
      placed.push({ lane, y: laneY + LANE.above });
      laneY += LANE.above + LANE.below + dropsHeight(lane.reasons);
    }
    y += height + STACK.gap;
  }
  const height = Math.max(BOX.height, y - STACK.gap);
  const lefts = boxesOf(lanes);
  const each = (height - STACK.gap * (lefts.length - 1)) / lefts.length;
  lefts.forEach((key, index) => {
    boxes[key] = { x: left, y: index * (each + STACK.gap), width: boxWidth, height: each, side: "left" };
  });
  const [from, to] = [left + boxWidth + LANE.gap, right - LANE.gap];
  return {
    height, narrow: false, boxes,
    lanes: placed.map(({ lane, y: at }) => {
      const tag = isTagged(lane) ? { x: from, y: at - TAG.height / 2, ...TAG } : null;
      const begin = tag ? from + TAG.width + TAG.gap : from;
      const middle = (begin + to) / 2;
      return {
        ...lane, tag, x1: lane.forward ? begin : to, y1: at, x2: lane.forward ? to : begin, y2: at,
        text: { x: middle, y: at - 25, anchor: "middle", second: false },
        drops: { x: middle, y: at + 16, drip: [middle, at + 4, middle, at + 16], anchor: "middle" },
      };
    }),
  };
}

function stacked({ lanes }, width) {
  const inner = width - 2;
  const boxes = {};
  const column = inner / Math.max(1, lanes.length);
  const deepest = Math.max(0, ...lanes.map((lane) => dropsHeight(lane.reasons)));
  const laneHeight = STACK.lane + deepest;
  const lefts = boxesOf(lanes);
  lefts.forEach((key, index) => {
    const each = (inner - STACK.gap * (lefts.length - 1)) / lefts.length;
    boxes[key] = { x: 1 + index * (each + STACK.gap), y: PLUG, width: each, height: STACK.box, side: "left" };
  });
  let x = 1;
  const placed = [];
  for (const key of [...new Set(lanes.map((lane) => lane.right))]) {
    const own = lanes.filter((lane) => lane.right === key);
    const boxWidth = column * own.length - (own.length === lanes.length ? 0 : STACK.gap / 2);
    boxes[key] = { x, y: PLUG + STACK.box + laneHeight, width: boxWidth, height: STACK.box, side: "right" };
    own.forEach((lane, index) => placed.push({ lane, x: x + 9 + column * index }));
    x += boxWidth + STACK.gap;
  }
  const [from, to] = [PLUG + STACK.box + LANE.gap, PLUG + STACK.box + laneHeight - LANE.gap];
  return {
    height: PLUG * 2 + STACK.box * 2 + laneHeight, narrow: true, boxes,
    lanes: placed.map(({ lane, x: at }) => ({
      ...lane, ...stackedEnds(lane, at, from, to),
      text: { x: at + 14, y: from + 24, anchor: "start", second: true },
      drops: { x: at + 12, y: from + 66, drip: [at + 3, from + 77, at + 14, from + 77], anchor: "start" },
    })),
  };
}
