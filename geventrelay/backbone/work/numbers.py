"""Numbers of messages from each device to each other one, so that losses are counted. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..pack import PackHead


@dataclass(slots=True)
class _Other:
    packs: int = 0
    sent: int = 0
    arrived: int = 0
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
        """Whether a pack with this `head` comes for the first time. What is missing before it is lost."""
        one = self._others.get(head.relay)
        if one is None:
            # Of a device that is not known, nothing is kept.
            return True
        if head.first < one.arrived:
            return False
        one.lost += head.first - one.arrived
        self.lost += head.first - one.arrived
        one.arrived = head.first + head.count
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
