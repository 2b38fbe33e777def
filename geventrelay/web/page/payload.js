// A watched message as text: its parts are strings, or {hex} where they are not UTF-8. Keeps a bounded piece of each.

import { printable } from "./dom.js";
import { bytes, exact, plural } from "./numbers.js";

const KEPT_CHARS = 16384;
const KEPT_PARTS = 32;
const SHOWN_CHARS = 1000;
const SHOWN_LINES = 20;
// JSON that is nested deeper is not moved further to the right.
const DEEPEST = 20;

export const VIEWS = { text: asText, hex: asHex, json: asJson };

const encoder = new TextEncoder();

// A line of /api/devices/NAME/tap, decoded, as what is kept of it: {time, source, size, parts: [{size, text | hex, cut}]}.
export function kept(message) {
  const { time, source } = message;
  if (message.left_out_bytes !== undefined) {
    return { time, source, size: `${bytes(message.left_out_bytes)}: too large to be shown here`, parts: [] };
  }
  let room = KEPT_CHARS;
  const sizes = message.parts.map(sizeOf);
  const parts = message.parts.slice(0, KEPT_PARTS).map((part, index) => {
    const [form, all] = typeof part === "string" ? ["text", part] : ["hex", part.hex];
    const some = all.slice(0, room - (room % 2));
    room -= some.length;
    return { size: sizes[index], [form]: some, cut: some.length < all.length };
  });
  const more = message.parts.length > KEPT_PARTS ? `, the first ${KEPT_PARTS} are here` : "";
  const size = bytes(sizes.reduce((sum, one) => sum + one, 0)) + (message.parts.length > 1 ? ` in ${plural(message.parts.length, "part", "parts")}${more}` : "");
  return { time, source, size, parts };
}

function sizeOf(part) {
  return typeof part === "string" ? encoder.encode(part).length : part.hex.length / 2;
}

// The beginning of a long text, and that it is one.
function beginning(text, part) {
  const some = text.slice(0, SHOWN_CHARS).split("\n", SHOWN_LINES).join("\n");
  return some.length < text.length || part.cut ? `${some} … (${exact(part.size)} bytes)` : some;
}

function asText(part) {
  if (part.text !== undefined) return beginning(part.text, part);
  const text = part.hex.replace(/../g, (pair) => {
    const code = parseInt(pair, 16);
    return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : `\\x${pair}`;
  });
  return beginning(text, part);
}

function asHex(part) {
  const hex = part.hex ?? Array.from(encoder.encode(part.text.slice(0, SHOWN_CHARS)), (one) => one.toString(16).padStart(2, "0")).join("");
  return beginning(hex.replace(/..(?=.)/g, "$& "), part);
}

function asJson(part) {
  try {
    return beginning(indented(part.text), part);
  } catch {
    // It is no JSON, or only the beginning of it.
    return asText(part);
  }
}

// JSON with a line for each member. Its tokens stay as they are: JavaScript would round large numbers.
function indented(text) {
  JSON.parse(text);
  let [out, depth, last] = ["", 0, ""];
  const line = () => `\n${"  ".repeat(Math.min(depth, DEEPEST))}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const closes = token === "}" || token === "]";
    depth -= closes;
    const empty = last === "{" || last === "[";
    if (closes ? !empty : empty || last === ",") out += line();
    out += token === ":" ? ": " : printable(token);
    depth += token === "{" || token === "[";
    last = token;
  }
  return out;
}
