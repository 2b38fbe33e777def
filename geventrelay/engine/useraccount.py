"""What has moved for each user of one socket, whichever connections the user has had. Pure.

With engine zmtp: libzmq tells of no connection what came over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .values import counter, merged, values_of

MOST_USERS = 100
"""So many users have an account of their own, the first that come; all others have one together."""

OTHER = "other"
"""The name of that one. A user who is called so has it too."""


@dataclass(frozen=True, slots=True)
class UserAccount:
    """What has moved for one user, over all of its connections to a socket."""

    received: int = counter(
        "messages", "Messages that have come from peers of the user.",
        path=("received", "messages"), metric="user_received_messages",
    )  # fmt: skip
    received_bytes: int = counter(
        "bytes", "Bytes of the messages from peers of the user.",
        path=("received", "bytes"), metric="user_received_bytes",
    )  # fmt: skip
    delivered: int = counter(
        "deliveries", "Messages for peers of the user that the kernel has taken wholly.",
        path=("delivered",), metric="user_delivered_messages",
    )  # fmt: skip


OF_USER = values_of(UserAccount)
"""Every value of a user."""

Accounts = Mapping[str, UserAccount]


def together(past: Accounts | None, later: Accounts | None) -> Accounts | None:
    """The accounts of two lives of one socket, `past` and `later`; None where one is not known. Does not yield."""
    if past is None or later is None:
        return None
    return summed([*past.items(), *later.items()])


def summed(accounts: Iterable[tuple[str, UserAccount]]) -> dict[str, UserAccount]:
    """One account for each user of `accounts`, the first `MOST_USERS`, and one for all others. Does not yield."""
    found: dict[str, UserAccount] = {}
    for user, account in accounts:
        _add(found, user, account)
    return found


def _add(found: dict[str, UserAccount], user: str, account: UserAccount) -> None:
    name = user if user in found or len(found) - (OTHER in found) < MOST_USERS else OTHER
    known = found.get(name)
    found[name] = account if known is None else merged(known, account)


class UserAccounts:
    """The accounts of one socket's users. Nothing here yields."""

    def __init__(self) -> None:
        # Of the connections that have ended. Each user that has come is here, so that no name is told otherwise later.
        self._ended: dict[str, UserAccount] = {}

    def come(self, user: str) -> None:
        """A peer of a `user` has connected: from now on it has an account, if there is room."""
        _add(self._ended, user, UserAccount())

    def leave(self, user: str, moved: UserAccount) -> None:
        """A connection of a `user` has ended, over which this has `moved`."""
        _add(self._ended, user, moved)

    def all(self, present: Iterable[tuple[str, UserAccount]] = ()) -> Accounts:
        """What has moved for each user.

        :param present: of each connection that is there: its user, and what has moved over it.
        """
        return summed([*self._ended.items(), *present])
