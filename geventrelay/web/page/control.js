// The actions that need a token: pause, resume, drain, reload.

import { ApiError, devicePath, knows, post, token } from "./api.js";
import { byId, setHidden, setText } from "./dom.js";
import { plural } from "./numbers.js";
import { dismiss, notify } from "./overview.js";

// The characters that a header can have; the browser refuses to send others.
const SENDABLE = /^[\x21-\x7e]+$/;

export class Control {
  #canChange = false;
  #busy = new Set();

  // onAccess({possible, allowed}): whether the server has a token, and whether this tab has it. onDevice(device): it has changed.
  constructor(onAccess, onDevice) {
    this.onAccess = onAccess;
    this.onDevice = onDevice;
    byId("token").addEventListener("click", () => (token.get() === null ? this.askToken("") : this.#forget()));
    byId("token-cancel").addEventListener("click", () => byId("token-dialog").close());
    byId("token-form").addEventListener("submit", (event) => this.#takeToken(event));
    byId("reload").addEventListener("click", () => this.#reload());
    byId("notice-close").addEventListener("click", dismiss);
  }

  get allowed() {
    return this.#canChange && token.get() !== null;
  }

  // Take the server's data, which says whether there is a token.
  update(server) {
    this.#canChange = server.can_change;
    this.#show();
  }

  // Pause, resume or drain a device.
  async act(name, word) {
    if (word === "drain" && !(await confirmed(`Drain ${name}?`,
      "It accepts nothing new, moves what it has received, and stops. The server ends with its last device.", "Drain"))) return;
    await this.#once(`${name} ${word}`, async () => {
      const answer = await post(devicePath(name, word));
      dismiss();
      if (answer.device) this.onDevice(answer.device);
    });
  }

  // Disconnect one peer of a device.
  async disconnect(name, peer) {
    const lost = peer.waiting ? ` ${plural(peer.waiting, "message", "messages")} for it will be lost.` : "";
    if (!(await confirmed(`Disconnect ${peer.address}?`,
      `Its connection to ${name} ends.${lost} It may come again: nothing keeps it off.`, "Disconnect"))) return;
    await this.#once(`${name} disconnect ${peer.id}`, async () => {
      const answer = await post(devicePath(name, `peers/${peer.id}/disconnect`));
      dismiss();
      if (answer.device) this.onDevice(answer.device);
    });
  }

  async #reload() {
    await this.#once("reload", async () => {
      const result = await post("api/reload");
      const changes = ["added", "removed", "changed", "adjusted"].filter((kind) => result[kind].length);
      notify("good", changes.length ? "The configuration has been read again." : "The configuration has been read again: nothing has changed.",
        changes.map((kind) => `${kind}: ${result[kind].join(", ")}`));
    });
  }

  async #once(what, job) {
    if (this.#busy.has(what)) return;
    this.#busy.add(what);
    try {
      await job();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) {
        this.askToken("The server does not know this token.");
      } else {
        notify("bad", error.message, error.problems);
      }
    } finally {
      this.#busy.delete(what);
    }
  }

  // Ask for the token; after an error, the one that there was is forgotten.
  askToken(error) {
    if (error !== "") {
      token.forget();
      this.#show();
    }
    setText(byId("token-error"), error);
    setHidden(byId("token-error"), error === "");
    byId("token-input").value = "";
    if (!byId("token-dialog").open) byId("token-dialog").showModal();
    byId("token-input").focus();
  }

  async #takeToken(event) {
    event.preventDefault();
    const value = byId("token-input").value.trim();
    if (!SENDABLE.test(value)) {
      this.askToken("A token has letters, digits and signs, and no spaces.");
      return;
    }
    try {
      if (!(await knows(value))) {
        this.askToken("The server does not know this token.");
        return;
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.askToken(error.message);
      return;
    }
    token.set(value);
    byId("token-dialog").close();
    this.#show();
  }

  #forget() {
    token.forget();
    this.#show();
  }

  #show() {
    setHidden(byId("read-only"), this.#canChange);
    setHidden(byId("token"), !this.#canChange);
    setHidden(byId("reload"), !this.allowed);
    setText(byId("token"), token.get() === null ? "Enter token" : "Forget token");
    this.onAccess({ possible: this.#canChange, allowed: this.allowed });
  }
}

// Ask before an action that cannot be undone.
function confirmed(title, text, yes) {
  const dialog = byId("confirm-dialog");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), yes);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const onClose = () => {
      // The close event can come after the dialog was opened again.
      if (dialog.open) return;
      dialog.removeEventListener("close", onClose);
      resolve(dialog.returnValue === "yes");
    };
    dialog.addEventListener("close", onClose);
  });
}
