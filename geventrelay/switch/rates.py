"""Which rate holds for a connection: its own, that of its user, or that of all peers of its socket."""

from __future__ import annotations

from collections.abc import Callable

from ..engine.rate import RateLimit
from ..terms import RatePer
from .contract import Rate


class Rates:
    """The rates of one socket. Pure; time is an argument.

    :param make: makes one.
    :param limit: what each is to be; None for no limit.
    :param per: what has one of its own.
    """

    def __init__(self, make: Callable[[RateLimit], Rate], limit: RateLimit | None, per: RatePer) -> None:
        self._make = make
        self._limit = limit
        self._per = per
        self._of_all = make(limit) if limit is not None and per is RatePer.DEVICE else None
        # With how many connections each user has.
        self._of_users: dict[str, tuple[Rate, int]] = {}
        self._left: dict[str, Rate] = {}

    def come(self, user: str, now: float) -> Rate | None:
        """The rate of a connection that has come in at the time `now`; None for any number. Does not yield.

        :param user: whose connection it is; empty for a peer without a name.
        """
        if self._limit is None or self._of_all is not None:
            return self._of_all
        if self._per is RatePer.PEER:
            return self._make(self._limit)
        rate, connections = self._of_users.get(user, (self._left.pop(user, None), 0))
        if rate is None:
            rate = self._make(self._limit)
        self._of_users[user] = rate, connections + 1
        self._forget(now)
        return rate

    def leave(self, user: str) -> None:
        """A connection of this `user`, which has come in, has ended. Does not yield."""
        if user in self._of_users:
            rate, connections = self._of_users.pop(user)
            if connections > 1:
                self._of_users[user] = rate, connections - 1
            else:
                # Who comes again has no more for that.
                self._left[user] = rate

    def _forget(self, now: float) -> None:
        """Forget users that have left and whose rate is as a new one: a few at a time, so that none has to wait."""
        for user in list(self._left)[:2]:
            rate = self._left.pop(user)
            if not rate.is_full(now):
                self._left[user] = rate
