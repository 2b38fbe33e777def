"""Answers libzmq, in each context that has protected sockets, who may connect.

::

    libzmq's io thread --request--> ROUTER at inproc://zeromq.zap.01 --> policy of the socket --verdict--> libzmq

A greenlet of the hub does this, one for each context. While it is down or slow, no new peer gets in, since each of
these sockets has a domain that libzmq must not do without (ZMQ_ZAP_ENFORCE_DOMAIN); those that are in stay in.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import gevent
import zmq
from gevent.hub import get_hub
from gevent.lock import BoundedSemaphore

from ..engine import fork as fork
from ..engine.fair import FairYield
from ..engine.libzmq import is_gone
from ..engine.socket import RelaySocket
from ..engine.stages import senders
from ..errors import StartError
from ..log import event
from ..settings.socket_options import ZAP_DOMAIN
from ..terms import Mechanism
from . import zap
from .decision import Allowed, Denial, Denied, Request, Verdict
from .guarded import Guarded

log = logging.getLogger("geventrelay")

_MOST_WAITING = 100
"""How many peers wait for a verdict that takes time; what comes beyond is to try again."""
_MOST_AT_ONCE = 2
"""How many passwords are checked at a time: the hub's thread pool has other work too."""


class ZapHandler:
    """The handler of one context. It is there as long as it has users.

    :param context: where it answers.
    :ivar hub: whose greenlet it is.
    """

    def __init__(self, context: Any) -> None:
        self.hub = get_hub()
        self._context = context
        self._made_in = fork.current()
        self._guarded: dict[str, Guarded] = {}
        self._socket: RelaySocket | None = None
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._checks: set[gevent.Greenlet[..., None]] = set()
        self._slots = BoundedSemaphore(_MOST_AT_ONCE)

    def open(self) -> None:
        """Begin to answer. Where a program has a handler of its own, that one goes on. Does not yield.

        :raises StartError: if there is no descriptor for it.
        """
        try:
            socket: RelaySocket = self._context.socket(zmq.ROUTER, socket_class=RelaySocket)
        except zmq.ZMQError as error:
            raise StartError(f"cannot make a socket (ZAP): {zmq.strerror(error.errno or 0)}") from error
        try:
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.SNDHWM, 0)
            socket.set(zmq.RCVHWM, 0)
            socket.bind(zap.ADDRESS)
        except zmq.ZMQError as error:
            socket.close(0)
            if error.errno != zmq.EADDRINUSE:
                raise StartError(f"cannot bind {zap.ADDRESS}: {zmq.strerror(error.errno or 0)}") from error
            reason = (
                "a ZAP handler of this program's own has the address: it decides who may connect, and no option does"
            )
            log.warning(event("zap-handler", address=zap.ADDRESS, reason=reason))
            return
        except BaseException:
            socket.close(0)
            raise
        self._socket = socket
        self._spawn()

    def guard(self, wanted: str, guarded: Guarded) -> str:
        """Decide for a socket from now on.

        Does not yield.

        :param wanted: the domain that it is to have.
        :param guarded: the socket.
        :returns: the domain that it gets: another device of this context may have that one.
        """
        domain, number = wanted, 1
        while domain in self._guarded:
            number += 1
            domain = f"{wanted}#{number}"
        self._guarded[domain] = guarded
        return domain

    def leave(self, domain: str) -> None:
        """Decide no more for the socket of `domain`: no peer gets in there. Does not yield."""
        self._guarded.pop(domain, None)

    @property
    def answers(self) -> bool:
        """Whether it decides itself, and no handler of this program's own does. Does not yield."""
        return self._socket is not None

    @property
    def is_gone(self) -> bool:
        """Whether its context was terminated, or others have closed its socket. Does not yield."""
        return self._socket is not None and self._socket.closed

    @property
    def in_use(self) -> bool:
        """Whether it decides for any socket. Does not yield."""
        return bool(self._guarded)

    def close(self) -> None:
        """End it. Yields until its greenlets have ended."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        with contextlib.suppress(zmq.ZMQError):
            # At once, for its successor: a closed socket keeps its address until libzmq's own thread has it.
            socket.unbind(zap.ADDRESS)
        # Not the one that runs this: a program's own function may stop its device.
        ending = [one for one in (self._greenlet, *self._checks) if one not in (None, gevent.getcurrent())]
        gevent.killall(ending)
        socket.close(0)

    def _spawn(self) -> None:
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.link(self._on_end)

    def _on_end(self, greenlet: gevent.Greenlet[..., None]) -> None:
        # Whatever has ended it, as `gevent.killall` does: without it, no peer would ever get in again.
        if self._socket is not None and self._made_in == fork.current() and not self._socket.closed:
            reason = greenlet.exception or "it was killed"
            log.error(event("zap-failed", reason=reason))
            self._spawn()

    def _run(self) -> None:
        socket = self._socket
        with FairYield() as turn:
            # In a forked child, any call on the socket would go on for ever.
            while socket is not None and self._made_in == fork.current():
                try:
                    asked = zap.read(socket.recv_multipart())
                except zmq.ZMQError as error:
                    if is_gone(error):
                        # The context was terminated, and with it all that it could let in.
                        socket.close(0)
                        return
                    raise
                if asked is not None:
                    self._decide(asked)
                # Strangers that connect without a pause must not keep everything else waiting.
                turn.wait()

    def _decide(self, asked: zap.Asked) -> None:
        guarded, request = self._guarded.get(asked.domain), asked.request
        if guarded is None:
            # Sockets without rules have this domain for another reason.
            open_to_all = asked.domain == ZAP_DOMAIN.decode()
            self._answer(asked, Allowed() if open_to_all else Denied(Denial.NOT_READY, later=True))
        elif request is None:
            self._conclude(asked, guarded, Denied(Denial.FAILED, later=True))
        elif not guarded.takes_time:
            self._conclude(asked, guarded, *guarded.verdict(request))
        elif len(self._checks) >= _MOST_WAITING:
            self._conclude(asked, guarded, Denied(Denial.NOT_READY, later=True))
        else:
            check = gevent.spawn(self._check, asked, guarded, request)
            self._checks.add(check)
            check.link(self._checks.discard)

    def _check(self, asked: zap.Asked, guarded: Guarded, request: Request) -> None:
        if guarded.refresh is not None:
            guarded.refresh()
        with self._slots:
            if request.mechanism is Mechanism.PLAIN:
                found = self.hub.threadpool.apply(guarded.verdict, (request,))
            else:
                found = guarded.verdict(request)
        self._conclude(asked, guarded, *found)

    def _conclude(self, asked: zap.Asked, guarded: Guarded, verdict: Verdict, error: Exception | None = None) -> None:
        if error is not None:
            # Its text might have the password in it.
            log.error(event("zap-failed", device=guarded.device, socket=guarded.key, reason=type(error).__name__))
        if isinstance(verdict, Allowed):
            # Other rules may have come while it was decided.
            still = guarded.still_allows(verdict.by)
            verdict = guarded.limited(verdict) if still else Denied(Denial.NOT_READY, later=True)
        guarded.ledger.note(asked.request, verdict)
        if isinstance(verdict, Denied):
            keys = guarded.told(asked.request, verdict, time.monotonic())
            if keys is not None:
                log.warning(event("denied", **keys))
        self._answer(asked, verdict)

    def _answer(self, asked: zap.Asked, verdict: Verdict) -> None:
        if self._socket is not None:
            with contextlib.suppress(zmq.ZMQError):
                # The connection may have ended meanwhile, or the context. There is no limit to what is queued.
                self._socket.send_multipart(zap.answer(asked, verdict, _metadata(verdict)), zmq.DONTWAIT)


def _metadata(verdict: Verdict) -> dict[str, str]:
    """What libzmq is to put on every message of the peer: what it may send, where that has to be known."""
    if isinstance(verdict, Denied) or verdict.grant is None:
        return {}
    return {senders.PROPERTY: senders.written(verdict.grant.send)}


# By process and context: see `take`.
_handlers: dict[tuple[int, int], ZapHandler] = {}


def take(context: Any) -> ZapHandler:
    """The handler of `context`, which is opened if there is none. Does not yield.

    :raises StartError: if there is one of another hub, or no descriptor for it.
    """
    place = (fork.current(), int(context.underlying))
    handler = _handlers.get(place)
    if handler is None or handler.is_gone:
        # A context may have the address of one that was terminated, and whose devices were not stopped yet.
        handler = ZapHandler(context)
        handler.open()
        _handlers[place] = handler
    elif handler.hub is not get_hub():
        raise StartError("cannot protect a socket: in its context, the rules are held to in another thread")
    return handler


def give_back(handler: ZapHandler) -> None:
    """End `handler` if it has no more to decide for. Yields if so."""
    if not handler.in_use:
        for place in [place for place, one in _handlers.items() if one is handler]:
            del _handlers[place]
        handler.close()
