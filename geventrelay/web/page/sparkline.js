// A small curve of the last 15 minutes.

import { draw, make, setAttribute, setText } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 36;

export class Sparkline {
  #label;
  #line = draw("path", { class: "spark-line" });
  #area = draw("path", { class: "spark-area" });
  #title = draw("title");

  // `kind` is its class, `name` its label, `show` formats a figure.
  constructor(kind, name, show) {
    this.show = show;
    this.name = name;
    this.#label = make("span", { class: "spark-value" });
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.#title, this.#area, this.#line);
    this.root = make("div", { class: `spark ${kind}` }, make("span", { class: "spark-name" }, name), this.#label, svg);
  }

  // Show the present figure.
  now(value) {
    setText(this.#label, this.show(value));
  }

  // Show the curve; `slots` is the number of points in 15 minutes.
  curve(points, slots) {
    const highest = points.reduce((one, other) => Math.max(one, other), 0);
    this.root.classList.toggle("none", highest === 0);
    const step = WIDTH / Math.max(1, slots - 1);
    const start = WIDTH - (points.length - 1) * step;
    const y = (value) => (HEIGHT - 2 - (highest === 0 ? 0 : value / highest) * (HEIGHT - 5)).toFixed(1);
    const path = points.map((value, index) => `${(start + index * step).toFixed(1)} ${y(value)}`).join("L");
    setAttribute(this.#line, "d", points.length > 1 ? `M${path}` : "");
    setAttribute(this.#area, "d", points.length > 1 ? `M${start.toFixed(1)} ${HEIGHT}L${path}L${WIDTH} ${HEIGHT}Z` : "");
    setText(this.#title, `${this.name}, last 15 minutes, at most ${this.show(highest)}`);
  }
}
