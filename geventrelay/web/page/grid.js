// A handful of devices: a card for each, side by side.

import { setHidden } from "./dom.js";

export class Grid {
  #cards = new Map();

  constructor(parent, deck) {
    this.parent = parent;
    this.deck = deck;
  }

  // A card for each device, in the order of the configuration.
  arrange(devices) {
    const names = new Set(devices.map((device) => device.name));
    for (const name of [...this.#cards.keys()].filter((one) => !names.has(one))) {
      this.deck.drop(name);
      this.#cards.delete(name);
    }
    devices.forEach(({ name }, index) => {
      if (!this.#cards.has(name)) this.#cards.set(name, this.deck.take(name));
      const { root } = this.#cards.get(name);
      if (this.parent.children[index] !== root) this.parent.insertBefore(root, this.parent.children[index] ?? null);
    });
  }

  // Show those devices that `takes(name)` selects; returns how many.
  show(takes) {
    let shown = 0;
    for (const [name, card] of this.#cards) {
      const taken = takes(name);
      setHidden(card.root, !taken);
      shown += taken;
    }
    return shown;
  }

  close() {
    this.arrange([]);
  }
}
