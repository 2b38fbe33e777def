// The cards of the devices: made when they are first shown, and updated while they are on the screen.

import { Card } from "./card.js";

export class Deck {
  #cards = new Map();
  #width = 0;
  #access = { possible: false, allowed: false };
  #seen = new IntersectionObserver((entries) => this.#onSeen(entries), { rootMargin: "300px" });

  // latest(name): {device, rates}. `forCards` goes to each card.
  constructor({ latest, history, ...forCards }) {
    this.forCards = forCards;
    this.latest = latest;
    this.history = history;
  }

  // The card of a device; the caller puts it on the page.
  take(name) {
    let card = this.#cards.get(name);
    if (card === undefined) {
      card = new Card(name, this.forCards);
      card.stale = true;
      card.allow(this.#access);
      card.root.card = card;
      this.#cards.set(name, card);
      this.#seen.observe(card.root);
      card.showState(this.latest(name).device);
    }
    return card;
  }

  // Take the card of a device off the page, for good.
  drop(name) {
    const card = this.#cards.get(name);
    if (card === undefined) return;
    this.#seen.unobserve(card.root);
    card.close();
    card.root.remove();
    this.#cards.delete(name);
  }

  // Show the latest figures: all of what is on the screen, and of the rest the state.
  update() {
    for (const card of this.#cards.values()) {
      const { device } = this.latest(card.name);
      card.showState(device);
      if (card.visible && !card.root.hidden) this.#show(card);
    }
  }

  // The curve of a device has another point; without a name, all curves are others.
  newPoints(name) {
    for (const card of this.#cards.values()) card.stale ||= name === undefined || card.name === name;
  }

  allow(access) {
    this.#access = access;
    for (const card of this.#cards.values()) card.allow(access);
  }

  resized() {
    this.#width = 0;
    this.update();
  }

  #show(card) {
    // All cards are of one width. One that is not laid out yet has none.
    if (this.#width <= 0) this.#width = card.width;
    if (this.#width <= 0) return;
    const { device, rates } = this.latest(card.name);
    card.update(device, rates, this.#width);
    if (!card.stale) return;
    card.stale = false;
    card.curves(this.history.of(card.name), this.history.times(card.name));
  }

  #onSeen(entries) {
    for (const { target, isIntersecting } of entries) {
      target.card.visible = isIntersecting;
      if (isIntersecting && this.#cards.get(target.card.name) === target.card) this.#show(target.card);
    }
  }
}
