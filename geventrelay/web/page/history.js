// The last 15 minutes of each device: what /api/history gave, then what the events add to it.

const SPAN_S = 900;

export class History {
  #intervalS = 5;
  #devices = new Map();
  #since = new Map();
  #endS = new Map();
  #loadedS = 0;

  // Begin again with the answer of /api/history.
  load(answer) {
    this.#intervalS = answer.interval_s;
    this.#devices = new Map(Object.entries(answer.devices));
    this.#since.clear();
    this.#endS.clear();
    this.#loadedS = Date.now() / 1000;
  }

  of(name) {
    return this.#devices.get(name) ?? { received: [], dropped: [], lost: [], held: [] };
  }

  get points() {
    return Math.round(SPAN_S / this.#intervalS);
  }

  // When the points of a device were: their number in 15 minutes, the seconds between, and the Unix time of the last.
  times(name) {
    return { slots: this.points, intervalS: this.#intervalS, endS: this.#endS.get(name) ?? this.#loadedS };
  }

  // Add a point if an interval is over; returns whether it did.
  add(device, rates, nowMs) {
    const since = this.#since.get(device.name);
    const now = { atMs: nowMs, received: rates.total("received"), dropped: rates.total("dropped"), lost: rates.total("lost") };
    if (since === undefined || now.received < since.received) {
      this.#since.set(device.name, now);
      return false;
    }
    const seconds = (nowMs - since.atMs) / 1000;
    // Half an event early is on time.
    if (seconds < this.#intervalS - 0.5) return false;
    const series = this.of(device.name);
    this.#devices.set(device.name, series);
    this.#push(series.received, (now.received - since.received) / seconds);
    this.#push(series.dropped, (now.dropped - since.dropped) / seconds);
    this.#push(series.lost, (now.lost - since.lost) / seconds);
    this.#push(series.held, device.held);
    this.#since.set(device.name, now);
    this.#endS.set(device.name, Date.now() / 1000);
    return true;
  }

  #push(points, value) {
    points.push(value);
    if (points.length > this.points) points.splice(0, points.length - this.points);
  }
}
