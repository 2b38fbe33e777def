"""A device: one running pattern, started, watched, commanded and stopped from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import gevent
import zmq

from ..backbone.trace.hops import Trace
from ..components.control import statistics
from ..components.plan import Adjustment
from ..components.published import LastValue, SubscribersSnapshot, TopicCounts
from ..components.tap import TapReader
from ..engine.libzmq import unless_gone
from ..engine.peertable import PeersSnapshot
from ..errors import DeviceFailed, ForkedError, SettingsError, StartError
from ..settings import DeviceSettings
from ..terms import Engine
from .assembly import Assembly, OnDeath, sockets_of
from .life import Life
from .lifecycle import STATES, UP
from .live_changes import adjustment
from .patterns import plan
from .snapshot import DeviceSnapshot, State


class Device:
    """One pattern that can be started and stopped, used like `gevent.baseserver.BaseServer`.

    Making one does no I/O. All methods are to be called in the native thread whose hub runs the device; in a process
    forked while it runs, each raises `ForkedError`.

    :param settings: what to run, e.g. ``Queue(frontend=5555, backend=5556)``.
    :param context: the ZeroMQ context to make sockets in, which the device then never terminates; needed where
        ``inproc`` endpoints are to be shared with sockets that are no device's. By default devices on one hub share a
        context, if they have as many `io_threads`.
    :param reload: what a RELOAD at the control socket does; None where it is no command. See `Control`.
    :param descriptors: listening sockets that others have bound, by socket key and position among its endpoints; they
        are used instead of binding, and stay their owner's.
    :param watch_peers: whether to follow every socket's connections, for `peers` and the log; without it, that is done
        only where drops are told apart by it.
    :raises SettingsError: if that is no pattern's settings.
    """

    def __init__(
        self,
        settings: DeviceSettings,
        *,
        context: zmq.Context[Any] | None = None,
        reload: Callable[[], object] | None = None,
        descriptors: Mapping[tuple[str, int], int] | None = None,
        watch_peers: bool = False,
    ) -> None:
        # Before anything is refused: testing/leaks.py also meets devices that were refused here.
        self._life = Life(self._make_assembly)
        self.settings = settings
        self._plan = plan(settings)
        self._context = context
        self._reload = reload
        self._descriptors = descriptors or {}
        self._watch_peers = watch_peers
        # How often other settings were taken.
        self._adjusted = 0
        self._life.prepare()

    def __repr__(self) -> str:
        return f"<Device {self.name} {self.state.value}>"

    def __enter__(self) -> Device:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """What the device is called in logs."""
        return self.settings.name

    @property
    def state(self) -> State:
        """Where the device is in its life."""
        return STATES[self._life.phase]

    @property
    def started(self) -> bool:
        """Whether the device is up: running or paused."""
        return self._life.phase in UP

    @property
    def failure(self) -> BaseException | None:
        """What it has failed of; None if it has not, since the last start."""
        return self._life.failure

    @property
    def stop_requested(self) -> bool:
        """Whether a stop was asked for since the last start, however it ended then."""
        return self._life.stop_requested

    @property
    def endpoints(self) -> dict[str, list[str]]:
        """The addresses that each socket is bound to, by the socket's key; a port 0 shows as the one it got."""
        bound, private = self._assembly.bound, self._private
        return {key: list(addresses) for key, addresses in bound.items() if key not in private}

    @property
    def engine(self) -> str:
        """What moves its messages: ``libzmq`` or ``zmtp``."""
        return self._assembly.engine.value

    @property
    def sockets(self) -> dict[str, str]:
        """The type of each socket, e.g. ``ROUTER``, by the socket's key; whether it is up or not."""
        plans = sockets_of(self._plan, self.settings)
        return {one.key: zmq.SocketType(one.type).name for one in plans if not one.private}

    def start(self) -> None:
        """Bind and connect everything and begin to move messages; nothing happens if it is up already.

        Yields while host names are resolved.

        :raises StartError: naming the endpoint that could not be had; everything else is undone by then.
        """
        self._refuse_child()
        self._life.start()

    def stop(self, timeout: float | None = None) -> None:
        """Take in nothing new, move what is there, and close. Yields; returns once all is closed.

        Sockets that only receive are unbound at once. The others stay open until replies have gone their way. An
        interruption (`gevent.Timeout`, a kill) ends the moving; it is raised when all is closed.

        :param timeout: how many seconds to go on moving; 0 closes at once, None means the settings' `drain_s`.
            Closing then takes up to `linger_ms` more.
        """
        self._refuse_child()
        self._life.stop_requested = True
        self._life.stop(self.settings.drain_s if timeout is None else timeout, 0 if timeout == 0 else None)

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """Start if need be and wait until the device has been stopped by another greenlet.

        :param stop_timeout: as for `stop`, when this greenlet is interrupted or killed.
        :raises DeviceFailed: if the device ends because one of its greenlets died.
        """
        self.start()
        try:
            self._life.join(None)
        finally:
            self.stop(stop_timeout)
        if self.failure is not None:
            raise DeviceFailed(f"{self.name}: {self.failure}") from self.failure

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the device is not up, or for `timeout` seconds; whether it is not. Yields if it has to wait."""
        return self._life.join(timeout)

    def adjust(self, settings: DeviceSettings) -> None:
        """Go on with other `settings`, without a restart: nothing is closed. Yields while a thread reads files.

        A start that is under way is waited for: it may have read what these files were before.

        Takes what running sockets can take: the subscriptions of a SUB, `linger_ms`, `drain_s`, and who may connect
        from now on. The files that say this are read anew.

        :raises SettingsError: naming the first setting that would need a restart, or a file that cannot be read;
            nothing is changed then.
        """
        while not self.prepare(settings)():
            self.wait_opened()

    def prepare(self, settings: DeviceSettings) -> Callable[[], bool]:
        """Do all of `adjust` that can fail, but wait for no start. Yields while a thread reads files.

        :returns: what does the rest, and does not yield. It returns whether it has done so: not where a start is under
            way, or where the device was started or took other settings meanwhile. Then this is to be called again.
        :raises SettingsError: as `adjust`.
        """
        self._refuse_child()
        change, moment = adjustment(self.settings, settings), self._moment
        let_in = self._assembly.prepare(settings) if self.started else _nothing
        return functools.partial(self._adjust, settings, change, moment, let_in)

    def wait_opened(self) -> None:
        """Wait until no start is under way. Yields if one is."""
        self._life.wait_opened()

    @property
    def _moment(self) -> tuple[Assembly, int]:
        """What is another thing once the device was started, or took other settings."""
        return self._assembly, self._adjusted

    def _adjust(
        self, settings: DeviceSettings, change: Adjustment, moment: tuple[Assembly, int], let_in: Callable[[], None]
    ) -> bool:
        if self._life.starting or (self.started and moment != self._moment):
            return False
        self._adjusted += 1
        self.settings, self._plan = settings, plan(settings)
        let_in()
        if self.started:
            # If a socket or the context has gone, the device is about to fail, and its next start has the new settings.
            with unless_gone():
                self._assembly.apply(settings, change)
        return True

    def pause(self) -> None:
        """Read nothing more until `resume`; what is in hand stays so. Does not yield; only if running."""
        self._refuse_child()
        self._life.pause()

    def resume(self) -> None:
        """Go on after `pause`. Does not yield; only if paused."""
        self._refuse_child()
        self._life.resume()

    def snapshot(self) -> DeviceSnapshot:
        """What has been counted since the last start; still there after a stop. Does not yield."""
        self._refuse_child()
        return DeviceSnapshot(self.name, self.state, self._assembly.snapshots(), self._assembly.joined())

    def peers(self, *, accounts: bool = False) -> dict[str, PeersSnapshot]:
        """Who is connected to each socket that is watched, by the socket's key, and what was counted since the start.

        The counts are still there after a stop. A socket with nothing but inproc endpoints is never watched, and with
        `watch_peers` every other one is. Does not yield, unless accounts are asked for.

        :param accounts: whether to tell all of each peer, with engine zmtp: see `PeerAccount`. It takes some 50 µs for
            each, and yields in between.
        """
        self._refuse_child()
        found, private = self._assembly.peers(accounts=accounts), self._private
        return {key: peers for key, peers in found.items() if key not in private}

    def disconnect(self, peer: int) -> bool:
        """End the connection of one peer, with engine zmtp; whether it was there. Does not yield.

        Nothing keeps it off: most peers connect again at once. What waits for it is lost, `Drop.BY_REQUEST`, and what
        it has sent and was not read yet is lost uncounted. An endpoint that the device connects to keeps what waits,
        and is connected again.

        :param peer: its `PeerAccount.id`.
        :raises SettingsError: if the device has engine libzmq, which cannot do this.
        """
        self._refuse_child()
        if self._assembly.engine is not Engine.ZMTP:
            raise SettingsError("engine", "zmtp, which alone can disconnect a single peer", self.engine)
        return self._assembly.disconnect(peer)

    def subscribers(self) -> dict[str, SubscribersSnapshot] | None:
        """What each subscriber of a PUB or XPUB has got and lost, by the socket's key; None with engine libzmq.

        It is None too where the pattern has no such socket. Those that have left and had lost something are there until
        the next start. What was lost is told by topic where the settings have `topics`. It takes some 50 µs for each
        subscriber, and yields in between.
        """
        self._refuse_child()
        published = self._assembly.published
        kinds = {zmq.SocketType(one.type).name for one in self._plan.sockets}
        return published.subscribers() if published is not None and kinds & {"PUB", "XPUB"} else None

    def topics(self) -> dict[str, TopicCounts] | None:
        """The busiest topics of what it publishes, by the socket's key; None where the settings have no `topics`.

        They are counted from a start on. A device that is not up has none. Does not yield; it takes some microseconds
        for each topic.
        """
        self._refuse_child()
        published, most = self._assembly.published, getattr(self.settings, "topics", 0)
        return published.topics() if published is not None and most else None

    def last_values(self, prefix: bytes = b"", after: bytes | None = None, most: int = 1000) -> list[LastValue] | None:
        """Some of the messages that are kept for later subscribers, by topic; None where none are (`last_value`).

        They do not count as given. A device that is not up has none. Does not yield: ask for the next ones in another
        turn, until there are none.

        :param prefix: what a message begins with, as for a subscription.
        :param after: only topics behind this one: the last that was returned, to go on with.
        :param most: how many at most, from 1 to 1000. It may be fewer, since 1 MiB of them is enough for one turn.
        """
        self._refuse_child()
        published = self._assembly.published
        if published is None or not getattr(self.settings, "last_value", False):
            return None
        return published.last_values(prefix, after, most)

    def subscriptions(self) -> tuple[bytes, ...] | None:
        """The topics that its XSUB asks publishers for, sorted; None where the pattern has no XSUB.

        How many subscribers a topic has cannot be asked of libzmq; see `geventrelay.engine.subscriptions`. A device
        that is not up has no topics. Yields if there are thousands.
        """
        self._refuse_child()
        key = next((one.key for one in self._plan.sockets if one.type == zmq.XSUB), None)
        if key is None:
            return None
        # It may be stopped meanwhile.
        found: tuple[bytes, ...] = ()
        with unless_gone():
            found = self._assembly.subscriptions(key)
        return found

    def trace(self, topic: bytes | None = None, limit_s: float = 3.0) -> Trace | None:
        """How long messages take to each other device of its name; None where the settings have no `backbone`.

        A probe goes to each of them, behind all messages that wait to go, and its answer comes back likewise. Yields
        until all have answered, or the time is over.

        :param topic: what messages begin with that are asked about: whether they go there, and are wanted there.
        :param limit_s: how long to wait for answers, in seconds.
        :raises StartError: if the device is not up, or one trace of it goes on.
        """
        self._refuse_child()
        if getattr(self.settings, "backbone", None) is None:
            return None
        if not self.started:
            raise StartError(f"{self.name} is {self.state.value}")
        return self._assembly.trace(topic, limit_s)

    def terminate(self) -> None:
        """Have the device stopped, as `stop` does, by a greenlet of its own. Does not yield."""
        self._refuse_child()
        gevent.spawn(self.stop)

    def watch(self, direction: str | None = None) -> TapReader:
        """See a copy of each message that is moved from now on. Does not yield; the device never waits for a watcher.

        The settings need no `tap` for this. The watch ends with the device at the latest.

        :param direction: the key of the socket whose messages to see, e.g. ``frontend``; None for all.
        :raises SettingsError: if no messages come in at that socket.
        :raises StartError: if the device is not up.
        """
        self._refuse_child()
        sources = [pump.source for pump in self._plan.pumps]
        if direction is not None and direction not in sources:
            raise SettingsError("direction", "one of " + ", ".join(sources), direction)
        if not self._assembly.running:
            raise StartError(f"cannot watch {self.name}: it is {self.state.value}")
        return self._assembly.tap().watch(direction)

    def statistics(self) -> tuple[int, ...]:
        """Eight counts of parts and bytes, as zmq_proxy_steerable(3) has them; see `statistics`."""
        return statistics(self.snapshot().pumps, self._plan.sockets[0].key)

    @property
    def _private(self) -> set[str]:
        """The keys of the sockets that are not for users."""
        return {one.key for one in self._plan.sockets if one.private}

    def _refuse_child(self) -> None:
        if self._life.in_child:
            raise ForkedError(
                f"device {self.name} was started before this process was forked and belongs to its parent; "
                "make a new Device in the child"
            )

    @property
    def _assembly(self) -> Assembly:
        return self._life.assembly

    def _make_assembly(self, on_death: OnDeath) -> Assembly:
        return Assembly(
            self._plan,
            self.settings,
            device=self,
            on_death=on_death,
            context=self._context,
            reload=self._reload,
            descriptors=self._descriptors,
            watch_peers=self._watch_peers,
        )


def _nothing() -> None:
    """Nothing that could change: its next start reads all."""
