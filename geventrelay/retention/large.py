"""Room for the large messages of answers: how many bytes of them wait for all readers of a port together. Pure.

Of small ones, no more waits for a reader than its queue may have. But a message of any size has to be let in where
nothing waits, and is copied for each reader.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Reader = TypeVar("Reader")


class LargeMessages(Generic[Reader]):
    """Who has room for a large message, and who waits for some, in line.

    :param most: how many bytes may wait; 0 for no limit. One message may in any case.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._nbytes = 0
        self._taken: dict[Reader, int] = {}
        # Of those taken: room for readers whose turn has come, and who have not put their message yet.
        self._kept_free: set[Reader] = set()
        self._line: dict[Reader, int] = {}

    @property
    def anyone_waits(self) -> bool:
        """Whether a reader waits for room."""
        return bool(self._line)

    @property
    def holders(self) -> list[Reader]:
        """Those who have room, in the order in which they got it."""
        return list(self._taken)

    def holds(self, reader: Reader) -> bool:
        """Whether a message of a `reader` waits to be written."""
        return reader in self._taken and reader not in self._kept_free

    def take(self, reader: Reader, size: int) -> bool:
        """Take room for a message of so many bytes; False if the `reader` has to wait for `next_ones` to have it.

        :param reader: one that holds none.
        :param size: of its message.
        """
        is_due = reader in self._kept_free
        self.give_back(reader)
        if (self._line and not is_due) or not self._fits(size):
            self._line[reader] = size
            return False
        self._take(reader, size)
        return True

    def give_back(self, reader: Reader) -> None:
        """A `reader` has no large message any more, and waits for no room. Look for the `next_ones` then."""
        self._nbytes -= self._taken.pop(reader, 0)
        self._kept_free.discard(reader)
        self._line.pop(reader, None)

    def give_back_unused(self, reader: Reader) -> None:
        """A `reader` has had its turn: room that was kept free for it is so no more."""
        if reader in self._kept_free:
            self.give_back(reader)

    def next_ones(self) -> list[Reader]:
        """Those whose turn it is now. Room is kept free for them until `give_back_unused`."""
        found = []
        while self._line:
            reader, size = next(iter(self._line.items()))
            if not self._fits(size):
                break
            del self._line[reader]
            self._take(reader, size)
            self._kept_free.add(reader)
            found.append(reader)
        return found

    def _fits(self, size: int) -> bool:
        return not self._taken or not self._most or self._nbytes + size <= self._most

    def _take(self, reader: Reader, size: int) -> None:
        self._taken[reader] = size
        self._nbytes += size
