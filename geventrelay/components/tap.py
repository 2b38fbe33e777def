"""The tap of a device: a copy of its traffic, for whoever wants to watch.

A tap is an XPUB. Each message goes out there as ``[SOURCE, *parts]``, where SOURCE is the key of the socket at which it
came in, so that a watcher chooses a direction by what it subscribes to. Pumps copy only while somebody has subscribed,
and only the directions that somebody has subscribed to. As with every PUB, who cannot keep up loses messages, and the
device does not wait for him.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import gevent
import zmq

from ..engine import fork as fork
from ..engine.fair import FairYield
from ..engine.libzmq import unique_inproc, unless_gone
from ..engine.outlet import Outlet
from ..engine.pump import Pump
from ..engine.socket import RelaySocket
from ..engine.subscriptions import Subscription, Topics, parse
from ..recording import Record
from ..recording.record import source_name
from ..terms import WhenFull

# The bursts that write to the tap take its edges away, and do not look whether a subscription has come with them.
_LOOK_S = 0.1
# What a turn of reading subscriptions may take: a watcher who subscribes without a pause is not to stop everything.
_SUBSCRIPTIONS_AT_A_TIME = 1000

WATCH_HWM = 1000
"""How many messages wait for a `TapReader` before it loses some; as many again may be in its hands."""

# What is handed out at a time, so that whoever takes it lets other greenlets run in between.
_MESSAGES_AT_A_TIME = 100
_BYTES_AT_A_TIME = 256 * 1024


class Tap:
    """Follows the subscriptions of a tap's watchers: has pumps copy to it, or not.

    :param socket: an XPUB to which nobody but the pumps writes, neither bound nor connected yet.
    :param context: where it was made. :param pumps: those whose messages it is to get.
    """

    def __init__(self, socket: RelaySocket, context: Any, pumps: Iterable[Pump]) -> None:
        self._socket = socket
        self._context = context
        self._pumps = {pump.name.encode(): pump for pump in pumps}
        self._tapped: set[bytes] = set()
        self._topics = Topics()
        self._watches: list[TapReader] = []
        self._address = unique_inproc("tap")
        self._made_in = fork.current()
        self._bind()

    def run(self) -> None:
        """Follow subscriptions for ever. Yields; raises `zmq.ZMQError` when the socket or the context goes."""
        with FairYield() as turn:
            # In a forked child, any call on the socket would go on for ever.
            while self._made_in == fork.current():
                if self.look():
                    turn.wait()
                elif self._tapped:
                    gevent.with_timeout(_LOOK_S, self._socket.wait_readable, timeout_value=None)
                else:
                    self._socket.wait_readable()

    def look(self) -> bool:
        """Read the subscriptions that have come, and switch the pumps accordingly; whether there may be more.

        Does not yield.
        """
        try:
            for _ in range(_SUBSCRIPTIONS_AT_A_TIME):
                for frame in self._socket.readiness.receive():
                    self._follow(parse(frame.bytes))
        except zmq.Again:
            return False
        finally:
            self._switch()
        return True

    def watch(self, direction: str | None = None) -> TapReader:
        """Begin to watch, from the next message on. Does not yield.

        :param direction: the key of the socket whose messages to see; None for all of them.
        """
        pumps = [pump for name, pump in self._pumps.items() if direction is None or name.decode() == direction]
        socket: RelaySocket = self._context.socket(zmq.SUB, socket_class=RelaySocket)
        socket.set(zmq.LINGER, 0)
        # Over inproc the marks of both ends add up, and 0 at either end would be no limit.
        socket.set(zmq.RCVHWM, 1)
        socket.connect(self._address)
        socket.set(zmq.SUBSCRIBE, b"" if direction is None else direction.encode())
        # Only when the XPUB has been looked at does it know of this subscription, and from then on messages count.
        while self.look():
            pass
        # Whoever follows the subscriptions is to look more often from now on.
        self._socket.readiness.wake_both()
        watch = TapReader(socket, pumps)
        self._watches = [*(one for one in self._watches if not one.closed), watch]
        return watch

    def close_watches(self) -> None:
        """End every watch; what has come in for it can still be taken. Does not yield."""
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()

    def _follow(self, subscription: Subscription | None) -> None:
        # No other topic can concern a pump, and a peer may subscribe to as many as it likes.
        if subscription is not None and any(name.startswith(subscription.topic) for name in self._pumps):
            self._topics.apply(subscription)

    def _switch(self) -> None:
        for name, pump in self._pumps.items():
            wanted = self._topics.matches(name)
            if wanted and name not in self._tapped:
                pump.set_tap(Outlet("tap", self._socket, when_full=WhenFull.DROP, prefix=name))
                self._tapped.add(name)
            elif not wanted and name in self._tapped:
                pump.set_tap(None)
                self._tapped.discard(name)

    def _bind(self) -> None:
        sndhwm = self._socket.get(zmq.SNDHWM)
        # An inproc endpoint keeps the options that its socket has when it is bound. With peers there already, libzmq
        # cannot change this one safely.
        self._socket.set(zmq.SNDHWM, WATCH_HWM)
        self._socket.bind(self._address)
        self._socket.set(zmq.SNDHWM, sndhwm)


class TapReader:
    """What passes through a device, as it passes; see `Device.watch`. A context manager.

    Who takes too slowly loses messages, which are counted, and the device does not wait for him.

    :param socket: a SUB on the tap whose subscription is in force. :param pumps: those whose messages it gets.
    :ivar lost: how many messages have passed and are not seen here.
    """

    def __init__(self, socket: RelaySocket, pumps: Sequence[Pump]) -> None:
        self.lost = 0
        self._socket = socket
        self._pumps = pumps
        self._before = self._passed()
        self._taken = 0
        self._waiting: deque[tuple[int, list[zmq.Frame]]] = deque()

    def __enter__(self) -> TapReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come than what is there to be taken: `close` was called, or the device stopped."""
        return bool(self._socket.closed)

    def receive(self, timeout_s: float | None = None) -> list[Record]:
        """The next messages, at least one; none at the end of the watch, or of the time. Yields.

        Not more than a share is handed out at a time, and other greenlets run before the next one.

        :param timeout_s: how long to wait for a message, in seconds; None waits for ever.
        """
        with FairYield() as turn:
            turn.wait()
        if not self._waiting and not self.closed:
            self._drain()
        if not self._waiting and not self.closed:
            gevent.with_timeout(timeout_s, self._wait, timeout_value=None)
        records: list[Record] = []
        nbytes = 0
        while self._waiting and len(records) < _MESSAGES_AT_A_TIME and nbytes < _BYTES_AT_A_TIME:
            time_ns, frames = self._waiting.popleft()
            source, *parts = (frame.bytes for frame in frames)
            records.append(Record(time_ns, source_name(source), tuple(parts)))
            nbytes += sum(map(len, parts))
        return records

    def close(self) -> None:
        """End the watch; what has come in can still be taken. Does not yield; may be called twice."""
        if not self.closed:
            self._drain()
            self._socket.close(0)

    def _wait(self) -> None:
        # It may be closed meanwhile.
        with unless_gone():
            while not self._waiting and not self.closed:
                self._socket.wait_readable()
                if not self.closed:
                    self._drain()

    def _drain(self) -> None:
        """Take everything that waits, which no pump adds to meanwhile; what is missing then is lost."""
        now_ns = time.time_ns()
        try:
            while True:
                self._waiting.append((now_ns, self._socket.readiness.receive()))
                self._taken += 1
        except zmq.Again:
            self.lost = self._passed() - self._before - self._taken

    def _passed(self) -> int:
        return sum(pump.snapshot().received for pump in self._pumps)
