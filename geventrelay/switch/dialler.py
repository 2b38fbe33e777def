"""Keeps one endpoint connected."""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import socket as green_socket
from gevent.event import AsyncResult

from ..backoff import Backoff
from ..endpoints import Endpoint
from ..engine import fork as fork
from .transport import PlainSocket, Transport

_CONNECT_S = 10.0
_FIRST_S, _LONGEST_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Redial:
    """When to try again.

    :ivar first_s: the first delay after a failure, in seconds; None never connects again.
    :ivar longest_s: the longest; each is up to twice the one before.
    :ivar connect_s: how long one try may take, in seconds.
    """

    first_s: float | None = _FIRST_S
    longest_s: float = _LONGEST_S
    connect_s: float = _CONNECT_S


class Dialler:
    """Connects to an endpoint, and again whenever that has failed or ended, for ever.

    :param endpoint: where to connect; its name is resolved anew each time.
    :param ipv6: whether IPv6 goes first for names that have both.
    :param transport: how to set up a connection.
    :param redial: when to try again.
    :param on_connect: gets each connection, and calls `lost` when that has come to its end.
    :param on_failure: gets why a try has failed, and the seconds until the next one; None for never.
    :ivar last_failure: why the last try failed, or the last connection ended; empty while none has.
    :ivar failed_at: when that was, as Unix time; None while none has.
    :ivar tries: how many have failed in a row, since a handshake was through.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        redial: Redial,
        *,
        ipv6: bool,
        on_connect: Callable[[Any, Dialler], None],
        on_failure: Callable[[Dialler, str, float | None], None],
    ) -> None:
        self.endpoint = endpoint
        self.last_failure = ""
        self.failed_at: float | None = None
        self.tries = 0
        self._transport = transport
        self._redial = redial
        self._ipv6 = ipv6
        self._on_connect = on_connect
        self._on_failure = on_failure
        self._made_in = fork.current()
        self._lost: AsyncResult[str] = AsyncResult()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def start(self) -> None:
        """Begin. Does not yield."""
        self._greenlet = gevent.spawn(self._run)

    def lost(self, reason: str) -> None:
        """The connection has come to its end, for `reason`. Does not yield."""
        self._lost.set(reason)

    def reached(self) -> None:
        """The handshake is through. Does not yield."""
        self.tries = 0

    def stop(self) -> None:
        """Connect no more; a connection that is there goes on. Does not yield."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def close(self) -> None:
        """Connect no more. Yields; may be called twice."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill()

    def _run(self) -> None:
        first_s, longest_s = self._redial.first_s, self._redial.longest_s
        backoff = Backoff(first_s or 0.0, max(first_s or 0.0, longest_s))
        while self._made_in == fork.current():
            began = time.monotonic()
            try:
                connection = self._connect()
            except OSError as error:
                self.last_failure = _why(error)
            else:
                self._lost = AsyncResult()
                self._on_connect(connection, self)
                self.last_failure = str(self._lost.get())
            self.failed_at = time.time()
            self.tries += 1
            delay_s = None if first_s is None else backoff.after(time.monotonic() - began)
            self._on_failure(self, self.last_failure, delay_s)
            if delay_s is None:
                return
            gevent.sleep(delay_s)

    def _connect(self) -> Any:
        """A connection. Yields.

        :raises OSError: why there is none.
        """
        failure = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        for family, address in addresses(self.endpoint, ipv6=self._ipv6):
            socket = PlainSocket(family, stdlib_socket.SOCK_STREAM)
            try:
                self._transport.prepare(socket)
                _connect(socket, address, self._redial.connect_s)
                self._transport.finish(socket)
            except OSError as error:
                failure = error
                socket.close()
            except BaseException:
                socket.close()
                raise
            else:
                return socket
        raise failure


def addresses(endpoint: Endpoint, *, ipv6: bool) -> Iterator[tuple[int, Any]]:
    """The family and address of each place that an `endpoint` to connect to may mean. Yields to the hub.

    :param endpoint: tcp or ipc.
    :param ipv6: whether IPv6 goes first for names that have both.
    :raises OSError: if there is no such host.
    """
    if endpoint.transport == "ipc":
        yield stdlib_socket.AF_UNIX, unix_address(endpoint)
        return
    host = (endpoint.host or "").strip("[]")
    try:
        found = green_socket.getaddrinfo(host, int(endpoint.port or 0), type=stdlib_socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(errno.EINVAL, "no host name") from None
    first = stdlib_socket.AF_INET6 if ipv6 else stdlib_socket.AF_INET
    for family, *_, address in sorted(found, key=lambda one: one[0] != first):
        yield family, address


def unix_address(endpoint: Endpoint) -> bytes:
    """What the kernel calls an ipc `endpoint`: a path, or an abstract name. Does not yield."""
    path = endpoint.address.removeprefix("ipc://").encode(errors="surrogateescape")
    return b"\0" + path[1:] if path.startswith(b"@") else path


def _connect(socket: Any, address: Any, limit_s: float) -> None:
    number = socket.connect_ex(address)
    if number == errno.EINPROGRESS:
        green_socket.wait_write(socket.fileno(), limit_s, TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
        number = socket.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


def _why(error: OSError) -> str:
    if isinstance(error, stdlib_socket.gaierror):
        return f"no such host ({error.strerror})"
    return error.strerror or str(error)
