// A curve of the last 15 minutes, with a scale and the time, and the value where the pointer or the keyboard is.

import { draw, make, setAttribute, setClass, setHidden, setText } from "./dom.js";
import { clockTime } from "./numbers.js";

const WIDTH = 300;
const HEIGHT = 48;
// In 15 minutes, a line every 5.
const THIRDS = [WIDTH / 3, (WIDTH * 2) / 3];
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: 12, PageDown: -12, Home: -Infinity, End: Infinity };

// The next of 1, 2, 5, 10, 20, 50 and so on.
function scaleFor(highest) {
  if (highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return power * [1, 2, 5, 10].find((step) => step * power >= highest * 0.9999);
}

export class Sparkline {
  #label = make("span", { class: "spark-value" });
  #line = draw("path", { class: "spark-line" });
  #area = draw("path", { class: "spark-area" });
  #scale = make("span", { class: "spark-scale", "aria-hidden": "true" });
  #when = make("span", { class: "spark-time", "aria-hidden": "true" }, "now");
  #mark = make("span", { class: "spark-mark", hidden: true });
  #plot;
  #points = [];
  #slots = 1;
  #intervalS = 5;
  #endS = 0;
  #now = 0;
  // The point that is looked at; null is now.
  #at = null;

  // `kind` is its class, `name` its label, `show` formats a figure, `of` is the device.
  constructor(kind, name, show, of) {
    this.show = show;
    const grid = THIRDS.map((x) => draw("line", { class: "spark-grid", x1: x, y1: 0, x2: x, y2: HEIGHT }));
    const levels = [0, HEIGHT / 2].map((y) => draw("line", { class: "spark-grid", x1: 0, y1: y, x2: WIDTH, y2: y }));
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...grid, ...levels, this.#area, this.#line);
    this.#plot = make("div", { class: "spark-plot", role: "slider", "aria-label": `${name} in the last 15 minutes, ${of}`, "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0 }, svg, this.#scale, this.#mark);
    this.root = make("div", { class: `spark ${kind}` }, make("span", { class: "spark-name" }, name), this.#label, this.#plot,
      make("span", { class: "spark-time", "aria-hidden": "true" }, "15 min ago"), this.#when);
    this.#plot.addEventListener("pointermove", (event) => this.#point(event));
    this.#plot.addEventListener("pointerleave", () => this.#look(null));
    this.#plot.addEventListener("blur", () => this.#look(null));
    this.#plot.addEventListener("keydown", (event) => this.#press(event));
  }

  // Show the present figure.
  now(value) {
    this.#now = value;
    this.#tell();
  }

  // Show the curve. `slots` is the number of points in 15 minutes, `endS` the Unix time of the last.
  curve(points, { slots, intervalS, endS }) {
    const moved = this.#at !== null && points.length === this.#points.length && endS > this.#endS;
    [this.#points, this.#slots, this.#intervalS, this.#endS] = [[...points], slots, intervalS, endS];
    // What is looked at stays the same moment.
    if (this.#at !== null) this.#at = Math.max(0, Math.min(points.length - 1, this.#at - moved));
    const highest = points.reduce((one, other) => Math.max(one, other), 0);
    const top = scaleFor(highest);
    const y = (value) => (HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1);
    const path = points.map((value, index) => `${this.#x(index).toFixed(1)} ${y(value)}`).join("L");
    setAttribute(this.#line, "d", points.length > 1 ? `M${path}` : "");
    setAttribute(this.#area, "d", points.length > 1 ? `M${this.#x(0).toFixed(1)} ${HEIGHT}L${path}L${WIDTH} ${HEIGHT}Z` : "");
    setText(this.#scale, this.show(top));
    setClass(this.root, "none", highest === 0);
    // An empty curve is no stop for the keyboard.
    if (highest === 0) this.#plot.removeAttribute("tabindex");
    else setAttribute(this.#plot, "tabindex", 0);
    setAttribute(this.#plot, "aria-valuemax", Math.max(0, points.length - 1));
    this.#tell();
  }

  #x(index) {
    return WIDTH - ((this.#points.length - 1 - index) * WIDTH) / Math.max(1, this.#slots - 1);
  }

  #point({ clientX }) {
    const box = this.#plot.getBoundingClientRect();
    const fromEnd = Math.round(((box.right - clientX) / box.width) * (this.#slots - 1));
    this.#look(this.#points.length - 1 - fromEnd);
  }

  #press(event) {
    const { key } = event;
    if (key === "Escape") this.#look(null);
    if (!(key in STEPS)) return;
    event.preventDefault();
    const last = this.#points.length - 1;
    this.#look(Math.max(0, Math.min(last, (this.#at ?? last) + STEPS[key])));
  }

  #look(index) {
    // Before the server began, there is nothing.
    this.#at = index === null || index < 0 || index >= this.#points.length ? null : index;
    this.#tell();
  }

  #tell() {
    const last = this.#points.length - 1;
    const at = this.#at;
    const value = at === null ? this.#now : this.#points[at];
    const when = at === null ? "now" : clockTime(this.#endS - (last - at) * this.#intervalS);
    setText(this.#label, this.show(value));
    setText(this.#when, when);
    setClass(this.root, "looked-at", at !== null);
    setHidden(this.#mark, at === null);
    if (at !== null) this.#mark.style.left = `${(this.#x(at) / WIDTH) * 100}%`;
    setAttribute(this.#plot, "aria-valuenow", Math.max(0, at ?? last));
    setAttribute(this.#plot, "aria-valuetext", `${this.show(value)}, ${when}`);
  }
}
