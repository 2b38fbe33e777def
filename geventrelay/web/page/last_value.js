// The last value of one topic, below its row. Only those who have the token may see it.

import { reachable } from "./addresses.js";
import { ApiError, devicePath, getLines } from "./api.js";
import { make, setText } from "./dom.js";
import { messageElements } from "./message.js";
import { kept, VIEWS } from "./payload.js";

// Others whose message begins like it may come before it.
const MOST = 20;

export class LastValue {
  #name;
  #topic;
  #of;
  #message = null;
  #text = make("p", { role: "status" });
  #value = make("div", { class: "last-value" });
  #ask = make("button", { type: "button" }, "Enter token");
  #again = make("button", { type: "button" }, "Again");
  #view = make("select", { "aria-label": "Shown as" }, ...["json", "text", "hex"].map((view) => make("option", { value: view }, view)));
  #place;

  // topic: {topic, hex}. access(): {possible, allowed}. onToken(error). device(): the latest of it.
  constructor(name, topic, of) {
    [this.#name, this.#topic, this.#of] = [name, topic, of];
    this.#ask.addEventListener("click", () => this.#of.onToken(""));
    this.#again.addEventListener("click", () => this.load());
    this.#view.addEventListener("change", () => this.#draw());
    this.#place = make("td", { role: "cell", colspan: 7 });
    this.root = make("tr", { role: "row", class: "below" }, this.#place);
  }

  // Fetch it anew.
  async load() {
    const { possible, allowed } = this.#of.access();
    if (!allowed) {
      this.#say("Last values may be confidential, so the server shows them only with its token.", possible ? this.#ask : this.#command());
      return;
    }
    this.#say("Asking.");
    try {
      // As bytes: a topic may be no text.
      const prefix = this.#topic.hex.replace(/../g, "%$&");
      const lines = await getLines(`${devicePath(this.#name, "last")}?limit=${MOST}&prefix=${prefix}`);
      const found = lines.find((line) => this.#is(line));
      this.#message = found === undefined ? null : kept(found);
      if (found === undefined) this.#say("No last value of this topic is kept.", this.#again);
      else this.#draw();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#say(error.message, this.#again);
      if (error.status === 401) this.#of.onToken("The server does not know this token.");
    }
  }

  #draw() {
    if (this.#message === null) return;
    this.#value.replaceChildren(...messageElements(this.#message, VIEWS[this.#view.value]));
    this.#place.replaceChildren(this.#value, this.#view, " ", this.#again);
  }

  #say(text, ...more) {
    this.#message = null;
    setText(this.#text, text);
    this.#place.replaceChildren(this.#text, ...more);
  }

  // Whether a line is about this topic: it says so, or it is its first part.
  #is({ topic, parts }) {
    const found = topic ?? parts?.[0];
    if (found === undefined) return false;
    const hex = typeof found === "string" ? hexOf(found) : found.hex;
    return hex === this.#topic.hex || (this.#topic.hex.length === LONGEST && hex.startsWith(this.#topic.hex));
  }

  // Without a token, a subscriber can be asked.
  #command() {
    const socket = this.#of.device()?.sockets.find(({ type, key, bound }) => (type === "PUB" || type === "XPUB") && key !== "tap" && bound.length);
    if (socket === undefined) return make("span", {});
    return make("p", {}, "In a terminal: ", make("code", {}, `geventrelay last ${reachable(socket.bound[0]).address}`));
  }
}

// The digits of the longest topic that is counted: a longer one is cut there.
const LONGEST = 2 * 255;

const encoder = new TextEncoder();

function hexOf(text) {
  return Array.from(encoder.encode(text), (one) => one.toString(16).padStart(2, "0")).join("");
}
