"""Who may come in at a socket: which mechanism its handshakes have, and who is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.hub import get_hub
from gevent.lock import BoundedSemaphore

from ..engine.grant import Grant
from ..zmtp.events import Credentials
from ..zmtp.mechanism import Mechanism, Null
from ..zmtp.plain import PlainServer

FAILED = "failed"
"""Why a peer is refused when there is no answer because of an error."""

MOST_CHECKS = 2
"""How many peers are decided about at a time: a password takes a thread for some 50 ms."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A peer may come in.

    :ivar user: who it is; empty for a peer without a name.
    :ivar grant: what it may do; None for everything.
    :ivar still: whether it may still; None for always. Does not yield.
    """

    user: str = ""
    grant: Grant | None = None
    still: Callable[[], bool] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A peer may not come in.

    :ivar reason: what it is counted by.
    :ivar later: whether it may try again: it is told nothing then. A libzmq client never comes back otherwise.
    :ivar what: one sentence for the log.
    :ivar keys: what else the log tells of the peer.
    """

    reason: str
    later: bool = False
    what: str = "it may not connect"
    keys: Mapping[str, str] = field(default_factory=dict)


Answer = Entry | Refusal
Admit = Callable[[Credentials, str], Answer]
"""Answers whether a peer may come in, by what it has shown and its IP address (``""`` over ipc). With NULL it must not
yield, with CURVE it may, and with PLAIN it is called in a thread of the hub's pool, and may take its time."""


@dataclass(frozen=True, slots=True)
class Door:
    """How peers come in at a socket.

    :ivar accepting: makes this end of a handshake with a peer that connects, and `connecting` with one that this end
        connects to, of what this end says of itself.
    :ivar admit: decides who may come in; None lets in every peer that has the mechanism.
    """

    accepting: Callable[[Mapping[str, bytes]], Mechanism] = Null
    connecting: Callable[[Mapping[str, bytes]], Mechanism] = Null
    admit: Admit | None = None


@dataclass(slots=True)
class Doorkeeper:
    """Asks who may come in at one socket.

    :ivar admit: decides; None lets every peer in. It may be replaced, for peers that come then.
    """

    admit: Admit | None
    _checks: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(MOST_CHECKS))

    def ask(self, credentials: Credentials, address: str) -> Answer:
        """The answer at once. Does not yield.

        :param credentials: what the peer has shown.
        :param address: its IP address; ``""`` over ipc.
        """
        return Entry() if self.admit is None else _answer(self.admit, credentials, address)

    def check(self, credentials: Credentials, address: str, then: Callable[[Answer], None]) -> Any:
        """Ask in a greenlet, which calls `then` with the answer, and for a password in a thread. Does not yield.

        :param credentials: what the peer has shown.
        :param address: its IP address; ``""`` over ipc.
        :returns: the greenlet.
        """
        return gevent.spawn(self._check, credentials, address, then)

    def _check(self, credentials: Credentials, address: str, then: Callable[[Answer], None]) -> None:
        admit = self.admit
        if admit is None:
            then(Entry())
            return
        if credentials.mechanism == PlainServer.name:
            answer = self._in_thread(admit, credentials, address)
        else:
            with self._checks:
                answer = _answer(admit, credentials, address)
        then(answer)

    def _in_thread(self, admit: Admit, credentials: Credentials, address: str) -> Answer:
        """The same from a thread. Its place is taken until the thread is done, even if its peer has gone by then."""
        self._checks.acquire()
        try:
            asked = get_hub().threadpool.spawn(_answer, admit, credentials, address)
        except BaseException:
            self._checks.release()
            raise
        asked.rawlink(lambda _: self._checks.release())
        answer = asked.get()
        assert answer is not None  # what `_answer` returns
        return answer


def _answer(admit: Admit, credentials: Credentials, address: str) -> Answer:
    try:
        return admit(credentials, address)
    except Exception as error:
        # What is not decided is no permission.
        return Refusal(FAILED, later=True, what=f"who may connect could not be decided: {error!r}")
