"""A case: what is sent through a relay, and how. ``KINDS`` is the registry of all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from .strangers import ATTACKS

SIZES = {"16": 16, "100": 100, "1K": 1024, "64K": 65536, "1M": 1048576}
HWMS = (1000, 100000)
TOPICS, PREFIXES = 1000, 20
"""How many topics the messages of ``topics`` have in turn, and how many of them a subscriber asks for."""
LEAVING, LEAVING_TOPICS = 10, 100_000
"""How many subscribers leave at once in ``leave``, and what each had asked for."""
QUEUE_BYTES = 1000 * 2**16
"""The most that one queue may hold, 1000 messages of 64 KB: a message waits in up to four of them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Cases that differ only in numbers. To add one, add it to ``KINDS``; README.rst names the other places.

    ``device``: the pattern that the relay process runs.
    ``title``, ``key``: its name in tables and on the command line; ``{n}`` is the number that varies, ``{s}`` a plural.
    ``varies``: which field of :class:`Case` that number is in; ``numbers``: those of ``bench --full``.
    ``most_hwm``: a higher HWM would change nothing.
    ``extra``: no pattern of its own, so only ``--full``, ``--pattern`` and ``--case`` measure it.
    ``only``: the one size and high-water mark that it is measured with.
    """

    name: str
    device: str
    title: str
    key: str
    varies: Literal["peers", "in_flight"] = "peers"
    numbers: tuple[int, ...] = (1,)
    most_hwm: int | None = None
    extra: bool = False
    only: tuple[int, int] | None = None


def _under(attack: str) -> Kind:
    """A queue whose own clients are to notice nothing of an attack on what is beside it."""
    return Kind(
        f"attack-{attack}", "queue", f"queue {{n}} in flight, attack {attack}",
        f"attack-{attack}", varies="in_flight", extra=True, only=(100, HWMS[0]),
    )  # fmt: skip


def _many(name: str, title: str, key: str, *numbers: int) -> Kind:
    """A forwarder with so many subscribers, in a way of its own."""
    return Kind(name, "forwarder", title, key, numbers=numbers, extra=True, only=(100, HWMS[0]))


def _with_curve(device: str, title: str, number: int, varies: Literal["peers", "in_flight"] = "peers") -> Kind:
    """A device whose sockets take peers with CURVE alone."""
    key = title.replace(" in flight", "inflight").replace(" ", "-").replace("→", "to")
    return Kind(f"curve-{device}", device, f"{title} with CURVE", f"curve-{key}", varies, (number,), HWMS[0], True)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("streamer", "streamer", "streamer", "streamer"),
        Kind("forwarder", "forwarder", "forwarder 1→{n}", "forwarder-1to{n}", numbers=(1, 10, 100)),
        # No queue is ever longer than what is in flight: one HWM stands for all.
        Kind(
            "queue", "queue", "queue {n} in flight", "queue-{n}inflight",
            varies="in_flight", numbers=(1, 64), most_hwm=HWMS[0],
        ),
        Kind("relay", "relay", "relay", "relay"),
        Kind(
            "many", "streamer", "{n} streamer{s} in one process", "many-{n}device{s}",
            numbers=(1, 64), extra=True,
        ),
        Kind("beside", "streamer", "a greenlet beside a streamer", "beside", extra=True),
        Kind("memory", "streamer", "memory under a stalled worker", "memory", extra=True),
        *map(_under, ATTACKS),
        _many(
            "topics", f"{{n}} subscribers to {PREFIXES} prefixes of {TOPICS:,} topics", "topics-{n}subscribers", 200,
        ),
        _many("values", "forwarder 1→{n}, 10,000 topics", "values-1to{n}", 1),
        _many("log", "forwarder 1→{n} that keeps a log", "log-1to{n}", 1),
        _many("counted", "forwarder 1→{n} that counts topics, 10,000 topics", "counted-1to{n}", 1),
        _many("counted-one", "forwarder 1→{n} that counts topics, one topic", "counted-one-1to{n}", 1),
        _many("broker", "1→{n}, raw clients", "broker-1to{n}", 10),
        _many("hub", "a greenlet beside a forwarder 1→{n}", "hub-1to{n}", 10, 100),
        _many("busy", "a greenlet beside a forwarder 1→{n} and a thread in a loop", "busy-1to{n}", 10),
        _many("idle", "{n} subscribers without messages", "idle-{n}subscribers", 2000),
        _with_curve("streamer", "streamer", 1),
        _with_curve("forwarder", "forwarder 1→{n}", 10),
        _with_curve("queue", "queue {n} in flight", 64, "in_flight"),
        _many("leave", f"{{n}} subscribers to {LEAVING_TOPICS:,} topics each leave", "leave-{n}subscribers", LEAVING),
    )
}  # fmt: skip
PATTERNS = tuple(name for name, kind in KINDS.items() if not kind.extra)
EXTRAS = tuple(name for name, kind in KINDS.items() if kind.extra)
BESIDE = ("beside", "hub", "busy", "leave")
"""The kinds that have a greenlet in the relay's process; its wake-up delay is what is measured."""
CURVE = ("curve-streamer", "curve-forwarder", "curve-queue")
"""The kinds whose peers come with CURVE."""
UNDER_ATTACK = {f"attack-{name}": name for name in ATTACKS}
"""The attack of a kind."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the matrix.

    ``pattern``: the name of its kind; ``size`` in bytes; ``peers``: subscribers of a forwarder, devices of ``many``;
    ``in_flight``: requests of a queue that are on their way at a time.
    """

    pattern: str
    size: int
    hwm: int
    peers: int = 1
    in_flight: int = 0

    @property
    def device(self) -> str:
        """The pattern that the relay process runs."""
        return KINDS[self.pattern].device

    @property
    def attack(self) -> str | None:
        """What strangers do meanwhile, a name in ``ATTACKS``."""
        return UNDER_ATTACK.get(self.pattern)

    @property
    def steps(self) -> bool:
        """Nothing runs at the same time: the relay's part of a round trip is what counts."""
        return self.in_flight == 1 and self.attack is None

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self._filled(KINDS[self.pattern].title)}, {size_name(self.size)}, HWM {self.hwm}"

    @property
    def key(self) -> str:
        """What ``--case`` calls it."""
        sizes = {size: name for name, size in SIZES.items()}
        return f"{self._filled(KINDS[self.pattern].key)}-{sizes.get(self.size, self.size)}-hwm{self.hwm}"

    def _filled(self, text: str) -> str:
        number: int = getattr(self, KINDS[self.pattern].varies)
        return text.format(n=number, s="s" if number > 1 else "")


def fitting(hwm: int, size: int) -> int:
    """``hwm``, or what fits into memory if that is less."""
    return min(hwm, QUEUE_BYTES // size)


def size_name(size: int) -> str:
    for unit, name in ((2**20, "MB"), (2**10, "KB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def cases(
    kinds: Iterable[str],
    sizes: Iterable[int],
    hwms: Iterable[int],
    numbers: Mapping[str, Iterable[int]] | None = None,
) -> list[Case]:
    """Every case of the selection once; the HWM is lowered where a queue of it would not fit into memory.

    ``numbers``: for a kind, other numbers than those of ``--full``.
    """
    found: dict[Case, None] = {}
    for kind in map(KINDS.__getitem__, kinds):
        for size in sizes if kind.only is None else kind.only[:1]:
            for hwm in hwms if kind.only is None else kind.only[1:]:
                fits = min(fitting(hwm, size), kind.most_hwm or hwm)
                for number in (numbers or {}).get(kind.name, kind.numbers):
                    found.setdefault(Case(kind.name, size, fits, **{kind.varies: number}))
    return list(found)


GROUPS = {
    "attacks": tuple(cases(UNDER_ATTACK, [], [])),
    # What the engine zmtp is held to, beside zmq.proxy and the engine libzmq.
    "switch": (
        *cases(["streamer"], [100], HWMS),
        *cases(["forwarder"], [100], HWMS[:1]),
        *cases(["forwarder"], [10_000, 65536], HWMS[:1], {"forwarder": [10]}),
        *cases(["streamer"], [10_000], HWMS[:1]),
        *cases(["relay", "queue"], [100], HWMS[:1]),
        *cases(["topics"], [], []),
        *cases(["values", "log", "counted", "counted-one"], [], []),
    ),
    # What is left of it all with CURVE.
    "curve": (
        *cases(CURVE[:1], [100], HWMS[:1]),
        *cases(CURVE[1:2], [100, 10_000], HWMS[:1]),
        *cases(CURVE[2:], [100], HWMS[:1]),
    ),
    # Beside other brokers, with clients that cost nothing.
    "brokers": tuple(cases(["broker"], [], [])),
    # What greenlets of the same process notice of a forwarder, and what subscribers cost that get nothing.
    "hub": tuple(cases(["hub", "busy", "idle", "leave"], [], [])),
}
"""Names that stand for several cases in ``--case``."""


def every_case() -> dict[str, Case]:
    """Those of ``--full`` and of groups by key: what ``--list`` shows and ``--case`` takes."""
    every = [*cases(KINDS, SIZES.values(), HWMS), *(case for group in GROUPS.values() for case in group)]
    return {case.key: case for case in every}


def closest(key: str) -> str | None:
    """The key that ``key`` was perhaps meant to be."""
    return next(iter(difflib.get_close_matches(key, every_case(), 1)), None)
