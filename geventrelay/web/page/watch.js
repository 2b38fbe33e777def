// The messages of a device that has a tap: filtered, as text, hexadecimal or JSON, the newest first.

import { reachable } from "./addresses.js";
import { copyButton } from "./clipboard.js";
import { make, setAttribute, setHidden, setText } from "./dom.js";
import { messageElements } from "./message.js";
import { exact, plural } from "./numbers.js";
import { kept, VIEWS } from "./payload.js";
import { TapStream } from "./tap_stream.js";

const MOST_MESSAGES = 100;
const REDRAW_MS = 250;
const TYPING_MS = 400;
// A browser opens at most six connections to a server.
const MOST_OPEN = 3;

const open = [];

export class Watch {
  #stream;
  #messages = [];
  #fresh = 0;
  #counts = { seen: 0, lost: 0, paused: 0 };
  #paused = false;
  #access = { possible: false, allowed: false };
  #device = null;
  #timer = 0;
  #typing = 0;
  #gone = new AbortController();
  #state = make("p", { class: "watch-state", role: "status" });
  #count = make("p", { class: "muted" });
  #list = make("ol", { class: "watch-list" });
  #direction = make("select", {}, make("option", { value: "" }, "all"));
  #topic = make("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "all" });
  #sample = make("input", { type: "number", min: "1", step: "1", value: "1" });
  #view = make("select", {}, make("option", { value: "text" }, "text"), make("option", { value: "hex" }, "hexadecimal"), make("option", { value: "json" }, "JSON"));
  #pause = make("button", { type: "button", "aria-pressed": "false" }, "Pause");
  #clear = make("button", { type: "button", class: "quiet" }, "Clear");
  #why = make("p", {});
  #ask = make("button", { type: "button" }, "Enter token");
  #live;
  #closed;

  // onToken(error): the token is needed, or was refused.
  constructor(name, onToken) {
    this.name = name;
    this.onToken = onToken;
    this.#stream = new TapStream(name, {
      onOpen: () => setText(this.#state, "Every message from now on."),
      onLines: (lines) => this.#take(lines),
      onError: (error) => this.#lose(error),
    });
    this.#pause.append(make("span", { class: "visually-hidden" }, ` watching ${name}`));
    const field = (label, input) => make("label", {}, make("span", {}, label), input);
    const fields = make("div", { class: "watch-fields", role: "group", "aria-label": `Which messages of ${name}` },
      field("Came in at", this.#direction), field("Topic begins with", this.#topic), field("Only every Nth", this.#sample),
      field("Shown as", this.#view), this.#pause, this.#clear);
    this.#live = make("div", { class: "watch-live" }, fields, this.#state, this.#count,
      make("div", { class: "watch-frame", role: "region", tabindex: "0", "aria-label": `Messages seen at ${name}` }, this.#list));
    this.#closed = make("div", { class: "watch-closed" }, this.#why, this.#ask);
    this.root = make("details", { class: "watch", hidden: true },
      make("summary", {}, "Watch messages", make("span", { class: "visually-hidden" }, ` of ${name}`)), this.#closed, this.#live);
    this.#listen();
  }

  // Show whether it can be watched, and where messages come in.
  update(device) {
    const before = this.#device;
    this.#device = device;
    const sources = device.pumps.map((pump) => pump.source);
    if (this.#direction.options.length !== sources.length + 1) {
      this.#direction.replaceChildren(make("option", { value: "" }, "all"), ...sources.map((one) => make("option", { value: one }, one)));
    }
    const hidden = !device.sockets.some((socket) => socket.key === "tap");
    const changed = before === null || hidden !== this.root.hidden;
    setHidden(this.root, hidden);
    if (changed) this.#show();
  }

  // possible: the server has a token. allowed: this tab has it.
  allow(access) {
    const changed = access.possible !== this.#access.possible || access.allowed !== this.#access.allowed;
    this.#access = access;
    if (changed) this.#show();
  }

  close() {
    this.#gone.abort();
    this.#end();
  }

  #listen() {
    const signal = this.#gone.signal;
    this.root.addEventListener("toggle", () => this.#show());
    document.addEventListener("visibilitychange", () => this.#show(), { signal });
    for (const input of [this.#topic, this.#sample]) {
      input.addEventListener("input", () => {
        clearTimeout(this.#typing);
        this.#typing = setTimeout(() => this.#again(), TYPING_MS);
      });
    }
    this.#direction.addEventListener("change", () => this.#again());
    this.#view.addEventListener("change", () => this.#drawAll());
    this.#pause.addEventListener("click", () => this.#turn(!this.#paused));
    this.#clear.addEventListener("click", () => this.#empty());
    this.#ask.addEventListener("click", () => this.onToken(""));
  }

  // Watch if it is open and may be watched.
  #show() {
    if (this.#device === null) return;
    const { possible, allowed } = this.#access;
    setHidden(this.#live, !allowed);
    setHidden(this.#closed, allowed);
    setHidden(this.#ask, !possible);
    if (possible) setText(this.#why, "Messages may be confidential, so the server asks for its token first.");
    else this.#why.replaceChildren(...this.#command());
    if (!this.root.open || this.root.hidden || !allowed || document.hidden || this.#gone.signal.aborted) this.#end();
    else if (!open.includes(this)) this.#begin();
  }

  // Without a token, the tap itself can be asked.
  #command() {
    const tap = this.#device.sockets.find((socket) => socket.key === "tap");
    const why = "The server was started without --http-token-file, so its messages are not shown here.";
    if (!tap?.bound.length) return [why];
    const command = `geventrelay tap ${reachable(tap.bound[0]).address}`;
    return [`${why} In a terminal: `, make("code", {}, command), " ", copyButton(command)];
  }

  #begin() {
    open.push(this);
    if (open.length > MOST_OPEN) open[0].root.open = false;
    this.#again();
  }

  #end() {
    if (open.includes(this)) open.splice(open.indexOf(this), 1);
    clearTimeout(this.#timer);
    clearTimeout(this.#typing);
    this.#timer = 0;
    this.#stream.close();
  }

  #again() {
    if (!open.includes(this)) return;
    const query = Object.entries({ direction: this.#direction.value, topic: this.#topic.value, sample: this.#sample.value || "1" });
    this.#empty();
    setText(this.#state, "Connecting.");
    this.#stream.open(query.filter(([, value]) => value !== ""));
  }

  #lose(error) {
    setText(this.#state, error.message);
    if (error.status === 401) this.onToken("The server does not know this token.");
  }

  // Only those that can be seen are decoded: the others would have gone from the list at once.
  #take(lines) {
    const lost = lines.filter((line) => line.startsWith('{"lost"'));
    const seen = lines.length - lost.length;
    this.#counts.lost += lost.reduce((sum, line) => sum + JSON.parse(line).lost, 0);
    this.#counts.seen += seen;
    if (this.#paused) {
      this.#counts.paused += seen;
    } else {
      const some = lines.filter((line) => !line.startsWith('{"lost"')).slice(-MOST_MESSAGES).map((line) => kept(JSON.parse(line)));
      this.#messages = [...this.#messages, ...some].slice(-MOST_MESSAGES);
      this.#fresh = Math.min(this.#messages.length, this.#fresh + some.length);
    }
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#draw();
    }, REDRAW_MS);
  }

  #turn(paused) {
    this.#paused = paused;
    this.#counts.paused = 0;
    setAttribute(this.#pause, "aria-pressed", paused);
    this.#draw();
  }

  #empty() {
    this.#messages = [];
    this.#fresh = 0;
    this.#counts = { seen: 0, lost: 0, paused: 0 };
    this.#list.replaceChildren();
    this.#draw();
  }

  #drawAll() {
    this.#list.replaceChildren();
    this.#fresh = this.#messages.length;
    this.#draw();
  }

  #draw() {
    const { seen, lost, paused } = this.#counts;
    const told = [plural(seen, "message", "messages"), lost > 0 && `${exact(lost)} lost, as this page was too slow`, this.#paused && `paused, ${exact(paused)} not shown`];
    setText(this.#count, told.filter(Boolean).join(" · "));
    const view = VIEWS[this.#view.value];
    const fresh = this.#messages.slice(this.#messages.length - this.#fresh).reverse();
    this.#list.prepend(...fresh.map((message) => make("li", {}, ...messageElements(message, view))));
    while (this.#list.children.length > MOST_MESSAGES) this.#list.lastChild.remove();
    this.#fresh = 0;
  }
}
