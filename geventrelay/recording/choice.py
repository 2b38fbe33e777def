"""Which of the messages that pass somebody wants to see."""

from __future__ import annotations

from .record import Record


class Choice:
    """Takes some records and leaves the others; call it with each, in order.

    :param direction: take only what came in at the socket with this key; None takes every direction.
    :param topic: take only messages whose first part begins so; empty takes all.
    :param sample: of those, take every so manieth, beginning with the first.
    """

    def __init__(self, direction: str | None = None, topic: bytes = b"", sample: int = 1) -> None:
        self.direction, self._topic, self._sample = direction, topic, sample
        self._seen = 0

    def __call__(self, record: Record) -> bool:
        """Whether to take `record`."""
        if self.direction is not None and record.source != self.direction:
            return False
        if self._topic and not (record.parts and record.parts[0].startswith(self._topic)):
            return False
        self._seen += 1
        return self._sample == 1 or self._seen % self._sample == 1
