// The page: shows what the server's events say.

import { ApiError, getWithClock } from "./api.js";
import { Deck } from "./deck.js";
import { byId, setClass, setHidden, setText } from "./dom.js";
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { List } from "./list.js";
import { announce, Overview, showConnection } from "./overview.js";
import { Meter } from "./rates.js";
import { Search } from "./search.js";
import { Control } from "./control.js";
import { Stream } from "./stream.js";
import { loadValues } from "./values.js";

// The version of the API that this page reads.
const VERSION = 1;
// As many devices get a card each; more are a table.
const HANDFUL = 6;

class Page {
  #devices = new Map();
  #rates = new Map();
  #history = new History();
  #meter = new Meter();
  #overview = new Overview();
  #search = new Search(() => this.#show());
  #control = new Control((access) => this.#deck.allow(access), (device) => this.#take(device));
  #deck = new Deck({
    clock: () => this.clock(),
    onToken: (error) => this.#control.askToken(error),
    onAction: (name, word, peer) => (peer === undefined ? this.#control.act(name, word) : this.#control.disconnect(name, peer)),
    latest: (name) => ({ device: this.#devices.get(name), rates: this.#rates.get(name) }),
    history: this.#history,
  });
  #view = null;
  #data = null;
  #aheadS = 0;
  #lostSince = 0;
  #countdown = 0;

  constructor() {
    this.clock = () => Date.now() / 1000 + this.#aheadS;
    new ResizeObserver(() => this.#deck.resized()).observe(byId("devices"));
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
      this.#deck.newPoints();
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
      if (this.#history.add(device, this.#rates.get(device.name), nowMs)) this.#deck.newPoints(device.name);
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

  // Cards, or a table where there are more devices than a handful.
  #arrange(devices) {
    const View = devices.length > HANDFUL ? List : Grid;
    if (!(this.#view instanceof View)) {
      this.#view?.close();
      this.#view = new View(byId("devices"), this.#deck);
      setClass(byId("devices"), "cards", View === Grid);
    }
    this.#view.arrange(devices);
    setClass(document.body, "few", devices.length < 3);
  }

  #show() {
    if (this.#data === null) return;
    this.#search.update(this.#data.devices, this.#rates);
    const shown = this.#view.show((name) => this.#search.takes(this.#devices.get(name), this.#rates.get(name)));
    this.#deck.update();
    setHidden(byId("empty"), shown > 0);
    setText(byId("empty"), this.#devices.size ? "No device matches." : "This server has no devices.");
  }
}

new Page();
