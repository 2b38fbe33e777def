"""Decides who may connect to one socket, from values that have been read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .decision import Allowed, Denial, Denied, Mechanism, Pass, Request, Verdict
from .networks import Networks
from .passwords import Passwords

AskUser = Callable[[str, str, bytes], "str | None"]
"""What an embedding program decides by: ``(domain, address, public_key)`` -> the user, None to refuse."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one socket. It is a `Decide`.

    :ivar mechanism: the one that peers have to come with.
    :ivar networks: where they may be, with every mechanism.
    :ivar clients: with CURVE: the users of public keys, or a program's own function for them; None lets any key in,
        without a name.
    :ivar passwords: with PLAIN.
    """

    mechanism: Mechanism = Mechanism.NULL
    networks: Networks = field(default_factory=Networks)
    clients: Mapping[bytes, str] | AskUser | None = None
    passwords: Passwords = field(default_factory=Passwords)

    def __call__(self, request: Request) -> Verdict:
        """The answer to `request`. Takes some 50 ms for PLAIN, without the interpreter's lock, and does not yield.

        :raises Exception: what a program's own function raises, and TypeError if it returns something else.
        """
        if not self.networks.allows(request.address):
            return Denied(Denial.ADDRESS)
        if request.mechanism is not self.mechanism:
            return Denied(Denial.MECHANISM)
        user = self._user(request)
        if isinstance(user, Denial):
            return Denied(user)
        return Allowed(user, by=self._pass(request, user))

    def still_allows(self, by: Pass) -> bool:
        """Whether a peer that was let in `by` this would be let in now. Does not yield.

        :raises Exception: what a program's own function raises.
        """
        if not self.networks.allows(by.address):
            return False
        if self.mechanism is Mechanism.PLAIN:
            return by.password is not None and self.passwords.users.get(by.user) == by.password
        if self.mechanism is not Mechanism.CURVE or self.clients is None:
            return True
        if isinstance(self.clients, Mapping):
            return self.clients.get(by.public_key) == by.user
        return self.clients(by.domain, by.address, by.public_key) == by.user

    def takes_from(self, former: Policy) -> bool:
        """Whether this may refuse a peer that the `former` rules of the same socket let in. Does not yield."""
        if self.networks != former.networks:
            return True
        if self.mechanism is Mechanism.PLAIN:
            return _lacks(self.passwords.users, former.passwords.users)
        if self.mechanism is not Mechanism.CURVE or self.clients is None:
            return False
        if isinstance(self.clients, Mapping) and isinstance(former.clients, Mapping):
            return _lacks(self.clients, former.clients)
        # What a program's own function says may be another thing now.
        return True

    def _pass(self, request: Request, user: str) -> Pass:
        key = b"" if self.clients is None else request.public_key
        return Pass(request.domain, request.address, user, key, self.passwords.users.get(user))

    def _user(self, request: Request) -> str | Denial:
        if self.mechanism is Mechanism.CURVE:
            return self._by_key(request)
        if self.mechanism is Mechanism.PLAIN:
            return self._by_password(request)
        return ""

    def _by_key(self, request: Request) -> str | Denial:
        if self.clients is None:
            return ""
        if isinstance(self.clients, Mapping):
            user = self.clients.get(request.public_key)
        else:
            user = self.clients(request.domain, request.address, request.public_key)
        if user is None:
            return Denial.UNKNOWN_KEY
        if not isinstance(user, str):
            raise TypeError(f"expected the name of a user or None for a key, got {user!r}")
        return user

    def _by_password(self, request: Request) -> str | Denial:
        if self.passwords.check(request.username, request.password):
            return request.username
        return Denial.WRONG_PASSWORD if self.passwords.knows(request.username) else Denial.UNKNOWN_USER


def _lacks(known: Mapping[Any, Any], former: Mapping[Any, Any]) -> bool:
    """Whether a key of `former` is not among those that are `known`, or has another value there."""
    return any(key not in known or known[key] != value for key, value in former.items())
