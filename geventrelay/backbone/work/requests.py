"""The way back of requests between the queues of several devices, as a part that stands before the others. Pure.

::

    client --> ROUTER, device A --[client, "", request]--> device B --[A, client, "", request]--> a worker of B
    client <-- ROUTER, device A <--[client, "", reply]---- device B <--[A, client, "", reply]---- it

Each device on the way puts one part before a request and takes it off the reply: the id of the device that it came
from. So it does not matter how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..terms import RELAY_BYTES
from ..whole import ends

_VERSION = b"\x01"
_MORE = 1
_WAY_BYTES = RELAY_BYTES + len(_VERSION)
_WAY_HEAD = bytes((_MORE, _WAY_BYTES))
_WAY_END = len(_WAY_HEAD) + _WAY_BYTES


def with_way(relay: bytes, data: bytes) -> bytes:
    """Requests with the way back to a device before each of them.

    :param relay: the id of that device.
    :param data: whole messages, as ZMTP has them in a connection.
    """
    way = b"".join((_WAY_HEAD, relay, _VERSION))
    pieces: list[bytes] = []
    begin = 0
    for end in ends(data):
        pieces += (way, data[begin:end])
        begin = end
    return b"".join(pieces)


def by_way(data: bytes) -> Iterator[tuple[bytes | None, bytes, int]]:
    """Replies without the way back that stands before each: to which device they go, these replies, how many.

    :param data: whole messages, as ZMTP has them in a connection.
    :returns: those for one device that follow each other come together. Those without a way back are for None.
    """
    pieces: list[bytes] = []
    last: bytes | None = None
    begin = 0
    for end in ends(data):
        relay = _way(data, begin, end)
        if pieces and relay != last:
            yield last, b"".join(pieces), len(pieces)
            pieces = []
        pieces.append(data[begin + _WAY_END if relay is not None else begin : end])
        last, begin = relay, end
    if pieces:
        yield last, b"".join(pieces), len(pieces)


def _way(data: bytes, begin: int, end: int) -> bytes | None:
    """The device to which the message between `begin` and `end` goes back; None if it does not say."""
    at = begin + len(_WAY_HEAD)
    if data[begin:at] != _WAY_HEAD or data[at + RELAY_BYTES : at + _WAY_BYTES] != _VERSION or end <= begin + _WAY_END:
        return None
    return data[at : at + RELAY_BYTES]


class Unanswered:
    """Requests at other devices, by device, and how many of these will not be answered.

    :ivar gone: how many were sent to devices that have gone and had not answered.
    """

    def __init__(self) -> None:
        self._requests: dict[bytes, int] = {}
        self.gone = 0

    def joined(self, relay: bytes) -> None:
        """The device `relay` is there from now on."""
        self._requests.setdefault(relay, 0)

    def has(self, relay: bytes) -> bool:
        """Whether the device `relay` is there."""
        return relay in self._requests

    def asked(self, relay: bytes, count: int) -> None:
        """`count` requests were sent to `relay`."""
        if relay in self._requests:
            self._requests[relay] += count
        else:
            self.gone += count

    def answered(self, relay: bytes, count: int) -> None:
        """`count` replies have come from `relay`."""
        if relay in self._requests:
            self._requests[relay] = max(0, self._requests[relay] - count)

    def left(self, relay: bytes) -> None:
        """The device `relay` has gone: what it was asked is answered by none."""
        self.gone += self._requests.pop(relay, 0)
