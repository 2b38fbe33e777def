// Asks again and again while it is wanted and the page is visible, one request at a time.

// An answer that takes the server long is not asked for all the time.
const REST = 10;

export class Poll {
  #ask;
  #everyMs;
  #wanted = false;
  #timer = 0;
  #run = 0;

  // ask(): asks, and shows what comes; it handles its errors.
  constructor(ask, everyMs) {
    this.#ask = ask;
    this.#everyMs = everyMs;
    this.onVisible = () => this.#begin();
  }

  // Begin, or ask at once instead of later.
  start() {
    if (!this.#wanted) document.addEventListener("visibilitychange", this.onVisible);
    this.#wanted = true;
    this.#begin();
  }

  stop() {
    document.removeEventListener("visibilitychange", this.onVisible);
    this.#wanted = false;
    this.#begin();
  }

  get wanted() {
    return this.#wanted;
  }

  // What was begun before ends after its answer.
  #begin() {
    clearTimeout(this.#timer);
    this.#run += 1;
    if (this.#wanted && !document.hidden) this.#go(this.#run);
  }

  async #go(run) {
    const beganMs = performance.now();
    await this.#ask(() => run === this.#run);
    if (run !== this.#run) return;
    const tookMs = performance.now() - beganMs;
    this.#timer = setTimeout(() => this.#go(run), Math.max(this.#everyMs, REST * tookMs));
  }
}
