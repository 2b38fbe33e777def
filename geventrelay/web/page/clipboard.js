// Buttons that copy a text.

import { make, setText } from "./dom.js";
import { announce } from "./overview.js";

const SHOWN_MS = 2000;

// A button that copies `text` and says so.
export function copyButton(text) {
  const word = make("span", {}, "Copy");
  const button = make("button", { type: "button", class: "copy" }, word, make("span", { class: "visually-hidden" }, ` ${text}`));
  let timer = 0;
  button.addEventListener("click", async () => {
    const done = await copy(text);
    setText(word, done ? "Copied" : "Not copied");
    announce(done ? `Copied ${text}.` : "The browser does not let this page copy.");
    clearTimeout(timer);
    timer = setTimeout(() => setText(word, "Copy"), SHOWN_MS);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP, browsers have no clipboard but for localhost.
    return copySelected(text);
  }
}

function copySelected(text) {
  const before = document.activeElement;
  const field = make("textarea", { class: "visually-hidden", "aria-hidden": "true", tabindex: "-1" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  return done;
}
