"""A socket that is protected: who may connect to it, and what was decided."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from ..components.door import Credentials, Entry, Refusal
from ..engine.grant import Grant
from ..engine.seldom import Seldom
from ..log import event
from ..terms import Mechanism
from .decision import Allowed, Denial, Denied, Pass, Request, Verdict
from .keys import fingerprint
from .ledger import Ledger
from .policy import Policy

log = logging.getLogger("geventrelay")


@dataclass(slots=True)
class Guarded:
    """A protected socket.

    :ivar device: the device's name.
    :ivar key: the socket's.
    :ivar policy: who may connect.
    :ivar grant: with engine libzmq and rights: what a user may do here, None if it must not connect. None for
        everything, and with engine zmtp, which asks by itself.
    :ivar refresh: has `grant` know what counts now; it yields. None without rights.
    :ivar seldom: which refusals the log tells.
    :ivar ledger: what was decided.
    """

    device: str
    key: str
    policy: Policy
    grant: Callable[[str], Grant | None] | None = None
    refresh: Callable[[], None] | None = None
    seldom: Seldom = field(default_factory=Seldom)
    ledger: Ledger = field(default_factory=Ledger)
    # Whether something was taken from a peer since the last `forget_revoked`.
    _has_taken: bool = False

    @property
    def takes_time(self) -> bool:
        """Whether an answer takes long, or may yield since a program's own function gives it or the disk is asked."""
        return self.refresh is not None or self.policy.mechanism is Mechanism.PLAIN or callable(self.policy.clients)

    def verdict(self, request: Request) -> tuple[Verdict, Exception | None]:
        """What its rules say of a `request`, and the error of a program's own function, by which no peer gets in.

        It may run in any thread, and so logs nothing.
        """
        try:
            return self.policy(request), None
        except Exception as error:
            return Denied(Denial.FAILED, later=True), error

    def still_allows(self, by: Pass | None) -> bool:
        """Whether a peer that was let in `by` this would be let in now; true if an error comes up. Does not yield."""
        try:
            return by is None or self.policy.still_allows(by)
        except Exception as error:
            reason = type(error).__name__
            log.error(event("zap-failed", device=self.device, socket=self.key, reason=reason))
            return True

    def go_on_with(self, policy: Policy) -> None:
        """Let peers in by this `policy` from now on. Does not yield."""
        self._has_taken = self._has_taken or policy.takes_from(self.policy)
        self.policy = policy

    def note_other_rights(self) -> None:
        """Note that `grant` may answer another thing now. Does not yield."""
        self._has_taken = self._has_taken or self.grant is not None

    def is_revoked(self, address: str) -> bool:
        """Whether a peer may be in from the `address` of a connection that would not be let in now, or so, any more.

        Does not yield. With engine libzmq, where it is not known which connection is whose. Where it is not kept who
        was let in, it may be a peer that has lost a right.
        """
        if self.ledger.knows(address, lambda by, grant: not self._counts(by, grant)):
            return True
        return self._has_taken and self.ledger.is_vague(address)

    def forget_revoked(self) -> None:
        """Know nothing more of those of which `is_revoked` tells: they have been ended. Does not yield."""
        self.ledger.forget(lambda by, grant: not self._counts(by, grant), vague=self._has_taken)
        self._has_taken = False

    def _counts(self, by: Pass, grant: Grant | None) -> bool:
        return self.still_allows(by) and (self.grant is None or self.grant(by.user) == grant)

    def limited(self, verdict: Allowed) -> Verdict:
        """A `verdict` with what the user may do; a refusal if it must not connect. Does not yield."""
        if self.grant is None:
            return verdict
        grant = self.grant(verdict.user)
        return Denied(Denial.FORBIDDEN) if grant is None else dataclasses.replace(verdict, grant=grant)

    def admit(self, shown: Credentials, address: str) -> Entry | Refusal:
        """The same for engine zmtp, by what a peer has `shown` and its IP address. It may run in any thread."""
        # So that bytes that are no UTF-8 stay what they are, and equal nothing else.
        username, password = (one.decode(errors="surrogateescape") for one in (shown.username, shown.password))
        domain = f"{self.device}.{self.key}"
        request = Request(Mechanism(shown.mechanism), domain, address, username, password, shown.public_key)
        verdict, error = self.verdict(request)
        if isinstance(verdict, Allowed):
            return Entry(verdict.user, still=functools.partial(self.still_allows, verdict.by))
        keys = self.described(request, verdict)
        told = {name: str(value) for name, value in keys.items() if name not in ("device", "socket", "reason")}
        if error is not None:
            # Its text might have the password in it.
            told["error"] = type(error).__name__
        return Refusal(verdict.reason.value, verdict.later, keys=told)

    def told(self, request: Request | None, denied: Denied, now_s: float) -> dict[str, object] | None:
        """What the log is to tell of a refusal; None if it has told of its like a moment before. Does not yield.

        :param request: what was asked; None if it could not be read.
        :param denied: the answer.
        :param now_s: by `time.monotonic`.
        """
        left_out = self.seldom.line(("" if request is None else request.address, denied.reason), now_s)
        if left_out is None:
            return None
        return self.described(request, denied) | ({"left_out": left_out} if left_out else {})

    def described(self, request: Request | None, denied: Denied) -> dict[str, object]:
        """The keys with which the log tells who was refused. Does not yield.

        :param request: what was asked; None if it could not be read.
        :param denied: the answer.
        """
        keys: dict[str, object] = {"device": self.device, "socket": self.key}
        if request is not None:
            keys |= {"address": request.address or "ipc", "mechanism": request.mechanism.value}
            if request.public_key:
                keys["key"] = fingerprint(request.public_key)
            if request.username:
                keys["user"] = request.username
        return {**keys, "reason": denied.reason.value}
