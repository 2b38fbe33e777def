// What diagrams have in common: text that fits, heads of arrows, and lines that show how much moves.

import { draw, setAttribute } from "./dom.js";

const SPEEDS = [[1000, "fast"], [10, "medium"], [0, "slow"]];

const pen = document.createElement("canvas").getContext("2d");

// `text`, or its beginning and end if it is wider than `width` pixels.
export function fit(text, width, font) {
  pen.font = font;
  if (pen.measureText(text).width <= width) return text;
  let keep = text.length - 1;
  while (keep > 2 && pen.measureText(shortened(text, keep)).width > width) keep -= 1;
  return shortened(text, keep);
}

function shortened(text, keep) {
  const end = Math.ceil(keep * 0.6);
  return `${text.slice(0, keep - end)}…${text.slice(text.length - end)}`;
}

export function font(size, weight = 400) {
  return `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
}

// The head of an arrow from (x1, y1) to (x2, y2), which goes along one axis.
export function head(way) {
  const [dx, dy] = [Math.sign(way.x2 - way.x1), Math.sign(way.y2 - way.y1)];
  const [bx, by] = [way.x2 - dx * 9, way.y2 - dy * 9];
  const points = [[way.x2 + dx * 3, way.y2 + dy * 3], [bx - dy * 6, by - dx * 6], [bx + dy * 6, by + dx * 6]];
  return draw("polygon", { class: "head", points: points.map((point) => point.join(",")).join(" ") });
}

// Have a line, and the dashes that move on it, show how many messages a second there are.
export function showFlow(line, flow, perSecond) {
  setAttribute(line, "stroke-width", perSecond > 0 ? Math.min(6, 2 + Math.log10(1 + perSecond)).toFixed(1) : 1.5);
  setAttribute(flow, "class", `flow ${SPEEDS.find(([least]) => perSecond >= least)[1]}`);
}
