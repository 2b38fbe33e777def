// Where to connect: the whole address of each socket of a device, with a button that copies it.

import { copyButton } from "./clipboard.js";
import { make, printable } from "./dom.js";

// A socket that listens on every address of its host; the browser knows one of them.
const EVERY = /^(tcp|ws|wss):\/\/(\*|0\.0\.0\.0|\[::\])(:\d+.*)$/;

export class Addresses {
  #shown = "";

  constructor(name) {
    this.root = make("ul", { class: "addresses", "aria-label": `Addresses of ${name}` });
  }

  // Show those of a device; the list changes only where an address does.
  update(device) {
    const all = device.sockets.flatMap(placesOf);
    const now = JSON.stringify(all);
    if (now === this.#shown) return;
    this.#shown = now;
    this.root.replaceChildren(...all.map(item));
  }
}

// [{key, address, note}] of a socket.
function placesOf({ key, bound, connects }) {
  return [
    ...bound.map((address) => ({ key, ...reachable(address) })),
    ...connects.map((address) => ({ key, address, note: "it connects to this" })),
  ];
}

// {address, note}: where others reach a socket that listens there.
export function reachable(address) {
  const [, scheme, , rest] = EVERY.exec(address) ?? [];
  if (scheme === undefined) return { address, note: "" };
  return { address: `${scheme}://${location.hostname}${rest}`, note: `listens at ${address}` };
}

function item({ key, address, note }) {
  // What is copied is what is seen.
  const text = printable(address);
  return make("li", {}, make("span", { class: "address-key" }, key),
    make("span", { class: "address-text" }, make("code", {}, text), ...(note ? [make("span", { class: "muted" }, ` ${note}`)] : [])),
    copyButton(text));
}
