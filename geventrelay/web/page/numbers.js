// Figures that a person can read at a glance. Tooltips and tables have the exact ones.

const SPACE = "\u00a0";
const STEPS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

function scaled(value, unit) {
  for (const [step, prefix] of STEPS) {
    // 999.95 k would be written 1000 k.
    if (value >= step * 0.99995) {
      const short = value / step;
      return `${short.toFixed(short < 99.95 ? 1 : 0)}${SPACE}${prefix}${unit}`;
    }
  }
  return null;
}

export function count(value) {
  return scaled(value, "") ?? String(Math.round(value));
}

function perSecond(value) {
  if (value <= 0) return `0`;
  if (value < 0.05) return "<0.1";
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value));
}

export function rate(value) {
  return `${scaled(value, "") ?? perSecond(value)}/s`;
}

export function bytes(value) {
  return scaled(value, "B") ?? `${Math.round(value)}${SPACE}B`;
}

export function byteRate(value) {
  return `${bytes(value)}/s`;
}

const seconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const millis = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

// A time of day here, of a Unix time.
export function clockTime(unixS, exactly = false) {
  return (exactly ? millis : seconds).format(unixS * 1000);
}

// Made once: toLocaleString makes one for each number, which was most of the work of an event.
const figures = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 });

export function exact(value) {
  return figures.format(value);
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}${SPACE}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${SPACE}min`;
  if (s < 86400) return `${Math.floor(s / 3600)}${SPACE}h ${Math.floor((s % 3600) / 60)}${SPACE}min`;
  return `${Math.floor(s / 86400)}${SPACE}d ${Math.floor((s % 86400) / 3600)}${SPACE}h`;
}

export function milliseconds(seconds) {
  const ms = seconds * 1000;
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)}${SPACE}ms`;
}

export function plural(number, one, several) {
  return `${count(number)} ${number === 1 ? one : several}`;
}
