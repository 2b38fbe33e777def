"""What strangers send who know no more of a server than its ports; each attack is a function in ``ATTACKS``.

``python -m benchlib.strangers NAMES READY_FILE SECONDS``: the attacks with these names, separated by commas, a thread
each, against the server that wrote the ready-file; it runs ``strangers.toml``. One line of JSON tells at the end how
often each did what it does: an attack that did nothing shows nothing.

Sockets of the kernel and bytes of ZMTP (RFC 37) wherever ZeroMQ's own client would be too slow or too polite.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zmq

NICE = 19
"""Real strangers have machines of their own: here they get the CPU time that is left."""
CALL_S = 1.0
"""How long a call may wait: the server need not read what they send."""
BATCH = 2000
LEAVING_S = 1.0
MORE = 1


@dataclass(frozen=True, slots=True)
class Target:
    """The ports of a server, and when to stop.

    ``devices``: the endpoints by device and socket; ``end_s``: on the monotonic clock.
    """

    devices: dict[str, dict[str, list[str]]]
    http: str
    end_s: float

    @property
    def over(self) -> bool:
        return time.monotonic() > self.end_s

    def port(self, device: str, key: str) -> tuple[str, int]:
        return _address(self.devices[device][key][0])

    def http_port(self) -> tuple[str, int]:
        return _address(self.http)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("//")[2].rpartition(":")
    return host, int(port)


# Bytes of ZMTP


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def ready(kind: str) -> bytes:
    """The command that ends a handshake with NULL."""
    body = b"\x05READY" + b"\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind.encode()
    return bytes([4, len(body)]) + body


def frame(body: bytes, flags: int = 0) -> bytes:
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | 2]) + len(body).to_bytes(8, "big") + body


def connected(address: tuple[str, int], kind: str | None = None) -> socket.socket:
    """A connection, and for a socket type the handshake as well."""
    found = socket.create_connection(address, CALL_S)
    try:
        if kind is not None:
            found.sendall(GREETING + ready(kind))
            expected = len(GREETING) + 2
            while expected > 0:
                got = found.recv(4096)
                if not got:
                    raise ConnectionResetError("no handshake")
                expected -= len(got)
    except BaseException:
        found.close()
        raise
    return found


def reset(end: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    end.close()


def flood(target: Target, address: tuple[str, int], kind: str | None, batch: Callable[[], bytes]) -> int:
    """Send batches over one connection after the other, as fast as they are taken; read all that comes back.

    Returns how many batches were taken.
    """
    count = 0
    while not target.over:
        try:
            with connected(address, kind) as end:
                threading.Thread(target=_read, args=(end,), daemon=True).start()
                while not target.over:
                    end.sendall(batch())
                    count += 1
        except OSError:
            # Cut off, or not read from. A stranger tries again, and not at once: even it has a network in between.
            time.sleep(0.01)
    return count


def _read(end: socket.socket) -> None:
    while True:
        try:
            if not end.recv(1 << 20):
                return
        except TimeoutError:
            continue
        except OSError:
            return


# The attacks


def pipelining(target: Target) -> int:
    """Requests without waiting for answers, over one connection."""
    batch = b"GET /api/devices HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200
    return flood(target, target.http_port(), None, lambda: batch)


def connections(target: Target) -> int:
    """More HTTP connections than there are places, half of them asking for event streams."""
    count, held = 0, list[socket.socket]()
    while not target.over:
        try:
            end = connected(target.http_port())
            held.append(end)
            if count % 2:
                end.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            count += 1
        except OSError:
            time.sleep(0.01)
        if len(held) > 300:
            for end in held:
                end.close()
            held.clear()
    for end in held:
        end.close()
    return count


def nonsense(target: Target) -> int:
    """Bytes that are no request and no greeting, at every port, and then a reset."""
    ports = [_address(at[0]) for sockets in target.devices.values() for at in sockets.values()] + [target.http_port()]
    count = 0
    while not target.over:
        try:
            end = connected(random.choice(ports))
            end.sendall(random.randbytes(random.choice([1, 10, 64, 1000, 70_000])))
            reset(end)
            count += 1
        except OSError:
            time.sleep(0.01)
    return count


def greetings(target: Target) -> int:
    """Connections that greet and say no more."""
    count, held = 0, list[socket.socket]()
    while not target.over:
        try:
            end = connected(target.port("streamer", "frontend"))
            end.sendall(GREETING)
            held.append(end)
            count += 1
        except OSError:
            time.sleep(0.01)
        if len(held) > 200:
            held.pop(0).close()
    for end in held:
        end.close()
    return count


def tap_flood(target: Target) -> int:
    """Subscribe at the tap and cancel, without pause."""
    batch = (frame(b"\x01") + frame(b"\x00")) * BATCH
    return flood(target, target.port("streamer", "tap"), "SUB", lambda: batch)


def commands(target: Target) -> int:
    """Commands for the control socket whose answers are not read, some of a megabyte."""
    small = (frame(b"", MORE) + frame(b"STATISTICS")) * BATCH
    large = frame(b"", MORE) + frame(bytes(1 << 20))
    return flood(target, target.port("streamer", "control"), "DEALER", lambda: random.choice([small, large]))


def topics(target: Target) -> int:
    """Subscriptions to ever new topics."""
    numbers = iter(range(10**9))
    return flood(
        target,
        target.port("forwarder", "backend"),
        "SUB",
        lambda: b"".join(frame(b"\x01topic-%d" % next(numbers)) for _ in range(BATCH)),
    )


def leaving(target: Target) -> int:
    """Subscribe to 100,000 topics and leave, once a second.

    Without the pause libzmq is lost: no bound on a connection helps against an address that always has a new one.
    """
    batch = b"".join(frame(b"\x01leaving-%d" % number) for number in range(100_000))
    count = 0
    while not target.over:
        try:
            with connected(target.port("forwarder", "backend"), "SUB") as end:
                end.sendall(batch)
                count += 1
        except OSError:
            pass
        time.sleep(LEAVING_S)
    return count


def long_topics(target: Target) -> int:
    """Subscribe to a topic of 200 kB and leave, again and again."""
    count = 0
    while not target.over:
        try:
            with connected(target.port("forwarder", "backend"), "SUB") as end:
                end.sendall(frame(b"\x01" + random.randbytes(200_000)))
                count += 1
        except OSError:
            time.sleep(0.01)
    return count


def upstream(target: Target) -> int:
    """Messages of several parts upstream, whose later parts look like subscriptions."""
    batch = (frame(b"\x01A") + frame(b"\x02hello", MORE) + frame(b"\x01A")) * BATCH
    return flood(target, target.port("forwarder", "backend"), "XSUB", lambda: batch)


def many_parts(target: Target) -> int:
    """Messages of 20,000 empty parts, to a device whose worker takes them."""
    batch = frame(b"", MORE) * 19_999 + frame(b"")
    with zmq.Context() as context, context.socket(zmq.PULL) as worker:
        worker.set(zmq.LINGER, 0)
        worker.set(zmq.RCVTIMEO, 50)
        worker.connect(target.devices["streamer"]["backend"][0])
        taking = threading.Thread(target=_take, args=(worker, target))
        taking.start()
        count = flood(target, target.port("streamer", "frontend"), "PUSH", lambda: batch)
        taking.join()
    return count


def _take(worker: zmq.Socket[bytes], target: Target) -> None:
    while not target.over:
        try:
            worker.recv_multipart(copy=False)
        except zmq.Again:
            continue


def unfinished(target: Target) -> int:
    """One message that never ends."""
    batch = frame(bytes(65_000), MORE) * 4
    return flood(target, target.port("queue", "frontend"), "DEALER", lambda: batch)


@dataclass(frozen=True, slots=True)
class Attack:
    """``goal_ms``: where the p99 of a queue beside it is to stay below; more where libzmq itself is the limit."""

    run: Callable[[Target], int]
    goal_ms: float = 20

    @property
    def title(self) -> str:
        return (self.run.__doc__ or "").split(".")[0].lower()


LIBZMQ_MS = 600
ATTACKS = {
    "pipelining": Attack(pipelining),
    "connections": Attack(connections),
    "nonsense": Attack(nonsense),
    "greetings": Attack(greetings),
    "tap": Attack(tap_flood),
    "control": Attack(commands),
    "topics": Attack(topics, LIBZMQ_MS),
    "leaving": Attack(leaving, LIBZMQ_MS),
    "longtopics": Attack(long_topics, LIBZMQ_MS),
    "upstream": Attack(upstream),
    "parts": Attack(many_parts, LIBZMQ_MS),
    "unfinished": Attack(unfinished, LIBZMQ_MS),
}


def main() -> None:
    names, where, seconds = sys.argv[1:]
    os.nice(NICE)
    found = json.loads(Path(where).read_text())
    target = Target(found["devices"], found["http"], time.monotonic() + float(seconds))
    counts: dict[str, int] = {}

    def run(name: str) -> None:
        counts[name] = ATTACKS[name].run(target)

    threads = [threading.Thread(target=run, args=(name,)) for name in names.split(",")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
