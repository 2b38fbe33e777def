"""Large answers on their way to clients: not copied for each client, and no more of them than memory is for."""

from __future__ import annotations

SMALL_BYTES = 64 * 1024
"""An answer that is no longer is not counted."""
MOST_BYTES = 64 * 1024 * 1024
"""How many bytes of answers may be on their way. An answer that several clients read is one."""


class UnderWay:
    """The large answers that clients are reading. Nothing here yields.

    :param most_bytes: how many bytes of them there may be at a time; a single one may have more.
    :ivar nbytes: how many there are.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        # How many read it, by its identity: the same answer may serve several clients.
        self._readers: dict[int, int] = {}
        self.nbytes = 0

    def begin(self, body: bytes) -> LargeBody | None:
        """Send `body` to one more client; None if too much is on its way already."""
        if id(body) not in self._readers:
            if self.nbytes and self.nbytes + len(body) > self._most_bytes:
                return None
            self._readers[id(body)] = 0
            self.nbytes += len(body)
        self._readers[id(body)] += 1
        return LargeBody(self, body)

    def end(self, body: bytes) -> None:
        """One client less reads `body`."""
        self._readers[id(body)] -= 1
        if not self._readers[id(body)]:
            del self._readers[id(body)]
            self.nbytes -= len(body)


class LargeBody(list[bytes | memoryview]):
    """A large answer as WSGI sends it: a list, for it is there as a whole, which is closed at the end.

    pywsgi copies what it sends together with the head: that is one byte here.

    :param answers: what it is one of.
    :param body: all of it.
    """

    def __init__(self, answers: UnderWay, body: bytes) -> None:
        super().__init__((body[:1], memoryview(body)[1:]))
        self._answers = answers
        self._body: bytes | None = body

    def close(self) -> None:
        """It was read, or its client has gone. May be called twice."""
        if self._body is not None:
            self._answers.end(self._body)
            self._body = None
            self.clear()
