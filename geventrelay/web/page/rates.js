// Counters of successive events -> rates. Counters only grow while a server lives.

// What an outlet counts by reason: messages that it did not take, and deliveries that were not made (engine zmtp alone).
export const LOSSES = ["dropped", "lost"];

const MESH = "mesh\n";

// The key of a device's counter, in `counters` and in the rates.
export function counterKey(source, outlet, what) {
  return `${source}\n${outlet}\n${what}`;
}

// The key of what a device has sent to another one of its name, or received from it.
export function meshKey(relay, what) {
  return `${MESH}${relay}\n${what}`;
}

function counters(device) {
  const all = new Map();
  let received = 0;
  let sent = 0;
  const losses = { dropped: 0, lost: 0 };
  for (const pump of device.pumps) {
    received += pump.received.messages;
    for (const outlet of pump.outlets) {
      sent += outlet.sent.messages;
      all.set(counterKey(pump.source, outlet.socket, "sent"), outlet.sent.messages);
      all.set(counterKey(pump.source, outlet.socket, "bytes"), outlet.sent.bytes);
      all.set(counterKey(pump.source, outlet.socket, "elsewhere"), outlet.elsewhere ?? 0);
      for (const what of LOSSES) {
        for (const [reason, messages] of Object.entries(outlet[what] ?? {})) {
          losses[what] += messages;
          all.set(counterKey(pump.source, outlet.socket, `${what} ${reason}`), messages);
        }
      }
    }
  }
  const refused = device.sockets.flatMap((socket) => Object.values(socket.denied ?? {}));
  all.set("denied", refused.reduce((sum, one) => sum + one, 0));
  for (const other of device.backbone?.neighbours ?? []) {
    for (const what of ["sent", "received"]) all.set(meshKey(other.relay, what), (other[what] ?? 0) + (other[`work_${what}`] ?? 0));
  }
  // What is missing somewhere: of a device with engine libzmq, what was dropped.
  all.set("missing", losses.dropped + losses.lost);
  return all.set("received", received).set("sent", sent).set("dropped", losses.dropped).set("lost", losses.lost);
}

// The rates of one device. A new counter has started from 0.
class Rates {
  constructor(totals, before, seconds) {
    this.totals = totals;
    this.known = before !== null;
    this.perSecond = new Map();
    if (before === null) return;
    for (const [key, value] of totals) {
      // Another device that was silent for a while comes with what was counted before.
      const first = key.startsWith(MESH) ? value : 0;
      this.perSecond.set(key, Math.max(0, (value - (before.get(key) ?? first)) / seconds));
    }
  }

  get(key) {
    return this.perSecond.get(key) ?? 0;
  }

  total(key) {
    return this.totals.get(key) ?? 0;
  }
}

export class Meter {
  #before = new Map();
  #atMs = 0;
  #server = "";

  // The rates of each device by name. `nowMs` is a time that only goes forward.
  take(data, nowMs) {
    const server = `${data.server.pid} ${data.server.started_at}`;
    if (server !== this.#server) this.#before.clear();
    const seconds = (nowMs - this.#atMs) / 1000;
    const rates = new Map();
    const totals = new Map();
    for (const device of data.devices) {
      const now = counters(device);
      totals.set(device.name, now);
      rates.set(device.name, new Rates(now, this.#before.get(device.name) ?? null, seconds));
    }
    [this.#before, this.#atMs, this.#server] = [totals, nowMs, server];
    return rates;
  }
}
