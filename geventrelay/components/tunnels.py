"""Carries the connections of a socket through a SOCKS proxy.

libzmq could do that itself, but up to 4.3.5 it aborts the process when a socket is closed whose proxy is down:
socks_connecter_t::error takes its descriptor out of the poll set and keeps the handle, and process_term takes it out
again (epoll.cpp: EBADF). So libzmq connects to a socket of ours, in a folder that only this user may enter. Here its
bytes are carried on, once the proxy has let us through. Until then that connection stands, and its handshake waits.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Mapping
from typing import Any

import gevent
from gevent import socket as green_socket

from ..backoff import Backoff
from ..endpoints import IPC_PATH_BYTES, Endpoint
from ..engine import fork as fork
from ..log import event
from .private_folders import private_folder
from .socks import Conversation, Proxy, ProxyError, conversation

log = logging.getLogger("geventrelay")

# How long one try may take, name and proxy's answers included, and how long a connection of libzmq's waits for all of
# them: then libzmq ends its handshake.
_TRY_S, _TRIES_S = 10.0, 25.0
# How long the other side of a connection that has ended may go on, so that what is under way arrives.
_REST_S = 1.0
_READ_BYTES = 256 * 1024


class Tunnels:
    """The tcp endpoints of one socket that are reached through a proxy. Making one does no I/O.

    :param proxy: the proxy.
    :param whose: says in the log whose socket it is.
    :ivar addresses: what libzmq connects to instead of each endpoint, by the endpoint's address.
    :ivar names: the other way round: the endpoint's address by what libzmq connects to.
    """

    def __init__(self, proxy: Proxy, whose: Mapping[str, str]) -> None:
        self.addresses: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self._proxy = proxy
        self._whose = whose
        self._made_in = fork.current()
        self._folder: str | None = None
        self._listeners: list[Any] = []
        self._reaching: set[Any] = set()
        self._carrying: set[Any] = set()

    def open(self, endpoint: Endpoint) -> str:
        """What libzmq is to connect to instead of `endpoint`. Does not yield.

        :raises OSError: if there is no descriptor or no room for a file, or the path of its folder is too long.
        """
        if endpoint.address in self.addresses:
            return self.addresses[endpoint.address]
        if self._folder is None:
            self._folder = private_folder()
        path = os.path.join(self._folder, str(len(self.names)))
        if len(os.fsencode(path)) > IPC_PATH_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"the path of the folder for temporary files is too long: {self._folder}")
        listener = green_socket.socket(green_socket.AF_UNIX, green_socket.SOCK_STREAM)
        self._listeners.append(listener)
        listener.bind(path)
        listener.listen()
        address = f"ipc://{path}"
        self.addresses[endpoint.address], self.names[address] = address, endpoint.address
        self._spawn(self._reaching, self._serve, listener, endpoint)
        return address

    def close(self) -> None:
        """End every connection, those last through which something may still go. Yields; may be called twice."""
        gevent.killall(list(self._reaching))
        gevent.joinall(list(self._carrying), timeout=_REST_S)
        gevent.killall(list(self._carrying))
        while self._listeners:
            self._listeners.pop().close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self, pool: set[Any], run: Any, *arguments: Any) -> Any:
        greenlet = gevent.spawn(run, *arguments)
        pool.add(greenlet)
        greenlet.rawlink(pool.discard)
        return greenlet

    def _serve(self, listener: Any, endpoint: Endpoint) -> None:
        while self._wait_readable(listener):
            try:
                local, _ = listener.accept()
            except OSError:
                # Out of descriptors, say. It waits in the queue of the listener.
                gevent.sleep(_REST_S)
                continue
            # Not within the greenlet: one that is killed before it has begun would leave it open.
            self._spawn(self._reaching, self._connect, local, endpoint).rawlink(lambda _, local=local: local.close())

    def _connect(self, local: Any, endpoint: Endpoint) -> None:
        remote = self._reach(endpoint)
        if remote is None:
            return
        with contextlib.closing(remote):
            this: Any = gevent.getcurrent()
            self._carrying.add(this)
            this.rawlink(self._carrying.discard)
            self._reaching.discard(this)
            self._carry(local, remote)

    def _reach(self, endpoint: Endpoint) -> Any:
        """A connection to `endpoint` through the proxy; None after a while without one."""
        backoff, waited_s = Backoff(0.1, 5.0), 0.0
        while waited_s < _TRIES_S and self._made_in == fork.current():
            try:
                return self._try(endpoint)
            except (OSError, ProxyError, gevent.Timeout) as error:
                delay_s = backoff.after(0.0)
                reason = f"no answer in {_TRY_S:g} s" if isinstance(error, gevent.Timeout) else error
                keys = {"endpoint": endpoint.address, "proxy": self._proxy, "in_s": f"{delay_s:.3g}", "reason": reason}
                log.warning(event("proxy-failed", **self._whose, **keys))
                waited_s += delay_s + (_TRY_S if isinstance(error, gevent.Timeout) else 0.0)
            gevent.sleep(delay_s)
        return None

    def _try(self, endpoint: Endpoint) -> Any:
        with gevent.Timeout(_TRY_S):
            remote = green_socket.create_connection((self._proxy.host, self._proxy.port))
            try:
                _ask(remote, conversation(self._proxy, (endpoint.host or "").strip("[]"), int(endpoint.port or 0)))
            except BaseException:
                remote.close()
                raise
            return remote

    def _carry(self, local: Any, remote: Any) -> None:
        ways = [gevent.spawn(self._copy, *way) for way in ((local, remote), (remote, local))]
        try:
            gevent.joinall(ways, count=1)
            gevent.joinall(ways, timeout=_REST_S)
        finally:
            gevent.killall(ways)

    def _copy(self, source: Any, destination: Any) -> None:
        # A connection that breaks ends as one that is closed: libzmq connects again.
        with contextlib.suppress(OSError):
            while self._wait_readable(source):
                some = source.recv(_READ_BYTES)
                if not some:
                    destination.shutdown(green_socket.SHUT_WR)
                    return
                destination.sendall(some)

    def _wait_readable(self, source: Any) -> bool:
        """Yield until there is something to read; whether that is for this process, and not for a forked child."""
        green_socket.wait_read(source.fileno())
        return self._made_in == fork.current()


def _ask(remote: Any, said: Conversation) -> None:
    """Go through a conversation with the proxy at the other end of `remote`."""
    with contextlib.suppress(StopIteration):
        words, size = next(said)
        while True:
            remote.sendall(words)
            words, size = said.send(_read(remote, size))


def _read(source: Any, size: int) -> bytes:
    found = b""
    while len(found) < size:
        some = source.recv(size - len(found))
        if not some:
            raise ProxyError("it has ended the connection")
        found += some
    return found
