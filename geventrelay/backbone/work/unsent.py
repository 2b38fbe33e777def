"""Messages that wait for other devices one by one, each to be sent to one of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..whole import ends

PACK_BYTES = 64 * 1024
"""No message is added to a pack that would be larger with it."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What goes next, to one device.

    :ivar relay: its id.
    :ivar data: whole messages, as ZMTP has them in a connection; empty if there are none.
    :ivar count: how many messages that is.
    :ivar dropped: how many messages before them were too large.
    """

    relay: bytes
    data: bytes
    count: int
    dropped: int = 0


class Unsent:
    """What waits for each device. These take turns."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[list[bytes], int]] = {}
        self.count = self.nbytes = 0

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def add(self, relay: bytes, data: bytes, count: int) -> None:
        """Have messages wait, behind those that do so already.

        :param relay: the id of the device that they are for.
        :param data: whole messages, as ZMTP has them in a connection.
        :param count: how many messages that is.
        """
        pieces, before = self._waiting.get(relay, ([], 0))
        pieces.append(data)
        self._waiting[relay] = pieces, before + count
        self.count += count
        self.nbytes += len(data)

    def put_back(self, portion: Portion) -> None:
        """Have a `portion` that was taken wait again, before all else."""
        pieces, before = self._waiting.pop(portion.relay, ([], 0))
        self._waiting = {portion.relay: ([portion.data, *pieces], before + portion.count), **self._waiting}
        self.count += portion.count
        self.nbytes += len(portion.data)

    def relays(self) -> tuple[bytes, ...]:
        """The devices for which something waits."""
        return tuple(self._waiting)

    def pop(self, relay: bytes) -> tuple[bytes, int]:
        """All that waits for the device `relay`, and how many messages that is; it is then no more here."""
        pieces, count = self._waiting.pop(relay, ([], 0))
        data = b"".join(pieces)
        self.count -= count
        self.nbytes -= len(data)
        return data, count

    def take(self, most_bytes: int, may_go: Callable[[bytes], bool] = lambda relay: True) -> Portion | None:
        """What goes next; it is then no more here. None if nothing may go.

        :param most_bytes: messages that are larger are dropped.
        :param may_go: whether a device may be sent something now.
        """
        relay = next(filter(may_go, self._waiting), None)
        if relay is None:
            return None
        data, count = self.pop(relay)
        if len(data) <= min(most_bytes, PACK_BYTES):
            return Portion(relay, data, count)
        begin = at = number = dropped = 0
        for end in ends(data):
            if end - at > most_bytes:
                if number:
                    break
                dropped, begin = dropped + 1, end
            elif number and end - begin > PACK_BYTES:
                break
            else:
                number += 1
            at = end
        if at < len(data):
            self.add(relay, data[at:], count - number - dropped)
        return Portion(relay, data[begin:at], number, dropped)


def cut(data: bytes, runs: Iterable[tuple[bytes | None, int]]) -> Iterator[tuple[bytes | None, bytes, int]]:
    """Messages by where they go: a device or None, messages, how many.

    :param data: whole messages, as ZMTP has them in a connection.
    :param runs: where how many of them go, in their order.
    """
    parts = [(relay, count) for relay, count in runs if count]
    if len(parts) == 1:
        yield parts[0][0], data, parts[0][1]
        return
    where, begin = ends(data), 0
    for relay, count in parts:
        end = begin
        for _ in range(count):
            end = next(where)
        yield relay, data[begin:end], count
        begin = end
