"""Why handshakes failed at one socket: what libzmq has told, and a guess where it has told nothing. Pure.

An event of libzmq (4.3.5, zmq_socket_monitor(3)) says that a handshake was denied, that something was wrong with it, or
that the connection broke. libzmq tells nothing where it has refused what came without a word for it: bytes that are not
ZMTP 3, or a READY (NULL) or INITIATE of a socket whose type does not fit. What went over the connection tells these
two apart.

Where the connection broke, the other end has ended it. With NULL, it may have done so since our type does not fit: it
has our READY then. With PLAIN and CURVE the server looks first: a client that breaks it off has another reason.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

NOT_ZMTP = "not_zmtp3"
"""Why a handshake failed that libzmq reports nothing about: HTTP, a port scanner, libzmq before 4.0."""
WRONG_TYPE = "wrong_type"
"""Why a handshake failed that came beyond the greetings: the types of two sockets do not fit, as a SUB's at a PULL."""
TOO_SLOW = "too_slow"
"""Why a handshake failed that was not over in its time."""

_BROKEN = ("EPIPE", "ECONNRESET")


@dataclass(frozen=True, slots=True)
class Told:
    """What an event has told of the failure of the connection that ends next.

    :ivar reason: why.
    :ivar vague: whether that is just that the connection has broken.
    """

    reason: str
    vague: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection at its end. By default, nothing is known of what went over it.

    :ivar greeted: whether this end has sent its greeting.
    :ivar said: whether it has sent more than that, and `heard` whether more than a greeting has come.
    :ivar accepted: whether the other end has made the connection.
    :ivar ready: whether its handshake seemed to be through.
    :ivar slow: whether the handshake has taken as long as it may, and this end has ended the connection.
    """

    greeted: bool = False
    said: bool = False
    heard: bool = False
    accepted: bool = False
    ready: bool = False
    slow: bool = False

    @property
    def beyond_greetings(self) -> bool:
        """Whether both ends had come to what follows their greetings."""
        return self.said or (self.greeted and self.heard)


class HandshakeFailures:
    """Counts why handshakes failed at one socket.

    :param mechanism: the socket's.
    :param takes_legacy: whether a connection without a handshake may be a peer's, of ZMTP 1.0 or 2.0. Its end is no
        failure then.
    """

    def __init__(self, mechanism: str = "NULL", *, takes_legacy: bool = False) -> None:
        self._mechanism = mechanism
        self._takes_legacy = takes_legacy
        self._told: dict[str, Told] = {}
        self._denied: dict[str, deque[str]] = {}
        # Where the event before this one was a denial.
        self._just_denied: str | None = None
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How many failed, by reason. Does not yield."""
        return {reason: count for reason, count in self._counts.items() if count}

    def count(self, reason: str) -> None:
        """One has failed for a `reason` of this end's own. Does not yield."""
        self._counts[reason] += 1

    def failed(self, endpoint: str, reason: str, *, detail: bool) -> None:
        """One at `endpoint` has failed, for this `reason`; its connection ends next. Does not yield.

        :param detail: whether more is known than that the connection has broken. That is reported right after a denial
            if the peer has left before it, and is no failure of its own then.
        """
        just_denied, self._just_denied = self._just_denied == endpoint, None
        if just_denied and not detail:
            self._told[endpoint] = Told(self._denied[endpoint].pop(), vague=False)
        else:
            self._counts[reason] += 1
            self._told[endpoint] = Told(reason, vague=not detail)

    def denied(self, endpoint: str, reason: str) -> None:
        """A ZAP handler has refused one at `endpoint`, for this `reason`; the connection ends some time."""
        self._counts[reason] += 1
        self._denied.setdefault(endpoint, deque()).append(reason)
        self._just_denied = endpoint

    def take(self, endpoint: str) -> Told | None:
        """What was told of the connection that has now ended at `endpoint`; None if nothing was. Does not yield."""
        self._just_denied = None
        return self._told.pop(endpoint, None)

    def take_back(self, told: Told | None) -> None:
        """What was `told` was no failure of its own. Does not yield."""
        if told is not None:
            self._counts[told.reason] -= 1

    def conclude(self, endpoint: str, told: Told | None, ended: Ended) -> str | None:
        """Why the handshake of a connection failed, which counts from now on; None if it did not. Does not yield.

        :param endpoint: where it has ended.
        :param told: what `take` has said of it.
        :param ended: what is known of it.
        """
        if self._may_be_legacy(told, ended):
            self.take_back(told)
            return None
        if told is None and ended.ready:
            return None
        denied = self._denied.get(endpoint)
        if told is None and denied:
            # That is counted.
            return denied.popleft()
        reason = self._guess(told, ended, is_denied=bool(denied))
        self.take_back(told)
        self._counts[reason] += 1
        return reason

    def _may_be_legacy(self, told: Told | None, ended: Ended) -> bool:
        if not self._takes_legacy or ended.ready or ended.beyond_greetings:
            return False
        return told is None or told.reason in _BROKEN

    def _guess(self, told: Told | None, ended: Ended, *, is_denied: bool) -> str:
        if ended.slow and not ended.ready and not is_denied and (told is None or told.vague):
            return TOO_SLOW
        if told is None:
            return WRONG_TYPE if ended.beyond_greetings else NOT_ZMTP
        return WRONG_TYPE if told.reason in _BROKEN and self._was_refused(ended) else told.reason

    def _was_refused(self, ended: Ended) -> bool:
        """Whether the other end, which has ended a connection, may have done so because the types do not fit."""
        if self._mechanism == "NULL":
            return ended.said
        # A client of PLAIN that was let in goes on to say its type. One of CURVE says it before the server asks who it
        # is: there, the end may mean anything.
        return self._mechanism == "PLAIN" and not ended.accepted and ended.heard
