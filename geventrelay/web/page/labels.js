// Names of sockets, messages and losses for people who see this page for the first time.

import { bytes, count, plural } from "./numbers.js";

const PEERS = {
  SUB: ["publisher", "publishers"],
  XSUB: ["publisher", "publishers"],
  PUB: ["subscriber", "subscribers"],
  XPUB: ["subscriber", "subscribers"],
  PULL: ["sender", "senders"],
  PUSH: ["puller", "pullers"],
};

// Sockets without traffic.
const PEERS_BY_KEY = { control: ["peer", "peers"], tap: ["watcher", "watchers"], replay: ["reader", "readers"] };

const PEERS_BY_PATTERN = {
  queue: { frontend: ["client", "clients"], backend: ["worker", "workers"] },
  streamer: { backend: ["worker", "workers"] },
};

export function peersName(pattern, socket) {
  return PEERS_BY_KEY[socket.key] ?? PEERS_BY_PATTERN[pattern]?.[socket.key] ?? PEERS[socket.type] ?? ["peer", "peers"];
}

// The name of the messages from one socket to the other.
export function cargo(pattern, source, destination) {
  if (pattern === "queue") return destination.key === "backend" ? "requests" : "replies";
  if (pattern === "streamer") return "tasks";
  if (pattern === "relay" && destination.key === "push") return "payloads";
  return source.type === "XPUB" ? "subscriptions" : "messages";
}

export function isUp(device) {
  return device.state === "running" || device.state === "paused";
}

export function addresses(socket) {
  return [...socket.bound, ...socket.connects.map((address) => `→ ${address}`)];
}

// The number of peers of a socket, such as "3 publishers".
export function peersText(device, socket, words = peersName(device.pattern, socket)) {
  // Peers over inproc cannot be seen; a socket that was never open had none.
  if (socket.peers === null && isUp(device)) return `${words[1]} not seen`;
  if (!socket.peers) return `no ${words[1]}`;
  return (socket.certain === false ? "about " : "") + plural(socket.peers, ...words);
}

// The peers of all sockets with traffic together: {number, text, title}.
export function peersOf(device) {
  const sockets = device.sockets.filter((socket) => !(socket.key in PEERS_BY_KEY));
  const seen = sockets.filter((socket) => socket.peers !== null);
  const number = seen.reduce((sum, socket) => sum + socket.peers, 0);
  const about = seen.some((socket) => socket.peers > 0 && socket.certain === false) ? "about " : "";
  const title = sockets.map((socket) => `${socket.key}: ${peersText(device, socket)}`).join("\n");
  if (isUp(device) && seen.length === 0 && sockets.length > 0) return { number: -1, text: "not seen", title };
  return { number, text: `${about}${count(number)}`, title };
}

// A topic of the API, {topic, hex}.
export function topicText({ topic, hex }) {
  if (hex === "") return "(everything)";
  // A topic that is not text is shown as bytes.
  return /[\u0000-\u001f\u007f-\u009f\ufffd]/.test(topic ?? "\ufffd") ? `0x${hex}` : topic;
}

// The topic of messages, which may be empty.
export function messageTopic(one) {
  return one.hex === "" ? "(empty)" : topicText(one);
}

// What a device keeps for subscribers that come later, or that have missed something; empty if it keeps nothing.
export function keptText(device) {
  return device.pumps.flatMap((pump) => pump.outlets).flatMap(({ last_values: values, log }) => [
    ...(isKept(values?.kept) ? [`${plural(values.kept, "last value", "last values")}, ${bytes(values.bytes)}`] : []),
    ...(isKept(log?.messages) ? [`for replay ${plural(log.messages, "message", "messages")}, ${bytes(log.bytes)}, ${
      log.messages > 0 ? `the oldest is number ${log.oldest}` : "none yet"}`] : []),
  ]).join(" · ");
}

function isKept(number) {
  return number !== null && number !== undefined;
}
