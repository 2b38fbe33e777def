// Names of sockets, messages and losses for people who see this page for the first time.

const PEERS = {
  SUB: ["publisher", "publishers"],
  XSUB: ["publisher", "publishers"],
  PUB: ["subscriber", "subscribers"],
  XPUB: ["subscriber", "subscribers"],
  PULL: ["sender", "senders"],
  PUSH: ["puller", "pullers"],
};

// Sockets without traffic.
const PEERS_BY_KEY = { control: ["peer", "peers"], tap: ["watcher", "watchers"] };

const PEERS_BY_PATTERN = {
  queue: { frontend: ["client", "clients"], backend: ["worker", "workers"] },
  streamer: { backend: ["worker", "workers"] },
};

export function peersName(pattern, socket) {
  return PEERS_BY_KEY[socket.key] ?? PEERS_BY_PATTERN[pattern]?.[socket.key] ?? PEERS[socket.type] ?? ["peer", "peers"];
}

// The name of the messages from one socket to the other.
export function cargo(pattern, source, destination) {
  if (pattern === "queue") return source.key === "frontend" ? "requests" : "replies";
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
