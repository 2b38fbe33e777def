// What the numbers of a device are: the answer of /api/values. A number that the server adds shows up by itself.

import { get } from "./api.js";
import { exact } from "./numbers.js";

// What a number is that the server has no value for, such as the peers over inproc.
export const NOT_SEEN = "not seen";

let values = [];
let drops = {};

// Fetch the descriptions; before that there are none.
export async function loadValues() {
  const answer = await get("api/values");
  values = answer.values;
  drops = answer.drops;
}

// The numbers of a pump, an outlet or a socket that its JSON has, as [heading, what it is, text(one)].
export function columnsOf(what) {
  return values.filter((value) => value.of === what && value.path.length).map((value) => [
    heading(value.path), value.help, (one) => text(value.path.reduce((found, key) => found?.[key], one)),
  ]);
}

export function dropName(reason) {
  return drops[reason]?.label ?? reason.replaceAll("_", " ");
}

export function dropMeaning(reason) {
  return drops[reason]?.help ?? reason;
}

// sent.messages is "sent", sent.bytes is "bytes sent".
function heading([name, part]) {
  const words = name.replaceAll("_", " ");
  return part === undefined || part === "messages" ? words : `${part.replaceAll("_", " ")} ${words}`;
}

function text(value) {
  if (value === null) return NOT_SEEN;
  if (value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return exact(value);
  return Object.entries(value).filter(([, number]) => number > 0).map(([reason, number]) => `${exact(number)} ${reason}`).join(", ") || "none";
}
