"""The tap of a device: a copy of its traffic, for programs that watch.

A tap is an XPUB. Each message goes out there as ``[SOURCE, *parts]``, where SOURCE is the key of the socket at which it
came in, so that a watcher chooses a direction by what it subscribes to. Pumps copy only while there are subscriptions,
and only the directions that are subscribed to. As with every PUB, a watcher that is too slow loses messages, and the
device does not wait for it.

A watcher may ask whether its subscriptions are in force, by one more subscription: see `recording.questions`.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from types import TracebackType

import gevent
import zmq

from ..engine import fork as fork
from ..engine.fair import FairYield
from ..engine.libzmq import unique_inproc, unless_gone
from ..engine.outlet import Outlet
from ..engine.readiness import plain_send
from ..engine.socket import RelaySocket
from ..engine.subscriptions import Subscription, Topics, read_latest
from ..recording import Record
from ..recording.questions import is_question
from ..recording.record import RecordClock, source_name
from ..settings import DeviceSettings
from ..terms import WhenFull
from .component import Component, Direction, Environment, Feature, Tapped
from .plan import SocketPlan, endpoints_of
from .sockets import Sockets

TAP = "tap"
"""The key of the socket that publishes a copy of a device's traffic."""

# Enough for a watcher that reads; one that does not must not hold up a stop.
_LINGER_MS = 100
# The bursts that write to the tap take its edges away, and do not look whether a subscription has come with them.
_LOOK_S = 0.1
# How long subscriptions are read at a time: a watcher that subscribes without a pause must not stop everything.
_SECONDS_AT_A_TIME = 0.001
# The topic by which a watch of this process sees that its subscriptions have been read. No source is called that.
_MARK = b"\0watch "

WATCH_HWM = 1000
"""How many messages wait for a `TapReader` before it loses some; it may have as many again in its own queue."""

# What is handed out at a time, so that other greenlets run in between.
_MESSAGES_AT_A_TIME = 100
_BYTES_AT_A_TIME = 256 * 1024


class Tap(Component):
    """Follows the subscriptions of a tap's watchers, and lets pumps copy to it or not.

    :param plan: an XPUB; it may have no endpoints, and is then for watchers in this process alone.
    :param sockets: the device's.
    :param pumps: the device's, which are open when this is opened.
    """

    key = TAP

    def __init__(self, plan: SocketPlan, sockets: Sockets, pumps: Sequence[Direction]) -> None:
        self._plan = plan
        self._sockets = sockets
        self._sources = tuple(pumps)
        self._pumps: dict[bytes, Tapped] = {}
        self._tapped: set[bytes] = set()
        self._topics = Topics()
        self._questions: list[bytes] = []
        self._last_mark = b""
        self._watches: list[TapReader] = []
        self._address = unique_inproc("tap")

    def open(self) -> None:
        """Make the XPUB, and bind or connect it; see `Component.open`. Without endpoints it does not yield."""
        self._socket = self._sockets.make(self._plan)
        self._made_in = fork.current()
        self._pumps = {one.key.encode(): one.pump for one in self._sources}
        self._bind()
        self._sockets.open_endpoints(self.key)

    def run(self) -> None:
        """Follow subscriptions; see `Component.run`.

        :raises zmq.ZMQError: when the socket or the context goes.
        """
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
        subscriptions, more = read_latest(self._socket, _SECONDS_AT_A_TIME)
        for subscription in subscriptions:
            self._follow(subscription)
        self._switch()
        self._answer()
        return more

    def watch(self, direction: str | None = None) -> TapReader:
        """Begin to watch, from the next message on. Does not yield.

        :param direction: the key of the socket whose messages to see; None for all of them.
        """
        pumps = {name: pump for name, pump in self._pumps.items() if direction is None or name.decode() == direction}
        socket: RelaySocket = self._sockets.context.socket(zmq.SUB, socket_class=RelaySocket)
        socket.set(zmq.LINGER, 0)
        # Over inproc the marks of both ends add up, and 0 at either end would be no limit.
        socket.set(zmq.RCVHWM, 1)
        socket.connect(self._address)
        # Not to everything: answers to other watchers are no messages of the device.
        for name in pumps:
            socket.set(zmq.SUBSCRIBE, name)
        # Only when the XPUB has been looked at does it know of these subscriptions, and from then on messages count.
        # Others may subscribe without end, so it is looked at no further than to the mark.
        mark = _MARK + os.urandom(8)
        socket.set(zmq.SUBSCRIBE, mark)
        while self._last_mark != mark and self.look():
            pass
        # `run` has to look more often from now on.
        self._socket.readiness.wake_both()
        watch = TapReader(socket, tuple(pumps.values()))
        self._watches = [*(one for one in self._watches if not one.closed), watch]
        return watch

    def close(self, linger_ms: int | None, *, failed: bool) -> None:
        """End every watch; what has come in for it can still be taken. Does not yield.

        :param linger_ms: of no concern here, see `Component.close`.
        :param failed: likewise.
        """
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()

    def _follow(self, subscription: Subscription) -> None:
        if subscription.topic.startswith(_MARK):
            self._last_mark = subscription.topic
        elif subscription.wanted and is_question(subscription.topic):
            self._questions.append(subscription.topic)
        # No other topic can concern a pump, and a peer may subscribe to as many as it likes.
        elif any(name.startswith(subscription.topic) for name in self._pumps):
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

    def _answer(self) -> None:
        questions, self._questions = self._questions, []
        for question in questions:
            # Where there is no room, the watcher asks again.
            with contextlib.suppress(zmq.Again):
                plain_send(self._socket, question, zmq.DONTWAIT)
        if questions:
            self._socket.readiness.after_write()

    def _bind(self) -> None:
        sndhwm = self._socket.get(zmq.SNDHWM)
        # An inproc endpoint keeps the options that its socket has when it is bound. With peers there already, libzmq
        # cannot change this one safely.
        self._socket.set(zmq.SNDHWM, WATCH_HWM)
        self._socket.bind(self._address)
        self._socket.set(zmq.SNDHWM, sndhwm)


def tap_plan(settings: DeviceSettings) -> SocketPlan:
    """The socket at which a device of `settings` can be watched; it has no endpoints if they have no `tap`."""
    endpoints = () if settings.tap is None else endpoints_of(settings.tap)
    return SocketPlan(TAP, zmq.XPUB, endpoints, longest_linger_ms=_LINGER_MS)


def _planned(settings: DeviceSettings) -> tuple[SocketPlan, ...]:
    return () if settings.tap is None else (tap_plan(settings),)


def _components(environment: Environment) -> tuple[Component, ...]:
    return tuple(Tap(plan, environment.sockets, environment.pumps) for plan in _planned(environment.settings))


FEATURE = Feature(_planned, _components)
"""A tap for a device whose settings have a `tap`."""


class TapReader:
    """What passes through a device, as it passes; see `Device.watch`. A context manager.

    A reader that is too slow loses messages, which are counted, and the device does not wait for it.

    :param socket: a SUB on the tap whose subscription is in force.
    :param pumps: those whose messages it gets.
    :ivar lost: how many messages have passed and are not seen here.
    """

    def __init__(self, socket: RelaySocket, pumps: Sequence[Tapped]) -> None:
        self.lost = 0
        self._socket = socket
        self._pumps = pumps
        self._before = self._passed()
        self._taken = 0
        self._clock = RecordClock()
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
        now_ns = self._clock()
        try:
            while True:
                self._waiting.append((now_ns, self._socket.readiness.receive()))
                self._taken += 1
        except zmq.Again:
            self.lost = self._passed() - self._before - self._taken

    def _passed(self) -> int:
        found = (pump.snapshot() for pump in self._pumps)
        return sum(one.received for one in found if one is not None)
