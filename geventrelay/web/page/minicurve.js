// The curve of one figure, as small as a word: as long as the page has looked at it.

import { draw, setAttribute } from "./dom.js";

const WIDTH = 60;
const HEIGHT = 16;
const MOST_POINTS = 30;

export class MiniCurve {
  #points = [];
  #line = draw("path", { class: "mini-line" });
  root = draw("svg", { class: "mini", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.#line);

  // Add the present figure.
  add(value) {
    this.#points.push(value);
    if (this.#points.length > MOST_POINTS) this.#points.shift();
    const highest = Math.max(...this.#points);
    const x = (index) => WIDTH - (this.#points.length - 1 - index) * (WIDTH / (MOST_POINTS - 1));
    const y = (one) => (highest > 0 ? HEIGHT - 1 - (one / highest) * (HEIGHT - 2) : HEIGHT - 1);
    const path = this.#points.map((one, index) => `${x(index).toFixed(1)} ${y(one).toFixed(1)}`).join("L");
    setAttribute(this.#line, "d", this.#points.length > 1 ? `M${path}` : "");
  }
}
