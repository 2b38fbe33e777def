"""What a pump needs of a socket: to sleep until it can be read or written, and never to oversleep.

libzmq tells of news through one file descriptor per socket. It is edge-triggered: it becomes readable when
*something* happened, and whichever call on the socket next looks at its mailbox takes the edge away, whether or not
that call wanted the news (zmq_getsockopt(3), ZMQ_FD). With a reader and a writer greenlet on one socket, one of them
can so take the edge that the other sleeps on. zmq.green then wakes up 11.6 s later by a timer.

Two rules close that hole, and this module is the one place that knows them:

* before a greenlet sleeps, EVENTS is read again: what an earlier call took away still shows there;
* whoever made calls on the socket reads EVENTS afterwards and wakes the *other* direction if its time has come.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import zmq
from gevent import getcurrent
from gevent.exceptions import ConcurrentObjectUseError
from gevent.hub import Waiter, get_hub

from . import forks

# libzmq's own calls, without zmq.green's bookkeeping after each of them.
plain_recv = zmq.Socket.recv
plain_send = zmq.backend.Socket.send
plain_get = zmq.Socket.get

# As plain integers: to test a bit of pyzmq's enum makes a new member, which takes longer than a whole send.
_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)


def _plain_events(socket: zmq.Socket[Any]) -> int:
    return int(plain_get(socket, zmq.EVENTS))


@functools.cache
def _events_reader() -> Callable[[zmq.Socket[Any]], int]:
    if os.environ.get("GEVENTRELAY_BURST") != "python":
        # By name, since there may be no such file: it is built only where there is a compiler. And not before there is
        # a socket, since what it imports in turn imports this.
        with contextlib.suppress(ImportError):
            reader: Callable[[zmq.Socket[Any]], int] = importlib.import_module("geventrelay.engine._burst").events
            return reader
    return _plain_events


def _sleep(waiter: Any) -> None:
    if waiter.greenlet is not None:
        raise ConcurrentObjectUseError("only one greenlet may wait for each direction of a socket")
    # A switch that came too late for the last sleep may still lie in it.
    waiter.clear()
    waiter.get()


class Port:
    """How a pump waits for a socket. At most one greenlet may wait for each direction.

    It is an object of its own, beside the socket, because setting an attribute of one of pyzmq's sockets asks first
    whether that is an option of libzmq's: what a wake-up sets would cost more than all the rest of it.

    :param socket: the socket to make non-blocking calls on; it is in `raw` from then on.
    """

    __slots__ = ("_hub", "_made_in", "_read_events", "_reader", "_tried_again", "_writer", "pollout_lies", "raw")

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self.raw = socket
        self.pollout_lies = False
        self._tried_again = False
        self._made_in = forks.current()
        self._read_events = _events_reader()
        self._hub = get_hub()
        # Whoever waits is in `greenlet` of these; nobody does where that is None.
        self._reader: Any = Waiter(self._hub)
        self._writer: Any = Waiter(self._hub)

    @property
    def port(self) -> Port:
        """Itself, so that sockets which have a port and ports can be passed alike."""
        return self

    @property
    def readable(self) -> bool:
        """Whether a message can be read now. Does not yield."""
        return bool(self.check_events() & _POLLIN)

    def receive(self) -> list[zmq.Frame]:
        """Read one message, all its parts. Does not yield.

        :raises zmq.Again: if there is none; other `zmq.ZMQError` as `zmq.Socket.recv` does.
        """
        parts: list[Any] = [plain_recv(self.raw, zmq.DONTWAIT, False)]
        while parts[-1].more:
            parts.append(plain_recv(self.raw, zmq.DONTWAIT, False))
        return parts

    def wait_readable(self, *, found_nothing: bool = False) -> None:
        """Yield to the hub until a message can be read, or return at once if one can. May return early.

        :param found_nothing: whether the caller has just had EAGAIN from a recv, and nobody used the socket since. That
            recv has looked at all the news there was (socket_base_t::recv in libzmq), so EVENTS need not be read again.
        """
        if (not found_nothing or self._writer.greenlet is not None) and self.check_events() & _POLLIN:
            return
        _sleep(self._reader)

    def wait_writable(self) -> None:
        """Yield to the hub until a send is worth another try. May return early.

        POLLOUT is not to be believed with XPUB_NODROP. There the first call returns at once, having read EVENTS for
        the reader's sake: an edge taken by that reading is seen by the caller's next try. Only when that try has
        failed too does the second call sleep, until anything at all happens on the socket.
        """
        if self.pollout_lies:
            self._tried_again = not self._tried_again
            if self._tried_again:
                self.check_events()
                return
        elif self.check_events() & _POLLOUT:
            return
        _sleep(self._writer)

    def after_read(self) -> None:
        """Wake a writer whose edge the caller's reads may have taken. Call it after a burst of reads."""
        if self._writer.greenlet is not None:
            self.check_events()

    def after_write(self) -> None:
        """Wake a reader whose edge the caller's sends may have taken. Call it after a burst of sends."""
        self._tried_again = False
        if self._reader.greenlet is not None:
            self.check_events()

    def on_edge(self) -> None:
        """Wake whom the news concerns; for the watcher of the file descriptor, and so for the hub alone."""
        self._tried_again = False
        if self._made_in != forks.current():
            self.stop_watching()
            return
        reader, writer = self._reader, self._writer
        if reader.greenlet is None:
            if writer.greenlet is not None:
                # There is only one whom it can concern, and his next call takes the edge away.
                writer.switch(None)
                return
        elif writer.greenlet is None:
            reader.switch(None)
            return
        self.look()

    def look(self) -> None:
        """Read EVENTS and wake whom it concerns, if only to see that the socket has gone. Does not yield."""
        self._tried_again = False
        try:
            self.check_events()
        except zmq.ZMQError:
            # ETERM or ENOTSOCK: the waiters get it from the call that they make next.
            self.wake_both()

    def stop_watching(self) -> None:
        """Stop the watcher of the file descriptor. Does not yield."""
        raise NotImplementedError

    def check_events(self) -> int:
        """Read EVENTS, wake whom it concerns, and return it. Does not yield; raises as `zmq.Socket.get` does."""
        events = self._read_events(self.raw)
        if self._reader.greenlet is not None and events & _POLLIN:
            self._wake(self._reader)
        if self._writer.greenlet is not None and (self.pollout_lies or events & _POLLOUT):
            self._wake(self._writer)
        return events

    def wake_both(self) -> None:
        """Wake whoever waits, so that he sees what has become of the socket. Does not yield."""
        for waiter in (self._reader, self._writer):
            if waiter.greenlet is not None:
                self._wake(waiter)

    def _wake(self, waiter: Any) -> None:
        if getcurrent() is self._hub:
            waiter.switch(None)
        else:
            self._hub.loop.run_callback(waiter.switch, None)
