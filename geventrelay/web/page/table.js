// A table whose cells change in place, so that a reader keeps the place in it.

import { make, setAttribute, setHidden, setText } from "./dom.js";
import { exact } from "./numbers.js";

const MOST_ROWS = 100;

export class Table {
  #head = make("tr");
  #headings = "";
  #classes = [];
  #body = make("tbody");
  #none;
  #more = make("p", { class: "muted", hidden: true });

  // `none` is the text for an empty table, `of` the device that it is about.
  constructor(caption, headings, none, of) {
    this.#none = make("p", { class: "muted", hidden: true }, none);
    this.root = make("div", { class: "table", role: "region", "aria-label": `${caption} of ${of}`, tabindex: "0", hidden: true },
      make("table", {}, make("caption", {}, caption),
        make("thead", {}, this.#head),
        this.#body),
      this.#none, this.#more);
    this.setHeadings(headings);
  }

  // Each is a text, or [text, what it is, class of its cells]. With other headings than before, the rows begin anew.
  setHeadings(headings) {
    const cells = headings.map((heading) => [heading].flat());
    const now = cells.map(([text]) => text).join("\n");
    if (now === this.#headings) return;
    this.#headings = now;
    this.#classes = cells.map(([, , name]) => name);
    this.#head.replaceChildren(...cells.map(([text, title]) => make("th", { scope: "col", title }, text)));
    this.#body.replaceChildren();
  }

  // Show rows of texts, and of buttons: {text, label, press}.
  show(rows) {
    const shown = rows.slice(0, MOST_ROWS);
    while (this.#body.rows.length > shown.length) this.#body.lastChild.remove();
    shown.forEach((cells, index) => {
      const row = this.#body.rows[index];
      if (row === undefined) this.#body.append(make("tr", {}, ...cells.map((cell, column) => show(make("td", { class: this.#classes[column] }), cell))));
      else cells.forEach((cell, column) => show(row.cells[column], cell));
    });
    setHidden(this.#none, rows.length > 0);
    setHidden(this.#more, rows.length === shown.length);
    setText(this.#more, `and ${exact(rows.length - shown.length)} more`);
    setHidden(this.root, false);
  }
}

function show(cell, content) {
  if (typeof content === "string") {
    setText(cell, content);
    return cell;
  }
  let button = cell.querySelector("button");
  if (button === null) {
    button = make("button", { type: "button" });
    cell.replaceChildren(button);
  }
  setText(button, content.text);
  setAttribute(button, "aria-label", content.label);
  button.onclick = content.press;
  return cell;
}
