// Makes nodes. Data from the server goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

// Control characters, and those that are not seen, such as the ones that change the direction of writing. Line ends stay.
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

// The text with an escape for each hidden character, as geventrelay/printable.py writes them.
export function printable(text) {
  return String(text).replace(HIDDEN, (char) => {
    const code = char.codePointAt(0);
    const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
    return `\\${letter}${code.toString(16).padStart(digits, "0")}`;
  });
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : printable(value));
  }
  node.append(...children.map((child) => (typeof child === "string" ? printable(child) : child)));
  return node;
}

// An HTML element with attributes and children; a string among the children becomes a text node.
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

// The same for SVG.
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// Setting the same value again would still cost a layout, once a second for every figure on the page.
export function setText(node, value) {
  const text = printable(value);
  const only = node.firstChild;
  if (only === null || only !== node.lastChild || only.nodeType !== Node.TEXT_NODE) node.textContent = text;
  else if (only.nodeValue !== text) only.nodeValue = text;
}

export function setAttribute(node, name, value) {
  const text = printable(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

export function setClass(node, name, on) {
  if (node.classList.contains(name) !== on) node.classList.toggle(name, on);
}
