"""A connection to an HTTP server that may mean harm: what comes over it is held to a number of bytes and to a time."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent.socket

from ..engine.fair import FairYield

Connect = Callable[..., Any]
"""``socket.create_connection``, or gevent's."""

_BUFFER_BYTES = 1 << 16


# The first byte of each greeting (RFC 23), and never of HTTP.
_ZMTP = 0xFF


class SpeaksZmtp(http.client.HTTPException):
    """What answers is a socket of ZeroMQ's."""


class TooMuch(OSError):
    """More has come than was allowed. Its text says how much that was."""


class Wire(io.RawIOBase):
    """One connection, of which `http.client` sends and reads; it takes it for a socket.

    The time is one for all that happens until the next `allow`: a server that sends a byte now and then gets no more
    of it. The resolver's time is its own.

    :param address: the host and the port.
    :param time_s: how long connecting, and all until the next `allow`, may take, in seconds.
    :param most_bytes: how much may come until then.
    :param wrap: what makes the socket one of TLS; None leaves it.
    :param green: whether to yield while waiting, and after each read. Otherwise the hub is blocked.
    :raises OSError: if it cannot connect in time, or the host has no address.
    """

    def __init__(
        self,
        address: tuple[str, int],
        time_s: float,
        most_bytes: int,
        *,
        wrap: Callable[[socket.socket], socket.socket] | None = None,
        green: bool = False,
    ) -> None:
        self._green = green
        self._has_begun = False
        # Python closes what could not be made, too.
        self._socket: Any = None
        self.allow(most_bytes, time_s)
        self._socket = self._connected(*address)
        if wrap is not None:
            try:
                self._socket = wrap(self._socket)
            except BaseException:
                self._socket.close()
                raise

    def allow(self, most_bytes: int, time_s: float | None = None) -> None:
        """Let so much come from now on. Does not yield.

        :param most_bytes: in bytes; a read that is under way when they are over still gets what it gets.
        :param time_s: in seconds; None leaves the time as it is.
        """
        self._most_bytes, self._taken = most_bytes, 0
        if time_s is not None:
            self._until = time.monotonic() + time_s

    def sendall(self, data: bytes) -> None:
        """Send all of `data`; see `socket.socket.sendall`."""
        self._socket.settimeout(self._left_s())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The file that `http.client` reads. Closing it closes the connection."""
        return io.BufferedReader(self, _BUFFER_BYTES)

    def readable(self) -> bool:
        """True, see `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once; see `io.RawIOBase`.

        :param buffer: where to put it.
        :raises TooMuch: if as much has come as is allowed.
        :raises TimeoutError: if the time is over.
        :raises SpeaksZmtp: if what comes first is ZeroMQ's.
        """
        if self._taken >= self._most_bytes:
            raise TooMuch(f"more than {self._most_bytes} bytes")
        self._socket.settimeout(self._left_s())
        taken: int = self._socket.recv_into(buffer)
        self._taken += taken
        if taken and not self._has_begun:
            self._has_begun = True
            if buffer[0] == _ZMTP:
                raise SpeaksZmtp
        if self._green:
            # A server that sends without a pause must not keep signals and time limits waiting.
            with FairYield() as turn:
                turn.wait()
        return taken

    def close(self) -> None:
        """Close the connection; may be called twice."""
        super().close()
        if self._socket is not None:
            self._socket.close()

    def _connected(self, host: str, port: int) -> Any:
        library: Any = gevent.socket if self._green else socket
        try:
            # Here, because gevent's threads print a traceback of what is no name, as one with two dots side by side.
            host.encode("idna")
            found = library.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "no such host") from None
        failure: OSError = socket.gaierror(socket.EAI_NONAME, "no such host")
        for *_, address in found:
            try:
                return library.create_connection(address[:2], self._left_s())
            except OSError as error:
                failure = error
        raise failure

    def _left_s(self) -> float:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s
