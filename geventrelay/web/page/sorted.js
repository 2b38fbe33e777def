// A table that a heading sorts. Its rows have keys, change in place, and may open to more.

import { make, setAttribute, setClass, setHidden, setText } from "./dom.js";

export class SortedTable {
  #rows = new Map();
  #columns;
  #headings;
  #onSort;
  #table;
  #none;
  // Whether a heading was pressed since rows were shown last.
  #pressed = false;

  // columns: each {key, heading, title, sort: whether a heading sorts, figure, fill(cell, one)}. onSort(key): a heading was
  // pressed. `none` is the text for an empty table, `of` the device that it is about.
  constructor({ caption, of, columns, sorted, onSort, none }) {
    this.#columns = columns;
    this.#onSort = onSort;
    this.#headings = columns.map((column) => this.#heading(column));
    // The roles say again what the elements say, because on a narrow screen they are laid out as no table.
    this.#table = make("table", { role: "table" }, make("caption", {}, caption),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...this.#headings)));
    this.#none = make("p", { class: "muted", hidden: true }, none);
    this.root = make("div", { class: "table sorted", role: "region", "aria-label": `${caption} of ${of}`, tabindex: "0" }, this.#table, this.#none);
    this.mark(sorted);
  }

  // Say by which column it is sorted now.
  mark(key) {
    this.#columns.forEach((column, index) => {
      if (!column.sort) return;
      const order = column.figure ? "descending" : "ascending";
      setAttribute(this.#headings[index], "aria-sort", column.key === key ? order : "none");
    });
  }

  // Show these, each with its key: [key, one].
  show(all) {
    const keys = new Set(all.map(([key]) => key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.root.remove();
      this.#rows.delete(key);
    }
    for (const [key, one] of all) {
      if (!this.#rows.has(key)) this.#rows.set(key, this.#row());
      this.#fill(this.#rows.get(key), one);
    }
    this.#place(all);
    setHidden(this.#none, all.length > 0);
    setHidden(this.#table.tHead, all.length === 0);
  }

  // A row that a reader is at stays where it is, unless a heading was pressed; new ones come last then.
  #place(all) {
    const atOne = !this.#pressed && this.#table.querySelector("tbody:hover, tbody:focus-within") !== null;
    this.#pressed = false;
    let at = this.#table.tHead.nextElementSibling;
    for (const [key] of all) {
      const { root } = this.#rows.get(key);
      if (atOne) {
        if (root.parentNode === null) this.#table.append(root);
      } else if (at === root) {
        at = at.nextElementSibling;
      } else {
        this.#table.insertBefore(root, at);
      }
    }
  }

  #row() {
    const cells = this.#columns.map(({ key, heading, figure }) =>
      make("td", { role: "cell", class: `cell-${key}${figure ? " figure" : ""}`, "data-heading": heading }));
    return { cells, root: make("tbody", { role: "rowgroup" }, make("tr", { role: "row", class: "row" }, ...cells)) };
  }

  #fill(row, one) {
    this.#columns.forEach(({ fill }, index) => fill(row.cells[index], one, row.root));
  }

  #heading({ key, heading, title, sort, figure }) {
    const of = { role: "columnheader", scope: "col", class: `cell-${key}${figure ? " figure" : ""}`, title };
    if (!sort) return make("th", { ...of, class: `${of.class} unsorted` }, heading);
    const button = make("button", { type: "button", class: "sort" }, heading, make("span", { class: "sort-mark", "aria-hidden": "true" }));
    button.addEventListener("click", () => {
      this.#pressed = true;
      this.#onSort(key);
    });
    return make("th", { ...of, "aria-sort": "none" }, button);
  }
}

// A column whose cells are texts: text(one), and title(one) that tells more.
export function textual(text, title) {
  return (cell, one) => {
    setText(cell, text(one));
    if (title !== undefined) setAttribute(cell, "title", title(one));
  };
}

// The same, in the colour of what is lost where there is some.
export function losing(text, title, some) {
  const fill = textual(text, title);
  return (cell, one) => {
    fill(cell, one);
    setClass(cell, "some-lost", some(one));
  };
}
