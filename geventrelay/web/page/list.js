// More than a handful of devices: a table with a row for each, which a reader can sort and open.

import { make, setAttribute, setHidden } from "./dom.js";
import { COLUMNS, Order } from "./columns.js";
import { announce } from "./overview.js";
import { Row } from "./row.js";

export class List {
  #order = new Order();
  #rows = new Map();
  #names = [];
  #headings;
  #table;

  constructor(parent, deck) {
    this.deck = deck;
    this.#headings = COLUMNS.map((column) => this.#heading(column));
    // The roles say again what the elements say, because on a narrow screen they are laid out as no table.
    this.#table = make("table", { role: "table", class: "list" }, make("caption", { class: "visually-hidden" }, "Devices"),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...this.#headings)));
    parent.append(this.#table);
  }

  // A row for each device.
  arrange(devices) {
    this.#names = devices.map((device) => device.name);
    const names = new Set(this.#names);
    for (const [name, row] of this.#rows) {
      if (names.has(name)) continue;
      row.close();
      this.#rows.delete(name);
    }
    for (const name of this.#names) if (!this.#rows.has(name)) this.#rows.set(name, new Row(name, this.deck));
  }

  // Show those devices that `takes(name)` selects; returns how many.
  show(takes) {
    let shown = 0;
    const all = this.#names.map((name) => this.deck.latest(name));
    for (const one of all) {
      const row = this.#rows.get(one.device.name);
      const taken = takes(row.name);
      setHidden(row.root, !taken);
      if (taken) row.update(one);
      shown += taken;
    }
    // A row that a reader is at stays where it is.
    const atOne = this.#table.querySelector("tbody:hover, tbody:focus-within") !== null;
    if (!atOne || this.#table.tBodies.length !== all.length) this.#place(all);
    return shown;
  }

  close() {
    this.arrange([]);
    this.#table.remove();
  }

  // Put the rows in order, and move no more of them than needed: most stay where they are.
  #place(all) {
    let at = this.#table.tHead.nextElementSibling;
    for (const { device } of this.#order.sorted(all)) {
      const { root } = this.#rows.get(device.name);
      if (at !== root && at?.nextElementSibling === root) {
        const later = at;
        at = root;
        this.#table.append(later);
      }
      if (at === root) at = at.nextElementSibling;
      else this.#table.insertBefore(root, at);
    }
  }

  #heading(column) {
    const button = make("button", { type: "button", class: "sort" }, column.heading, make("span", { class: "sort-mark", "aria-hidden": "true" }));
    const cell = make("th", { role: "columnheader", scope: "col", class: `cell-${column.key}${column.falling ? " figure" : ""}`, "aria-sort": "none" }, button);
    button.addEventListener("click", () => this.#sort(column));
    return cell;
  }

  #sort(column) {
    this.#order.turn(column);
    this.#headings.forEach((cell, index) => setAttribute(cell, "aria-sort", this.#order.of(COLUMNS[index])));
    const order = this.#order.of(column);
    announce(order === "none" ? "In the order of the configuration." : `By ${column.heading.toLowerCase()}, ${order}.`);
    this.#place(this.#names.map((name) => this.deck.latest(name)));
  }
}
