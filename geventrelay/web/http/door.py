"""Lets HTTP connections in, ends those that are too many, and counts what was refused, by the reason."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent

from ...log import event
from ...settings.http import HttpOptions
from .places import Places, Proxies, client_of

log = logging.getLogger("geventrelay")

HEALTH_PATHS = ("/healthz", "/readyz")
"""What a probe asks for: answered also where there are too many connections."""
SPARE = 16
"""Connections beyond the limit, for those paths alone."""
REFUSED = {
    "connections": "--http-connections",
    "connections_per_client": "--http-connections-per-client",
    "streams_per_client": "--http-streams-per-client",
    "bad_request": "",
    "slow_request": "",
    "slow_reader": "",
    "large_answers": "",
    "descriptors": "",
}
"""Why a connection is ended or a request is refused, with the option that lifts it."""

# accept(2), socket(2) and open(2) fail with these while something has run out, which may come back.
_RAN_OUT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Greenlet = Any


def have_run_out(error: Exception) -> bool:
    """Whether `error`, of the system or of libzmq, says that file descriptors have run out for now. Does not yield."""
    return getattr(error, "errno", None) in _RAN_OUT


class Door:
    """All connections of a server's HTTP. A connection is known by its greenlet; to end one is to kill that.

    :param options: the limits.
    :param refused: what to count by reason in.
    """

    def __init__(self, options: HttpOptions, refused: Counter[str]) -> None:
        self._options = options
        self._proxies = Proxies(options.http_trusted_proxy)
        self._connections: Places[Greenlet] = Places(options.http_connections_per_client)
        self._streams: Places[Greenlet] = Places(options.http_streams_per_client)
        # A dict, for the order.
        self._spare: dict[Greenlet, None] = {}
        self._from_proxies = 0
        self._refused = refused

    @contextlib.contextmanager
    def connection(self, address: str) -> Iterator[bool]:
        """The life of the current greenlet's connection from `address`; gives whether it has a spare place."""
        me = gevent.getcurrent()
        if len(self._connections) + self._from_proxies >= self._options.http_connections:
            with self._on_a_spare_place(me, address):
                yield True
            return
        by_proxy = self._proxies.trusts(address)
        self._from_proxies += by_proxy
        try:
            if not by_proxy:
                self._end(self._connections.enter(me, client_of(address)), "connections_per_client", address)
            yield False
        finally:
            self._from_proxies -= by_proxy
            self._connections.leave(me)

    def request(self, address: str, forwarded: list[str]) -> str:
        """A request has come over the current greenlet's connection from `address`; returns which client has sent it.

        :param forwarded: the values of its headers X-Forwarded-For.
        """
        me = gevent.getcurrent()
        self._connections.set_idle(me, False)
        return self._proxies.client(address, forwarded) if self._proxies.trusts(address) else client_of(address)

    def answered(self) -> None:
        """The current greenlet's connection waits for its next request."""
        self._connections.set_idle(gevent.getcurrent(), True)

    @contextlib.contextmanager
    def stream(self, client: str) -> Iterator[None]:
        """The time of an answer without an end, to a `client`."""
        me = gevent.getcurrent()
        self._end(self._streams.enter(me, client), "streams_per_client", client)
        try:
            yield
        finally:
            self._streams.leave(me)

    def refuse(self, reason: str, peer: str, sentence: str = "") -> None:
        """Count what a `peer` did as refused, and log it with what lifts the limit. Does not yield.

        :param reason: one of `REFUSED`.
        :param peer: the address of the client.
        :param sentence: what exactly was wrong, where no option lifts it.
        """
        self._refused[reason] += 1
        if option := REFUSED[reason]:
            log.warning(event("http-over-limit", peer=peer, reason=reason, option=option))
        else:
            log.warning(event("http-refused", peer=peer, reason=sentence or reason))

    @contextlib.contextmanager
    def _on_a_spare_place(self, me: Greenlet, address: str) -> Iterator[None]:
        if len(self._spare) >= SPARE:
            oldest = next(iter(self._spare))
            del self._spare[oldest]
            self._end(oldest, "connections", address)
        self._spare[me] = None
        try:
            yield
        finally:
            self._spare.pop(me, None)

    def _end(self, other: Greenlet | None, reason: str, peer: str) -> None:
        if other is not None:
            self.refuse(reason, peer)
            other.kill(block=False)
