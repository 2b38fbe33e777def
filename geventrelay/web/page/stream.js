// The server's events, while the page is visible. Reports when they stop, and tries again.

// Events come once a second; after a longer silence, the server or the network hangs.
const SILENCE_MS = 5000;
const LONGEST_WAIT_S = 10;

export class Stream {
  #source = null;
  #failures = 0;
  #timer = 0;
  #watchdog = 0;

  // onData(data): an event. onOpen(): there is a connection (again). onLost(seconds): there is none; the next try is in
  // so many seconds.
  constructor(url, { onData, onOpen, onLost }) {
    this.url = url;
    this.onData = onData;
    this.onOpen = onOpen;
    this.onLost = onLost;
    // A browser opens at most six connections to a server: forgotten tabs must not use them all.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.open()));
    window.addEventListener("online", () => this.open());
  }

  open() {
    this.#close();
    if (document.hidden) return;
    const source = new EventSource(this.url);
    this.#source = source;
    let opened = false;
    source.addEventListener("devices", (event) => {
      this.#watch();
      this.#failures = 0;
      if (!opened) this.onOpen();
      opened = true;
      this.onData(JSON.parse(event.data));
    });
    source.addEventListener("error", () => this.#lose());
    this.#watch();
  }

  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lose(), SILENCE_MS);
  }

  #lose() {
    this.#close();
    const seconds = Math.min(LONGEST_WAIT_S, 2 ** this.#failures);
    this.#failures += 1;
    this.onLost(seconds);
    this.#timer = setTimeout(() => this.open(), seconds * 1000);
  }

  #close() {
    clearTimeout(this.#watchdog);
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}
