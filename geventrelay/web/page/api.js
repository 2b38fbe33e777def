// The server's API. This tab keeps the token, and sends it only with requests that need it.

const KEY = "geventrelay token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export class ApiError extends Error {
  constructor(status, message, problems = []) {
    super(message);
    this.status = status;
    this.problems = problems;
  }
}

const withToken = () => ({ Authorization: `Bearer ${token.get()}` });

async function respond(path, options) {
  try {
    return await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new ApiError(0, "The server does not answer.");
  }
}

async function ask(path, options) {
  return decode(await respond(path, options));
}

async function decode(response) {
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    // An answer that is not JSON does not come from the API; its status says enough.
  }
  if (!response.ok) throw new ApiError(response.status, answer.error ?? `The server answered ${response.status}.`, answer.problems);
  return { answer, date: Date.parse(response.headers.get("Date") ?? "") };
}

export async function get(path) {
  return (await ask(path)).answer;
}

// The answer, and how far the server's clock is ahead of this one, in seconds.
export async function getWithClock(path) {
  const { answer, date } = await ask(path);
  return { answer, aheadS: Number.isNaN(date) ? 0 : Math.round((date - Date.now()) / 1000) };
}

export async function post(path) {
  return (await ask(path, { method: "POST", headers: withToken() })).answer;
}

// Whether the server knows a token; raises an error if it does not say.
export async function knows(value) {
  try {
    await decode(await respond("api/token", { headers: { Authorization: `Bearer ${value}` } }));
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return false;
    throw error;
  }
}

// A reader of the bytes of an answer that goes on. `signal` ends it.
export async function openStream(path, signal) {
  const response = await respond(path, { headers: withToken(), signal });
  if (!response.ok) await decode(response);
  return response.body.getReader();
}

// The answer of a request that needs the token, as its lines, each decoded.
export async function getLines(path) {
  const response = await respond(path, { headers: withToken() });
  if (!response.ok) await decode(response);
  let text;
  try {
    text = await response.text();
  } catch {
    throw new ApiError(0, "The server's answer broke off.");
  }
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

export function devicePath(name, what) {
  return `api/devices/${encodeURIComponent(name)}/${what}`;
}
