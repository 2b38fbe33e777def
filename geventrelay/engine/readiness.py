# cython: annotation_typing=False
"""How a pump waits until a socket is readable or writable, without missing a wake-up.

libzmq signals news through one file descriptor per socket. It is edge-triggered: it becomes readable when *something*
happened, and the next call on the socket that looks at its mailbox takes the edge away, whether or not that call
wanted the news (zmq_getsockopt(3), ZMQ_FD). With a reader and a writer greenlet on one socket, one of them can take
the edge that the other waits for. With zmq.green, the other then wakes up 11.6 s later, by a timer.

Two rules prevent that, and this module is the one place that knows them:

* before a greenlet waits, EVENTS is read again: what an earlier call took away still shows there;
* after calls on the socket, the caller reads EVENTS and wakes the *other* direction if its time has come.

This is plain Python that is also compiled where there is a compiler, with the types that readiness.pxd gives it: most
of what a message costs that travels alone is spent here and in `geventrelay.engine.pump`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import zmq
from gevent import getcurrent
from gevent.exceptions import ConcurrentObjectUseError
from gevent.hub import get_hub

from . import fork as fork
from .native.choose import native_module

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
    # Not before there is a socket, since what the native module imports in turn imports this.
    native = native_module()
    reader: Callable[[zmq.Socket[Any]], int] = _plain_events if native is None else native.events
    return reader


class Readiness:
    """How a pump waits for a socket. At most one greenlet may wait for each direction, or `several_writers`.

    It is an object of its own, beside the socket, because setting an attribute of one of pyzmq's sockets asks first
    whether that is an option of libzmq's: what a wake-up sets would cost more than all the rest of it.

    :param socket: the socket to make non-blocking calls on; it is in `raw` from then on.
    :ivar watcher: gevent's watcher of the socket's descriptor, which is to call `on_edge`; set by this one's maker.
    :ivar pollout_always_set: whether POLLOUT is always set and so says nothing, as with XPUB_NODROP.
    :ivar several_writers: whether more than one greenlet may wait to write. All wake up together, the one that came
        last first: so two take turns, although one alone could use up what room there is.
        With `pollout_always_set`, the try of one may take the edge of another: then call `wake_both` now and then.
    """

    __slots__ = (
        "_fork_count", "_hub", "_made_in", "_read_events", "_reader", "_tried_again", "_writers", "pollout_always_set",
        "raw", "several_writers", "watcher",
    )  # fmt: skip

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self.raw = socket
        self.watcher: Any = None
        self.pollout_always_set = False
        self.several_writers = False
        self._tried_again = False
        self._fork_count = fork.fork_count
        self._made_in = fork.current()
        self._read_events = _events_reader()
        self._hub: Any = get_hub()
        # The greenlets that wait; None and empty where none does.
        self._reader: Any = None
        self._writers: list[Any] = []

    @property
    def readiness(self) -> Readiness:
        """Itself, so that a socket and its readiness can be passed alike."""
        return self

    @property
    def readable(self) -> bool:
        """Whether a message can be read now. Does not yield."""
        return bool(self.check_events() & _POLLIN)

    @property
    def writable(self) -> bool:
        """Whether libzmq says that a message can be sent now. Does not yield."""
        return bool(self.check_events() & _POLLOUT)

    def receive(self) -> list[zmq.Frame]:
        """Read one message, all its parts; of one that breaks off, as it can at an XPUB, what there is. Does not yield.

        :raises zmq.Again: if there is none; other `zmq.ZMQError` as `zmq.Socket.recv` does.
        """
        parts: list[Any] = [self.receive_part()]
        try:
            while parts[-1].more:
                parts.append(self.receive_part())
        except zmq.Again:
            # `Burst` says how that comes.
            pass
        return parts

    def receive_part(self) -> Any:
        """Read one part. Does not yield.

        :raises zmq.Again: if there is none; other `zmq.ZMQError` as `zmq.Socket.recv` does.
        """
        return plain_recv(self.raw, zmq.DONTWAIT, False)

    def wait_readable(self, found_nothing: bool = False) -> None:
        """Yield to the hub until a message can be read, or return at once if one can. May return early.

        :param found_nothing: whether the caller has just had EAGAIN from a recv, and the socket was not used since.
            That recv has looked at all the news there was (socket_base_t::recv in libzmq), so EVENTS need not be read
            again.
        """
        if (not found_nothing or self._writers) and self.check_events() & _POLLIN:
            return
        if self._reader is not None:
            raise ConcurrentObjectUseError("only one greenlet may wait for each direction of a socket")
        self._reader = getcurrent()
        try:
            self._hub.switch()
        finally:
            self._reader = None

    def wait_writable(self) -> None:
        """Yield to the hub until a send is worth another try. May return early.

        POLLOUT says nothing with XPUB_NODROP. There the first call reads EVENTS, for the reader's sake, and returns at
        once: if that reading took an edge, the caller's next try sees what it was for. Only when that try has failed
        too, the second call waits, until anything at all happens on the socket.
        """
        if self.pollout_always_set:
            self._tried_again = not self._tried_again
            if self._tried_again:
                # Other writers are left asleep: two would wake each other for ever.
                if self._read_events(self.raw) & _POLLIN:
                    self._wake_reader()
                return
        elif self.check_events() & _POLLOUT:
            return
        waiting = getcurrent()
        self.add_writer(waiting)
        try:
            self._hub.switch()
        finally:
            self._writers.remove(waiting)

    def add_writer(self, greenlet: Any) -> None:
        """Wake a `greenlet` that is about to wait when a send is worth a try, until `remove_writer`. Does not yield."""
        if self._writers and not self.several_writers:
            raise ConcurrentObjectUseError("only one greenlet may wait for each direction of a socket")
        self._writers.append(greenlet)

    def remove_writer(self, greenlet: Any) -> None:
        """Wake a `greenlet` no more. Does not yield; does nothing for one that is not woken."""
        if greenlet in self._writers:
            self._writers.remove(greenlet)

    def after_read(self) -> None:
        """Wake a writer whose edge the caller's reads may have taken. Call it after a burst of reads."""
        if self._writers:
            self.check_events()

    def after_write(self) -> None:
        """Wake others whose edge the caller's sends may have taken. Call it after a burst of sends."""
        self._tried_again = False
        if self._reader is not None or self._writers:
            self.check_events()

    def on_edge(self) -> None:
        """Wake the greenlets that the news concerns; called by the descriptor's watcher, and so by the hub alone."""
        self._tried_again = False
        if self._made_in != self._fork_count.number:
            self.stop_watching()
        elif (self._reader is None) == bool(self._writers):
            # It can only concern the direction that waits, whose next call takes the edge away.
            self.wake_both()
        else:
            self.process_events()

    def process_events(self) -> None:
        """Read EVENTS and wake the greenlets that it concerns, also when the socket has gone. Does not yield."""
        self._tried_again = False
        try:
            self.check_events()
        except zmq.ZMQError:
            # ETERM or ENOTSOCK: the waiters get it from the call that they make next.
            self.wake_both()

    def stop_watching(self) -> None:
        """Stop the watcher of the file descriptor for good. Does not yield; does nothing the second time."""
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher.close()
            # Last: a call that a KeyboardInterrupt has ended can be made again.
            self.watcher = None

    def check_events(self) -> int:
        """Read EVENTS, wake the greenlets that it concerns, and return it. Does not yield.

        :raises zmq.ZMQError: as `zmq.Socket.get` does.
        """
        events = self._read_events(self.raw)
        if events & _POLLIN:
            self._wake_reader()
        if self.pollout_always_set or events & _POLLOUT:
            self._wake_writers()
        return events

    def wake_both(self) -> None:
        """Wake every greenlet that waits, so that it sees what has become of the socket. Does not yield."""
        self._wake_reader()
        self._wake_writers()

    def _wake_reader(self) -> None:
        # It may have woken up by other means since the hub was asked to do this.
        if self._reader is not None:
            if getcurrent() is self._hub:
                self._reader.switch()
            else:
                self._hub.loop.run_callback(self._wake_reader)

    def _wake_writers(self) -> None:
        if not self._writers:
            return
        if getcurrent() is not self._hub:
            self._hub.loop.run_callback(self._wake_writers)
            return
        # A copy: each of them leaves the list, and may be back in it before the next one's turn.
        for writer in self._writers[::-1]:
            if writer in self._writers:
                writer.switch()
