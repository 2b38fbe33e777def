// The columns of the table of devices, and the order into which one of them puts the devices.

import { count, exact, rate } from "./numbers.js";
import { peersOf } from "./labels.js";

const STATES = ["failed", "stopping", "stopped", "paused", "running"];
const { compare } = new Intl.Collator(undefined, { numeric: true });

// Rates that look the same are the same: their devices keep their places.
const rounded = (value) => Number(value.toPrecision(2));

// value({device, rates}): what devices are ordered by. text(...) is shown, and title(...) tells more. A column of
// figures begins with the largest.
export const COLUMNS = [
  { key: "name", heading: "Name", value: ({ device }) => device.name },
  { key: "pattern", heading: "Pattern", value: ({ device }) => device.pattern },
  { key: "state", heading: "State", value: ({ device }) => STATES.indexOf(device.state), text: ({ device }) => device.state },
  figure("in", "In", ({ rates }) => rounded(rates.get("received")), ({ rates }) => rateText(rates, "received"),
    ({ rates }) => `${exact(rates.total("received"))} messages received`),
  figure("out", "Out", ({ rates }) => rounded(rates.get("sent")), ({ rates }) => rateText(rates, "sent"),
    ({ rates }) => `${exact(rates.total("sent"))} messages sent`),
  figure("peers", "Peers", ({ device }) => peersOf(device).number, ({ device }) => peersOf(device).text, ({ device }) => peersOf(device).title),
  figure("dropped", "Dropped", ({ rates }) => rates.total("missing"), missingText, missingTitle),
  figure("held", "Held", ({ device }) => device.held, ({ device }) => count(device.held), ({ device }) => `${exact(device.held)} ${device.held === 1 ? "message" : "messages"} held`),
];

function figure(key, heading, value, text, title) {
  return { key, heading, value, text, title, falling: true };
}

function rateText(rates, what) {
  return rates.known ? rate(rates.get(what)) : "–";
}

function missingText({ rates }) {
  const now = rates.get("missing");
  return count(rates.total("missing")) + (now > 0 ? ` (${rate(now)})` : "");
}

function missingTitle({ rates }) {
  const lost = rates.total("lost");
  const alsoLost = lost > 0 ? ` and ${exact(lost)} lost by single peers` : "";
  return `${exact(rates.total("dropped"))} messages dropped${alsoLost}, ${exact(rates.get("missing"))}/s now`;
}

// By which column the devices are ordered: none at first, which is the order of the configuration.
export class Order {
  column = null;
  falling = false;

  // A heading was pressed: this column, then the other way round, then none again.
  turn(column) {
    const first = Boolean(column.falling);
    if (this.column !== column) [this.column, this.falling] = [column, first];
    else if (this.falling === first) this.falling = !first;
    else this.column = null;
  }

  // "ascending", "descending" or "none".
  of(column) {
    if (this.column !== column) return "none";
    return this.falling ? "descending" : "ascending";
  }

  // `all`, each {device, rates}, in this order; those that are equal stay as they were.
  sorted(all) {
    if (this.column === null) return all;
    const { value } = this.column;
    const sign = this.falling ? -1 : 1;
    return [...all].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      return sign * (typeof a === "string" ? compare(a, b) : a - b);
    });
  }
}
