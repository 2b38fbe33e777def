"""The leg ``endurance``: peers of every pattern of engine zmtp come, go, stall, are cut; devices pause and reload.

Two processes: a server with the devices, and this one with the clients. Some clients stay, and must get everything.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _client
import zmq

from .endurance_clients import Answerer, Asker, Client, Reader, Sender, Stalled, Wanderer, cut
from .endurance_server import PATTERNS, Server
from .strangers import rss_mb, trouble

RATE = 400
"""Messages a second of each sender that stays."""
VISITORS = 12
TURN_S = 0.2
"""How often something happens."""
END_S = 30.0
GROWTH, GROWTH_MB = 1.1, 5
"""The memory of the end may be so many times that of the beginning, and so much more."""
DESCRIPTORS = 2
"""How many more there may be in the end: the connection that asks for it is one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it.

    ``happened``: how often each thing was done; ``wrong``: what clients that stay say is wrong; ``accounts``: of each
    outlet, as HTTP has them, with ``device``, ``received`` of its pump, and what clients know: ``sent_by_clients`` to
    the device, ``got_by_clients`` where one must have got all; ``memory_mb``: once a second; ``descriptors``: before
    and after; ``unanswered``: requests without a reply; ``exit_code``: of the server; ``trouble``: lines of its log.
    """

    happened: dict[str, int]
    wrong: list[str]
    accounts: list[dict[str, Any]]
    memory_mb: list[float]
    descriptors: tuple[int, int]
    unanswered: int
    exit_code: int | None
    trouble: list[str]

    @property
    def early_mb(self) -> float:
        """Memory in the second fifth of the time."""
        fifth = max(1, len(self.memory_mb) // 5)
        return statistics.median(self.memory_mb[fifth : 2 * fifth] or [0.0])

    @property
    def late_mb(self) -> float:
        """Memory in the last fifth of the time."""
        return statistics.median(self.memory_mb[-max(1, len(self.memory_mb) // 5) :] or [0.0])


class Crowd:
    """All clients, and what happens to them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.context: zmq.Context[Any] = zmq.Context()
        self.chance = random.Random(1)
        self.happened: dict[str, int] = {}
        self.visitors: list[Client] = []
        self.visits_sent = 0
        made, at = self.context, self.at
        self.readers = {
            ("relay", "pub"): Reader(made, zmq.SUB, at("relay", "pub"), exact=True, subscribe=b""),
            ("forwarder", "backend"): Reader(made, zmq.SUB, at("forwarder", "backend"), exact=True, subscribe=b""),
        }
        others: list[Client] = [
            Reader(made, zmq.PULL, at("relay", "push")),
            Reader(made, zmq.PULL, at("streamer", "backend")),
            Answerer(made, at("queue", "backend")),
        ]
        self.askers = [Asker(made, at("queue", "frontend")) for _ in range(2)]
        self.stays: list[Client] = [*self.readers.values(), *others, *self.askers]
        for one in self.stays:
            one.start()
        time.sleep(1)
        self.senders = {
            "relay": Sender(made, zmq.XPUB, at("relay", "sub"), RATE),
            "forwarder": Sender(made, zmq.XPUB, at("forwarder", "frontend"), RATE),
            "streamer": Sender(made, zmq.PUSH, at("streamer", "frontend"), RATE),
        }
        for one in self.senders.values():
            one.start()

    def at(self, device: str, key: str) -> str:
        return self.server.endpoints[device][key][0]

    def happen(self) -> None:
        """Have one thing happen."""
        everything: list[tuple[Callable[[], object], int]] = [
            (self.come, 8), (self.leave, 6), (self.cut, 4), (self.pause, 1), (self.reload, 1)
        ]  # fmt: skip
        (what,) = self.chance.choices([one for one, _ in everything], [weight for _, weight in everything])
        what()
        self.happened[what.__name__] = self.happened.get(what.__name__, 0) + 1

    def come(self) -> None:
        """One more visitor; where there are enough, one leaves first."""
        if len(self.visitors) >= VISITORS:
            self.leave()
        made, at, topic = self.context, self.at, b"topic %d" % self.chance.randrange(10)
        choices: list[Callable[[], Client]] = [
            lambda: Reader(made, zmq.SUB, at("relay", "pub"), subscribe=topic),
            lambda: Stalled(made, zmq.SUB, at("forwarder", "backend"), subscribe=b""),
            lambda: Stalled(made, zmq.SUB, at("relay", "pub"), subscribe=b""),
            lambda: Wanderer(made, at("forwarder", "backend")),
            lambda: Reader(made, zmq.PULL, at("streamer", "backend")),
            lambda: Stalled(made, zmq.PULL, at("streamer", "backend")),
            lambda: Stalled(made, zmq.PULL, at("relay", "push")),
            lambda: Answerer(made, at("queue", "backend")),
            lambda: Sender(made, zmq.PUSH, at("streamer", "frontend"), RATE),
        ]
        visitor = self.chance.choice(choices)()
        visitor.start()
        self.visitors.append(visitor)

    def leave(self) -> None:
        """Have the visitor go that has been there longest."""
        if self.visitors:
            self.end(self.visitors.pop(0))

    def cut(self) -> None:
        """A peer that is cut in the middle of what it says."""
        device, key, kind = self.chance.choice([
            ("relay", "sub", b"PUB"), ("relay", "pub", b"SUB"), ("forwarder", "frontend", b"PUB"),
            ("forwarder", "backend", b"SUB"), ("queue", "frontend", b"REQ"), ("queue", "backend", b"REP"),
            ("streamer", "frontend", b"PUSH"), ("streamer", "backend", b"PULL"),
        ])  # fmt: skip
        cut(self.at(device, key), kind, self.chance)

    def pause(self) -> None:
        """A pause of a device, and its resumption."""
        with self.context.socket(zmq.DEALER) as one:
            one.linger, one.rcvtimeo = 0, 10_000
            one.connect(self.at(self.chance.choice(list(PATTERNS)), "control"))
            for word in (b"PAUSE", b"RESUME"):
                one.send_multipart([b"", word])
                one.recv_multipart()
                time.sleep(TURN_S)

    def reload(self) -> None:
        self.server.reload()

    def end(self, client: Client) -> None:
        client.over = True
        client.join(END_S)
        if client.is_alive():
            raise _client.GaveUp(f"endurance: {type(client).__name__} did not end: something is stuck")
        self.visits_sent += client.sent if isinstance(client, Sender) else 0

    def settle(self) -> None:
        """Have the visitors go and the senders end, and wait until those that stay have everything."""
        while self.visitors:
            self.leave()
        for sender in self.senders.values():
            self.end(sender)
        self.visits_sent -= sum(sender.sent for sender in self.senders.values())
        end_s = time.monotonic() + END_S
        wanted = {key: self.senders[key[0]].sent for key in self.readers}
        while time.monotonic() < end_s and any(self.readers[key].got < count for key, count in wanted.items()):
            time.sleep(0.1)
        time.sleep(1)

    def accounts(self) -> list[dict[str, Any]]:
        """What the server and the clients counted, for each outlet."""
        found = []
        for device, pumps in self.server.pumps().items():
            for pump in pumps:
                sent = self.senders[device].sent if device in self.senders else None
                if device == "streamer" and sent is not None:
                    sent += self.visits_sent
                for outlet in pump["outlets"]:
                    reader = self.readers.get((device, outlet["socket"]))
                    known = {"sent_by_clients": sent if pump["source"] in ("sub", "frontend") else None,
                             "got_by_clients": None if reader is None else reader.got}  # fmt: skip
                    found.append({**outlet, **known, "device": device, "received": pump["received"]["messages"]})
        return found

    def close(self) -> None:
        for one in self.stays:
            self.end(one)
        self.context.term()


def soak_endurance(seconds: float) -> None:
    """Run all of it, and print what came of it; raises :class:`_client.GaveUp`."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name, (Path(name) / "log").open("w+b") as log:
        server = Server(Path(name), log)
        try:
            seen = endured(server, seconds)
            exit_code = server.stop()
        finally:
            server.process.kill()
            server.process.wait()
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
    report(dataclasses.replace(seen, exit_code=exit_code, trouble=trouble(lines)), seconds)


def endured(server: Server, seconds: float) -> Seen:
    """Run the clients for so long."""
    crowd = Crowd(server)
    before, memory_mb, end_s = server.descriptors(), [], time.monotonic() + seconds
    with _client.progress(int(seconds), " s") as advance:
        while time.monotonic() < end_s and server.process.poll() is None:
            second_s = time.monotonic() + 1
            while time.monotonic() < second_s:
                crowd.happen()
                time.sleep(TURN_S)
            memory_mb.append(rss_mb(server.process.pid))
            advance()
    crowd.settle()
    after, accounts = server.descriptors(), crowd.accounts()
    crowd.close()
    return Seen(
        happened=crowd.happened,
        wrong=[one.wrong for one in crowd.stays if one.wrong],
        accounts=accounts,
        memory_mb=memory_mb,
        descriptors=(before, after),
        unanswered=sum(one.unanswered for one in crowd.askers),
        exit_code=None,
        trouble=[],
    )


def miscounts(one: dict[str, Any]) -> list[str]:
    """What of the account of an outlet does not add up."""
    name, sent, dropped = f"{one['device']} {one['socket']}", one["sent"]["messages"], sum(one["dropped"].values())
    checks = {
        f"{name}: {one['received']} received, {sent} sent and {dropped} dropped": one["received"] == sent + dropped,
        f"{name}: {one['received']} received of {one['sent_by_clients']}": (
            one["sent_by_clients"] in (None, one["received"])
        ),
        f"{name}: {one['got_by_clients']} got of {sent}": one["got_by_clients"] in (None, sent),
    }
    if one.get("matched") is not None:
        told = f"{one['matched']} matched, {one['delivered']} delivered, {one['lost']} lost, {one['waiting']} waiting"
        settled = one["delivered"] + sum(one["lost"].values()) + one["waiting"]
        checks[f"{name}: {told}"] = one["matched"] == settled
    return [text for text, holds in checks.items() if not holds]


def faults(seen: Seen) -> list[str]:
    """What is wrong, a few words for each."""
    before, after = seen.descriptors
    checks = {
        f"{before} descriptors became {after}": after <= before + DESCRIPTORS,
        "memory grew": seen.late_mb <= GROWTH * seen.early_mb + GROWTH_MB,
        # Each worker that leaves may take the request of each client along.
        f"{seen.unanswered} requests had no reply": seen.unanswered <= 2 * sum(seen.happened.values()),
        f"the server ended with {seen.exit_code}": seen.exit_code == 0,
        f"the log has: {seen.trouble[:1]}": not seen.trouble,
    }
    uncounted = [text for one in seen.accounts for text in miscounts(one)]
    return [*(text for text, holds in checks.items() if not holds), *seen.wrong, *uncounted]


def report(seen: Seen, seconds: float) -> None:
    print(f"endurance: {seconds:g} s")
    print("  happened    " + ", ".join(f"{name} {count:,}" for name, count in sorted(seen.happened.items())))
    for one in seen.accounts:
        told = f"{one['received']:,} received, {one['sent']['messages']:,} sent, dropped {one['dropped']}"
        if one.get("matched") is not None:
            told += f"; {one['matched']:,} matched, {one['delivered']:,} delivered, lost {one['lost']}"
        print(f"  {one['device']:<11} {one['socket']}: {told}")
    print(f"  requests    {seen.unanswered} without a reply")
    print(f"  memory      {seen.early_mb:.1f} MB in the second fifth of the time, {seen.late_mb:.1f} MB in the last")
    print(f"  descriptors {seen.descriptors[0]} before, {seen.descriptors[1]} after")
    if wrong := faults(seen):
        raise _client.GaveUp(f"endurance: {'; '.join(wrong)}")
    print("  all is well", flush=True)
