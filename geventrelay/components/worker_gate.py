"""How many requests the workers of a queue may be given, where only their number is known, and not who has which."""

from __future__ import annotations

from ..engine.gate import Gate


class WorkerGate:
    """A gate with as many permits as the workers have requests to get, all together. Pure.

    Of a worker that has gone it is not known how many requests it had; they may even be more than `limit`, since libzmq
    gives them out in turn. So all that are out count as answered then. The others may have too many for a while, until
    a moment when none is out; one that is missing would be missing for ever, and the gate be shut beside a free worker.

    :param limit: how many requests a worker may have at a time.
    :ivar gate: it is counted down with each request that is sent.
    """

    def __init__(self, limit: int) -> None:
        self.gate = Gate(of_requests=True)
        self._limit = limit
        self._came = self._gone = self._replies = 0

    @property
    def unanswered(self) -> int:
        """How many requests are out, as far as is known. Does not yield."""
        return self._limit * (self._came - self._gone) - self.gate.permits

    def note_workers(self, came: int, gone: int) -> None:
        """`came` is how many workers have come since the start, and `gone` how many have gone. Does not yield."""
        unanswered = self.unanswered if gone == self._gone else 0
        self._came, self._gone = came, gone
        self._set_unanswered(unanswered)

    def note_replies(self, replies: int) -> None:
        """So many `replies` have come since the start. Does not yield."""
        came, self._replies = replies - self._replies, replies
        # A worker may send more than it was asked.
        self._set_unanswered(max(0, self.unanswered - came))

    def _set_unanswered(self, requests: int) -> None:
        self.gate.add(self._limit * (self._came - self._gone) - requests - self.gate.permits)
