"""A case: what is sent through a relay, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PATTERNS = ("streamer", "forwarder", "queue", "relay")
EXTRAS = ("many", "beside", "memory")
SIZES = {"16": 16, "100": 100, "1K": 1024, "64K": 65536, "1M": 1048576}
HWMS = (1000, 100000)
SUBSCRIBERS = (1, 10, 100)
IN_FLIGHT = (1, 64)
DEVICES = (1, 64)
QUEUE_BYTES = 1000 * 2**16
"""The most that one queue may hold, 1000 messages of 64 KB: a message waits in up to four of them."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the matrix.

    ``size`` in bytes; ``peers``: subscribers of a forwarder, devices of ``many``; ``in_flight``: requests
    of a queue that are on their way at a time.
    """

    pattern: str
    size: int
    hwm: int
    peers: int = 1
    in_flight: int = 0

    @property
    def device(self) -> str:
        """The pattern that the relay process runs."""
        return "streamer" if self.pattern in EXTRAS else self.pattern

    @property
    def name(self) -> str:
        return ", ".join(filter(None, [self._what(), size_name(self.size), f"HWM {self.hwm}"]))

    def _what(self) -> str:
        return {
            "forwarder": f"forwarder 1→{self.peers}",
            "queue": f"queue {self.in_flight} in flight",
            "many": f"{self.peers} streamer{'s'[: self.peers > 1]} in one process",
            "beside": "a greenlet beside a streamer",
            "memory": "memory under a stalled worker",
        }.get(self.pattern, self.pattern)


def fitting(hwm: int, size: int) -> int:
    """``hwm``, or what fits into memory if that is less."""
    return min(hwm, QUEUE_BYTES // size)


def size_name(size: int) -> str:
    for unit, name in ((2**20, "MB"), (2**10, "KB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def cases(
    patterns: Iterable[str],
    sizes: Iterable[int],
    hwms: Iterable[int],
    peers: Iterable[int],
    in_flight: Iterable[int],
) -> list[Case]:
    """Every case of the selection once; the HWM is lowered where a queue of it would not fit into memory."""
    found: dict[Case, None] = {}
    for pattern in patterns:
        for size in sizes:
            for hwm in hwms:
                for case in _variants(pattern, size, fitting(hwm, size), peers, in_flight):
                    found.setdefault(case)
    return list(found)


def _variants(pattern: str, size: int, hwm: int, peers: Iterable[int], in_flight: Iterable[int]) -> Iterable[Case]:
    if pattern == "forwarder":
        return [Case(pattern, size, hwm, peers=n) for n in peers]
    if pattern == "queue":
        # No queue is ever longer than what is in flight: one HWM tells it all.
        return [Case(pattern, size, min(hwm, HWMS[0]), in_flight=n) for n in in_flight]
    if pattern == "many":
        return [Case(pattern, size, hwm, peers=n) for n in DEVICES]
    return [Case(pattern, size, hwm)]
