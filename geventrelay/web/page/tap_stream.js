// The lines of /api/devices/NAME/tap. Reads on as fast as they come, so that the server has nothing to hold.

import { ApiError, devicePath, openStream } from "./api.js";

// The server sends no message of more than 1 MiB; in JSON, a byte takes six characters at most.
const LONGEST_LINE = 16 * 1024 * 1024;
const AGAIN_MS = 3000;

export class TapStream {
  #over = null;
  #timer = 0;

  // onOpen(): from here on every message is seen. onLines(lines): there are some. onError(error): it ended, or could not
  // begin; it is tried again unless the token is wrong.
  constructor(name, { onOpen, onLines, onError }) {
    this.name = name;
    this.onOpen = onOpen;
    this.onLines = onLines;
    this.onError = onError;
  }

  // Begin, with another query than before.
  open(query) {
    this.close();
    const over = new AbortController();
    this.#over = over;
    this.#read(query, over).catch((error) => {
      if (over.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.onError(error);
      if (error.status !== 401 && error.status !== 400) this.#timer = setTimeout(() => this.open(query), AGAIN_MS);
    });
  }

  close() {
    clearTimeout(this.#timer);
    this.#over?.abort();
    this.#over = null;
  }

  async #read(query, over) {
    const reader = await openStream(`${devicePath(this.name, "tap")}?${new URLSearchParams(query)}`, over.signal);
    const decoder = new TextDecoder();
    let rest = "";
    let opened = false;
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true }));
      if (over.signal.aborted) return;
      if (done) throw new ApiError(0, "The device has stopped, or the server does not answer.");
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop();
      if (rest.length > LONGEST_LINE) throw new ApiError(0, "The server sent a line without an end.");
      if (!opened) this.onOpen();
      opened = true;
      const some = lines.filter(Boolean);
      if (some.length) this.onLines(some);
    }
  }
}
