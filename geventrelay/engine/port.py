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

import importlib
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


try:
    # By name, since there may be no such file: it is built only where there is a compiler.
    _read_events: Callable[[zmq.Socket[Any]], int] = importlib.import_module("geventrelay.engine._burst").events
except ImportError:
    _read_events = _plain_events


def _asleep(waiter: Any) -> bool:
    return waiter.greenlet is not None


def _sleep(waiter: Any) -> None:
    if _asleep(waiter):
        raise ConcurrentObjectUseError("only one greenlet may wait for each direction of a socket")
    # A switch that came too late for the last sleep may still lie in it.
    waiter.clear()
    waiter.get()


class Port:
    """A socket as a pump sees it. At most one greenlet may wait for each direction.

    :ivar raw: the socket to make non-blocking calls on.
    """

    # Class attributes, since pyzmq's sockets, which inherit from this, know no others.
    raw: zmq.Socket[Any]
    _made_in = 0
    _hub: Any = None
    _reader: Any = None
    _writer: Any = None
    _pollout_lies = False
    _tried_again = False

    @property
    def readable(self) -> bool:
        """Whether a message can be read now. Does not yield."""
        return bool(self._check_events() & _POLLIN)

    def wait_readable(self, *, found_nothing: bool = False) -> None:
        """Yield to the hub until a message can be read, or return at once if one can. May return early.

        :param found_nothing: whether the caller has just had EAGAIN from a recv, and nobody used the socket since. That
            recv has looked at all the news there was (socket_base_t::recv in libzmq), so EVENTS need not be read again.
        """
        if (not found_nothing or _asleep(self._writer)) and self._check_events() & _POLLIN:
            return
        _sleep(self._reader)

    def wait_writable(self) -> None:
        """Yield to the hub until a send is worth another try. May return early.

        POLLOUT is not to be believed with XPUB_NODROP. There the first call returns at once, having read EVENTS for
        the reader's sake: an edge taken by that reading is seen by the caller's next try. Only when that try has
        failed too does the second call sleep, until anything at all happens on the socket.
        """
        if self._pollout_lies:
            self._tried_again = not self._tried_again
            if self._tried_again:
                self._check_events()
                return
        elif self._check_events() & _POLLOUT:
            return
        _sleep(self._writer)

    def after_read(self) -> None:
        """Wake a writer whose edge the caller's reads may have taken. Call it after a burst of reads."""
        if self._writer.greenlet is not None:
            self._check_events()

    def after_write(self) -> None:
        """Wake a reader whose edge the caller's sends may have taken. Call it after a burst of sends."""
        self._tried_again = False
        if _asleep(self._reader):
            self._check_events()

    def _set_up_port(self) -> None:
        self._made_in = forks.current()
        self._hub = get_hub()
        self._reader, self._writer = Waiter(self._hub), Waiter(self._hub)

    def _on_edge(self, event: object = None, _evtype: object = None) -> None:
        """Look at what has happened and wake whom it concerns; for the watcher of the file descriptor."""
        self._tried_again = False
        if self._made_in != forks.current():
            self._stop_watching()
            return
        reader, writer = self._reader, self._writer
        if _asleep(reader) != _asleep(writer) and getcurrent() is self._hub:
            # An edge, and only one whom it can concern: his next call takes it away.
            (reader if _asleep(reader) else writer).switch(None)
            return
        try:
            self._check_events()
        except zmq.ZMQError:
            # ETERM or ENOTSOCK: the waiters get it from the call that they make next.
            self._wake_both()

    def _stop_watching(self) -> None:
        """Stop the watcher of the file descriptor."""
        raise NotImplementedError

    def _check_events(self) -> int:
        events = _read_events(self.raw)
        if _asleep(self._reader) and events & _POLLIN:
            self._wake(self._reader)
        if _asleep(self._writer) and (self._pollout_lies or events & _POLLOUT):
            self._wake(self._writer)
        return events

    def _wake_both(self) -> None:
        for waiter in (self._reader, self._writer):
            if _asleep(waiter):
                self._wake(waiter)

    def _wake(self, waiter: Any) -> None:
        if getcurrent() is self._hub:
            waiter.switch(None)
        else:
            self._hub.loop.run_callback(waiter.switch, None)
