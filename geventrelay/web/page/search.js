// Selects the devices to show: by words, and by kind.

import { byId, make, setAttribute, setHidden, setText } from "./dom.js";
import { addresses } from "./labels.js";

const KINDS = [
  ["all", () => true],
  ["running", (device) => device.state === "running"],
  ["paused", (device) => device.state === "paused"],
  ["stopped", (device) => device.state === "stopped" || device.state === "stopping"],
  ["failed", (device) => device.state === "failed"],
  ["dropping", (device, rates) => rates.get("missing") > 0],
];

const WORTH_IT = 4;

export class Search {
  #kind = "all";
  #buttons = new Map();

  // onChange(): the selection has changed.
  constructor(onChange) {
    for (const [kind] of KINDS) {
      const number = make("span", { class: "kind-count" });
      const root = make("button", { type: "button", class: `kind ${kind}`, "aria-pressed": "false" }, `${kind} `, number);
      root.addEventListener("click", () => {
        this.#kind = this.#kind === kind ? "all" : kind;
        onChange();
      });
      this.#buttons.set(kind, { root, number });
      byId("kinds").append(root);
    }
    byId("filter").addEventListener("input", onChange);
  }

  // Count the devices of each kind.
  update(devices, rates) {
    setHidden(byId("search"), devices.length < WORTH_IT && this.#kind === "all" && byId("filter").value === "");
    for (const [kind, is] of KINDS) {
      const button = this.#buttons.get(kind);
      const number = devices.filter((device) => is(device, rates.get(device.name))).length;
      setText(button.number, String(number));
      setAttribute(button.root, "aria-pressed", this.#kind === kind);
      setHidden(button.root, number === 0 && kind !== "all" && this.#kind !== kind);
    }
  }

  // Whether to show a device.
  takes(device, rates) {
    const is = KINDS.find(([kind]) => kind === this.#kind)[1];
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = [device.name, device.pattern, ...device.sockets.flatMap(addresses)].join("\n").toLowerCase();
    return is(device, rates) && words.every((word) => text.includes(word));
  }
}
