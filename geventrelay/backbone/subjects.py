"""The subjects at NATS under which devices of one name tell each other what there is."""

from __future__ import annotations


class Subjects:
    """The subjects of one device's name.

    :param prefix: what all of them begin with, see ``--backbone-prefix``.
    :param name: the name that the devices have in common.
    """

    def __init__(self, prefix: str, name: str) -> None:
        # A dot would begin another word. A name has no percent sign of its own.
        self._base = f"{prefix}.{name.replace('.', '%2E')}"
        self._streams = f"{self._base}.s."
        self._works = f"{self._base}.w."
        self.all = f"{self._base}.a"
        """For every device."""
        self.stored = f"{self._base}.d"
        """For what a stream of NATS is to keep."""

    def relay(self, relay: bytes) -> str:
        """For one device alone, whose id is `relay`."""
        return f"{self._base}.r.{relay.hex()}"

    def is_stream(self, subject: str) -> bool:
        """Whether a `subject` is that of a stream."""
        return subject.startswith(self._streams)

    def stream(self, stream: bytes) -> str:
        """For all devices that have asked for the same: `stream` is the name of that interest."""
        return f"{self._streams}{stream.hex()}"

    def is_work(self, subject: str) -> bool:
        """Whether a `subject` is that of work for one device, or of replies to one."""
        return subject.startswith(self._works)

    def work(self, relay: bytes) -> str:
        """For work that one device alone gets, and for replies to it: its id is `relay`."""
        return f"{self._works}{relay.hex()}"

    def answers(self, relay: bytes) -> str:
        """What the subjects begin with to which a server answers the device whose id is `relay`."""
        return f"{self._base}.i.{relay.hex()}"
