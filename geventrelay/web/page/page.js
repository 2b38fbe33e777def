// The page: shows what the server's events say.

import { ApiError, getWithClock } from "./api.js";
import { Card } from "./card.js";
import { byId, setClass, setHidden, setText } from "./dom.js";
import { History } from "./history.js";
import { announce, Overview, showConnection } from "./overview.js";
import { Meter } from "./rates.js";
import { Search } from "./search.js";
import { Control } from "./control.js";
import { Stream } from "./stream.js";
import { loadValues } from "./values.js";

// The version of the API that this page reads.
const VERSION = 1;
// With more arrows than this, moving them would cost more than it is worth.
const MANY = 24;
const CARD_PADDING = 34;

class Page {
  #cards = new Map();
  #devices = new Map();
  #rates = new Map();
  #history = new History();
  #meter = new Meter();
  #overview = new Overview();
  #search = new Search(() => this.#show());
  #control = new Control((can) => this.#allow(can), (device) => this.#take(device));
  #data = null;
  #aheadS = 0;
  #width = 0;
  #lostSince = 0;
  #countdown = 0;
  #seen = new IntersectionObserver((entries) => this.#onSeen(entries), { rootMargin: "300px" });

  constructor() {
    this.clock = () => Date.now() / 1000 + this.#aheadS;
    new ResizeObserver(() => this.#onResize()).observe(byId("devices"));
    new Stream("api/events", {
      onOpen: () => this.#onOpen(),
      onData: (data) => this.#onData(data),
      onLost: (seconds) => this.#onLost(seconds),
    }).open();
  }

  #onOpen() {
    clearInterval(this.#countdown);
    if (this.#lostSince) announce("The server is back.");
    this.#lostSince = 0;
    showConnection("live", "live");
    this.#loadRest();
  }

  // What the events do not have: the descriptions of the numbers, and the past.
  async #loadRest() {
    try {
      await loadValues();
      const { answer, aheadS } = await getWithClock("api/history");
      this.#aheadS = aheadS;
      this.#history.load(answer);
      for (const card of this.#cards.values()) card.stale = true;
      this.#show();
    } catch (error) {
      // Without the past, the curves begin now; without descriptions, tables have fewer columns.
      if (!(error instanceof ApiError)) throw error;
    }
  }

  #onLost(seconds) {
    if (!this.#lostSince) {
      this.#lostSince = performance.now();
      announce("The server does not answer. The figures are old.");
    }
    clearInterval(this.#countdown);
    let left = seconds;
    const show = () => showConnection("lost", left > 0 ? `no answer; trying again in ${left} s` : "no answer; trying again");
    show();
    this.#countdown = setInterval(() => {
      left = Math.max(0, left - 1);
      show();
    }, 1000);
  }

  #onData(data) {
    if (data.version !== VERSION) {
      showConnection("lost", "the server is of another version; load this page anew");
      return;
    }
    const nowMs = performance.now();
    this.#data = data;
    this.#rates = this.#meter.take(data, nowMs);
    this.#announceChanges(data.devices);
    this.#devices = new Map(data.devices.map((device) => [device.name, device]));
    for (const device of data.devices) {
      const more = this.#history.add(device, this.#rates.get(device.name), nowMs);
      if (more && this.#cards.has(device.name)) this.#cards.get(device.name).stale = true;
    }
    this.#overview.update(data, this.#rates, this.clock);
    this.#arrange(data.devices);
    this.#control.update(data.server);
    this.#show();
  }

  // Show a device after an action; the next event has it too, up to a second later.
  #take(device) {
    if (!this.#devices.has(device.name)) return;
    const devices = this.#data.devices.map((one) => (one.name === device.name ? device : one));
    this.#announceChanges(devices);
    this.#data = { ...this.#data, devices };
    this.#devices.set(device.name, device);
    this.#show();
  }

  #announceChanges(devices) {
    const changes = devices
      .filter((device) => this.#devices.has(device.name) && this.#devices.get(device.name).state !== device.state)
      .map((device) => `${device.name} is ${device.state}`);
    if (changes.length) announce(changes.length > 5 ? `${changes.length} devices have changed their state.` : `${changes.join(", ")}.`);
  }

  // A card for each device, in the order of the configuration.
  #arrange(devices) {
    for (const [name, card] of this.#cards) {
      if (this.#devices.has(name)) continue;
      this.#seen.unobserve(card.root);
      card.details.close();
      card.root.remove();
      this.#cards.delete(name);
    }
    const parent = byId("devices");
    devices.forEach((device, index) => {
      let card = this.#cards.get(device.name);
      if (card === undefined) {
        card = new Card(device.name, this.clock, (name, word) => this.#control.act(name, word));
        card.stale = true;
        card.allow(this.#control.allowed);
        card.root.card = card;
        this.#cards.set(device.name, card);
      }
      if (parent.children[index] !== card.root) {
        parent.insertBefore(card.root, parent.children[index] ?? null);
        this.#seen.observe(card.root);
      }
    });
    setClass(document.body, "many", devices.length > MANY);
    setClass(document.body, "few", devices.length < 3);
  }

  // Update what is on the screen; the rest follows when it scrolls into view.
  #show() {
    if (this.#data === null) return;
    this.#search.update(this.#data.devices, this.#rates);
    let shown = 0;
    for (const [name, card] of this.#cards) {
      const takes = this.#search.takes(this.#devices.get(name), this.#rates.get(name));
      setHidden(card.root, !takes);
      shown += takes;
      card.showState(this.#devices.get(name));
      if (takes && card.visible) this.#showCard(card);
    }
    setHidden(byId("empty"), shown > 0);
    setText(byId("empty"), this.#cards.size ? "No device matches." : "This server has no devices.");
  }

  #showCard(card) {
    if (this.#width === 0) this.#width = card.root.clientWidth - CARD_PADDING + 2;
    card.update(this.#devices.get(card.name), this.#rates.get(card.name), this.#width);
    if (!card.stale) return;
    card.stale = false;
    card.curves(this.#history.of(card.name), this.#history.points);
  }

  #allow(can) {
    for (const card of this.#cards.values()) card.allow(can);
  }

  #onSeen(entries) {
    for (const { target, isIntersecting } of entries) {
      target.card.visible = isIntersecting;
      if (isIntersecting && this.#devices.has(target.card.name)) this.#showCard(target.card);
    }
  }

  #onResize() {
    this.#width = 0;
    this.#show();
  }
}

new Page();
