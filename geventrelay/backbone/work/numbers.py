"""Numbers of messages from each device to each other one, so that losses are counted. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..pack import PackHead

MOST_RANGES = 16
"""So many pieces of what one device has sent are known to have come, with losses between them."""


class Arrived:
    """Which messages of one device have come: nothing that comes again is taken twice.

    A number that is too high is a loss, or the word of another program that speaks in the device's name. So what is
    missing before it is still taken, should it come: such a program hides no more of a device's messages than it sends.
    """

    def __init__(self) -> None:
        # From which message to which one, this one not included. What was added to last is at the end.
        self._ranges: list[tuple[int, int]] = [(0, 0)]

    def take(self, first: int, count: int) -> int | None:
        """How many more are missing before `count` messages from number `first` on; None if these have come before."""
        begin, end = first, first + count
        if any(one[0] <= begin and end <= one[1] for one in self._ranges):
            return None
        # If later ones have come, it is known what is missing before those.
        missing = max(0, first - max(one[1] for one in self._ranges))
        apart: list[tuple[int, int]] = []
        for one in self._ranges:
            if one[1] < begin or end < one[0]:
                apart.append(one)
            else:
                begin, end = min(begin, one[0]), max(end, one[1])
        self._ranges = [*apart[-MOST_RANGES + 1 :], (begin, end)]
        return missing


@dataclass(slots=True)
class _Other:
    packs: int = 0
    sent: int = 0
    arrived: Arrived = field(default_factory=Arrived)
    received: int = 0
    lost: int = 0


class Numbers:
    """How many messages of one kind went to each other device, and came from it.

    :param relay: this device's id.
    :param stream: which kind, as the heads of packs have it.
    :ivar lost: messages that others have sent and that did not come.
    """

    def __init__(self, relay: bytes, stream: bytes) -> None:
        self._relay, self._stream = relay, stream
        self._others: dict[bytes, _Other] = {}
        self.lost = 0

    def joined(self, relay: bytes) -> None:
        """A device is there from now on."""
        self._others.setdefault(relay, _Other())

    def knows(self, relay: bytes) -> bool:
        """Whether a device is there, or was not long ago."""
        return relay in self._others

    def head(self, relay: bytes, count: int) -> PackHead:
        """The head of a pack of `count` messages that is sent now to `relay`, which has joined."""
        one = self._others[relay]
        head = PackHead(self._relay, self._stream, one.packs, one.sent, count)
        one.packs += 1
        one.sent += count
        return head

    def unsend(self, relay: bytes, head: PackHead) -> None:
        """The last pack to `relay`, with this `head`, was not sent."""
        one = self._others.get(relay)
        if one is not None:
            one.packs, one.sent = head.number, head.first

    def take(self, head: PackHead) -> bool:
        """Whether a pack with this `head` comes for the first time. What is missing before it is lost, or late."""
        one = self._others.get(head.relay)
        if one is None:
            # Of a device that is not known, nothing is kept.
            return True
        missing = one.arrived.take(head.first, head.count)
        if missing is None:
            return False
        one.lost += missing
        self.lost += missing
        one.received += head.count
        return True

    def sent_to(self, relay: bytes) -> int:
        """How many were sent to one."""
        one = self._others.get(relay)
        return 0 if one is None else one.sent

    def received_from(self, relay: bytes) -> int:
        """How many have come from one."""
        one = self._others.get(relay)
        return 0 if one is None else one.received

    def lost_of(self, relay: bytes) -> int:
        """How many of one did not come."""
        one = self._others.get(relay)
        return 0 if one is None else one.lost

    def forget(self, relay: bytes) -> None:
        """A device has been gone for long."""
        self._others.pop(relay, None)
