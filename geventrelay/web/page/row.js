// One device in the table: its figures in a line, which opens to its card.

import { make, setAttribute, setClass, setHidden, setText } from "./dom.js";
import { COLUMNS } from "./columns.js";

let made = 0;

export class Row {
  #cells = new Map();
  #button;
  #failure = make("p", { class: "row-failure", hidden: true });
  #below;
  #place;

  // deck: has the cards.
  constructor(name, deck) {
    this.name = name;
    this.deck = deck;
    made += 1;
    const id = `card-${made}`;
    this.#button = make("button", { type: "button", class: "row-open", "aria-expanded": "false", "aria-controls": id, title: name }, name);
    this.#place = make("td", { role: "cell", colspan: COLUMNS.length });
    this.#below = make("tr", { role: "row", class: "row-card", id, hidden: true }, this.#place);
    const line = make("tr", { role: "row", class: "row" }, ...COLUMNS.map((column) => this.#cell(column)));
    this.root = make("tbody", { role: "rowgroup", "data-device": name }, line, this.#below);
    line.addEventListener("click", ({ detail }) => {
      // A reader who marks a text with the mouse does not want to open the row; a press of a key has no detail.
      if (detail === 0 || getSelection().isCollapsed) this.toggle();
    });
  }

  get open() {
    return !this.#below.hidden;
  }

  // Open it, or close it: then its card is gone.
  toggle() {
    setHidden(this.#below, this.open);
    setAttribute(this.#button, "aria-expanded", this.open);
    if (this.open) this.#place.append(this.deck.take(this.name).root);
    else this.deck.drop(this.name);
  }

  // Show the figures of {device, rates}.
  update(one) {
    const { device, rates } = one;
    setAttribute(this.root, "data-state", device.state);
    for (const { key, text, value, title } of COLUMNS.slice(1)) {
      const cell = this.#cells.get(key);
      setText(cell, (text ?? value)(one));
      if (title !== undefined) setAttribute(cell.parentNode, "title", title(one));
    }
    setClass(this.root, "some-dropped", rates.total("missing") > 0);
    setClass(this.root, "drops-now", rates.get("missing") > 0);
    setClass(this.root, "some-held", device.held > 0);
    const failed = device.state === "failed" && device.failure !== null;
    setHidden(this.#failure, !failed);
    setText(this.#failure, failed ? device.failure : "");
  }

  // Take it off the page.
  close() {
    this.deck.drop(this.name);
    this.root.remove();
  }

  #cell({ key, heading, falling }) {
    if (key === "name") return make("th", { role: "rowheader", scope: "row", class: "cell-name" }, this.#button, this.#failure);
    const content = make("span", { class: key === "state" ? "state" : "" });
    this.#cells.set(key, content);
    return make("td", { role: "cell", class: `cell-${key}${falling ? " figure" : ""}`, "data-heading": heading }, content);
  }
}
