"""How many clients read the same kind of answer at a time: one that goes on for long keeps a connection busy."""

from __future__ import annotations

from http import HTTPStatus

from .http.messages import Refusal


class Readers:
    """Counts the readers of one kind of answer.

    :param what: what they are called in an error, in the plural.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0

    def check(self, most: int) -> None:
        """See that there is a free place, where there are `most` in all. Does not yield.

        :raises Refusal: if there is none.
        """
        if self._count >= most:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"there are {most} {self._what} already")

    def enter(self) -> Place:
        """Take a place, until it is left. Does not yield."""
        self._count += 1
        return Place(self)

    def _leave(self) -> None:
        self._count -= 1


class Place:
    """The place of one reader.

    :param readers: among which it is counted.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers: Readers | None = readers

    def leave(self) -> None:
        """Give it back. Nothing happens where it was given back before. Does not yield."""
        readers, self._readers = self._readers, None
        if readers is not None:
            readers._leave()
