// A message as elements: a line about it, and its parts.

import { make } from "./dom.js";
import { clockTime } from "./numbers.js";

// `message` is what `kept` of payload.js made, `view` one of its VIEWS.
export function messageElements({ time, source, size, parts }, view) {
  return [
    make("p", { class: "watch-head" }, make("time", {}, clockTime(time, true)), make("span", {}, source), make("span", {}, size)),
    ...parts.map((part) => make("pre", {}, view(part))),
  ];
}
