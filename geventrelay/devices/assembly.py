"""The components of one start of a device: a list made from its plan, opened, run in greenlets, and closed again."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
import zmq

from ..backbone.trace.hops import Trace
from ..backbone.values import BackboneSnapshot
from ..components.component import Component, Controllable, Direction, DrainStep, Environment, Traffic
from ..components.plan import Adjustment, Plan, SocketPlan
from ..components.pump import pumps_of
from ..components.pump_work import PumpWork
from ..components.sockets import Sockets
from ..components.switch import Switch
from ..components.tap import Tap, tap_plan
from ..components.work import Work
from ..engine import fork as fork
from ..engine.counters import PumpSnapshot
from ..engine.peertable import PeersSnapshot
from ..engine.subscriptions import subscriptions
from ..log import event
from ..settings import DeviceSettings
from ..terms import Engine, OnRevoke, WhenFull
from .engines import engine_of, log_engine
from .features import FEATURES, GRANTS, NEW_GUARD, NEW_REPLAY

log = logging.getLogger("geventrelay")

OnDeath = Callable[[str, BaseException], None]
"""Is called with a component's key and what ended its greenlet, when that was not the assembly itself."""


class Assembly:
    """The components of one start of a device. Making one does no I/O; it is opened once.

    :param plan: the pattern's sockets and pumps.
    :param settings: the device's.
    :param device: what the control socket commands.
    :param on_death: called in a greenlet of its own or in the one that dies, and may yield.
    :param context: where to make sockets; None for the context that devices share.
    :param reload: what a RELOAD does; None where it is no command.
    :param descriptors: listening sockets that others have bound, see `Device`.
    :param watch_peers: whether to follow the peers of every socket, and not only where messages are dropped.

    :ivar device: the device's name.
    :ivar engine: what moves its messages: LIBZMQ or ZMTP.
    :ivar sockets: its sockets.
    :ivar components: all of them, in the order in which they are opened.
    :ivar running: whether every component has its greenlet; not any more when `close` has begun.
    """

    def __init__(
        self,
        plan: Plan,
        settings: DeviceSettings,
        *,
        device: Controllable,
        on_death: OnDeath,
        context: zmq.Context[Any] | None,
        reload: Callable[[], object] | None,
        descriptors: Mapping[tuple[str, int], int],
        watch_peers: bool,
    ) -> None:
        self.device = settings.name
        self._settings = settings
        self._on_death = on_death
        self._private = {one.key for one in plan.sockets if one.private}
        self._made_in = fork.current()
        self.running = False
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        ends_peers = settings.on_revoke is OnRevoke.DISCONNECT
        followed = None if watch_peers or ends_peers else _dropping(plan)
        self.engine = engine_of(settings)
        own = () if self.engine is Engine.ZMTP else plan.sockets
        self._guard = NEW_GUARD(settings)
        self._guard.on_change = self.end_revoked
        self.sockets = Sockets(
            own, settings, context=context, descriptors=descriptors, guard=self._guard, followed=followed
        )
        self._switch = None
        if self.engine is Engine.ZMTP:
            self._switch = Switch(plan, settings, descriptors, GRANTS, self._guard, NEW_REPLAY)
        self._pump_work: PumpWork | None = None
        self._pumps: Sequence[Direction]
        if self._switch is None:
            self._pump_work = PumpWork(plan, self.sockets)
            self._pumps = pumps_of(plan, self.sockets, settings, self._pump_work)
            movers: tuple[Component, ...] = (self._pump_work, *self._pumps)
        else:
            self._pumps = self._switch.directions
            movers = (self._switch, *self._pumps)
        environment = Environment(
            settings, self.sockets, self._pumps, lambda: self.bound, self._traffic, device, reload, self._work
        )
        added = [component for feature in FEATURES for component in feature.components(environment)]
        first = [one for one in added if one.outlives_sockets]
        others = [one for one in added if not one.outlives_sockets]
        self.components: list[Component] = [*first, self.sockets, *movers, *others]

    def open(self) -> None:
        """Open every component. Yields to resolve host names and read files; after an error, `close` is to be called.

        :raises StartError: naming the endpoint that could not be had.
        """
        log_engine(self._settings)
        for component in self.components:
            component.open()

    def run(self) -> None:
        """Give each component its greenlet. Does not yield."""
        self.running = True
        for component in self.components:
            self._spawn(component)

    def pause(self) -> None:
        """Read nothing more. Does not yield."""
        for component in self.components:
            component.pause()

    def resume(self) -> None:
        """Go on after `pause`. Does not yield."""
        for component in self.components:
            component.resume()

    def stop_reading(self, step: DrainStep) -> None:
        """Take in less, now that a drain has come to `step`. Does not yield."""
        # Sockets, which come first, are unbound after the pumps that read them have come to the end of a message.
        for component in reversed(self.components):
            component.stop_reading(step)

    @property
    def drained(self) -> bool:
        """Whether all that came in has been moved. Does not yield."""
        return all(component.drained for component in self.components)

    def prepare(self, settings: DeviceSettings) -> Callable[[], None]:
        """Read anew who may connect, for the same sockets with other `settings`. Yields while a thread reads files.

        :returns: what has it count for new connections.
        :raises SettingsError: if it cannot be read.
        """
        if self._switch is not None:
            self._switch.refresh()
        return self._guard.prepare(settings)

    def end_revoked(self) -> None:
        """End the connections that would not be let in now, where the settings want this. Does not yield."""
        if self._settings.on_revoke is not OnRevoke.DISCONNECT:
            return
        if self._switch is not None:
            self._switch.end_revoked()
        self.sockets.end_revoked()

    def apply(self, settings: DeviceSettings, change: Adjustment) -> None:
        """Go on with other `settings`, whose subscriptions differ by `change`. Does not yield."""
        self._settings = settings
        for component in self.components:
            component.apply(settings, change)
        self.end_revoked()

    def snapshots(self) -> tuple[PumpSnapshot, ...]:
        """What each component has counted, in order; those that count nothing are not there. Does not yield."""
        found = (component.snapshot() for component in self.components)
        return tuple(one for one in found if one is not None)

    def joined(self) -> BackboneSnapshot | None:
        """How the device is joined with others of its name; None if it is not. Does not yield."""
        found = (component.joined() for component in self.components)
        return next((one for one in found if one is not None), None)

    def trace(self, topic: bytes | None, limit_s: float) -> Trace | None:
        """How long messages take to others of the device's name; None if it is joined with none. Yields.

        See `Component.trace` for the `topic`, the time `limit_s`, and errors.
        """
        found = (component.trace(topic, limit_s) for component in self.components)
        return next((one for one in found if one is not None), None)

    @property
    def bound(self) -> dict[str, list[str]]:
        """The addresses that each socket is bound to, by its key. Does not yield."""
        return {**({} if self._switch is None else self._switch.bound), **self.sockets.bound}

    def peers(self, *, accounts: bool) -> dict[str, PeersSnapshot]:
        """Who is connected to each socket that is followed, by its key.

        :param accounts: whether to tell all of each peer of engine zmtp; this yields.
        """
        own = {} if self._switch is None else self._switch.peers(accounts=accounts)
        return {**own, **self.sockets.peers()}

    @property
    def published(self) -> Switch | None:
        """What knows of subscribers, topics and last values: engine zmtp alone. Does not yield."""
        return self._switch

    def disconnect(self, peer: int) -> bool:
        """End the connection of the `peer` with this number, with engine zmtp; whether it was there. Does not yield."""
        return self._switch is not None and self._switch.disconnect(peer)

    def subscriptions(self, key: str) -> tuple[bytes, ...]:
        """The topics that the XSUB `key` asks its publishers for, sorted. Yields if there are thousands.

        :raises zmq.ZMQError: if the socket is closed meanwhile.
        """
        if self._switch is not None:
            return self._switch.asks_for(key)
        return subscriptions(self.sockets[key]) if key in self.sockets else ()

    def tap(self) -> Tap:
        """The tap of these components, made and run now if there is none. Does not yield."""
        for component in self.components:
            if isinstance(component, Tap):
                return component
        made = Tap(tap_plan(self._settings), self.sockets, self._pumps)
        made.open()
        self.components.append(made)
        self._spawn(made)
        return made

    def close(self, linger_ms: int | None, *, failed: bool) -> BaseException | None:
        """End every greenlet and close every component, the last one first. Yields.

        Interruptions (`gevent.Timeout`, `GreenletExit`) do not end it; errors are logged and do not end it either.

        :param linger_ms: how long to go on delivering what is queued, in ms; None for each socket's own time.
        :param failed: whether the sockets may be in any condition.
        :returns: the first interruption, for the caller to raise; None without one.
        """
        self.running = False
        steps = [self._end_greenlets]
        steps += [
            functools.partial(component.close, linger_ms, failed=failed) for component in reversed(self.components)
        ]
        interruptions = [self._finish(step) for step in steps]
        return next((one for one in interruptions if one is not None), None)

    def _work(self) -> Work | None:
        if self._switch is not None:
            return self._switch.work
        return self._pump_work if self._pump_work is not None and self._pump_work.has_work else None

    def _finish(self, step: Callable[[], None]) -> BaseException | None:
        """Call `step` until it ends by itself, and return what interrupted it first."""
        interruption = None
        while True:
            try:
                step()
            except Exception as error:
                log.error(event("close-failed", device=self.device, reason=error), exc_info=error)
            except BaseException as error:
                interruption = interruption or error
                continue
            return interruption

    def _traffic(self) -> Traffic:
        pumps = self.snapshots()
        outlets = [outlet for pump in pumps for outlet in pump.outlets if outlet.socket not in self._private]
        return Traffic(
            received=sum(pump.received for pump in pumps if pump.source not in self._private),
            sent=sum(outlet.sent for outlet in outlets),
            peers={k: one.connected for k, one in self.peers(accounts=False).items() if k not in self._private},
        )

    def _end_greenlets(self) -> None:
        # Not the one that runs this, should it be one of them: it would wait for its own end.
        gevent.killall([one for one in self._greenlets if one is not gevent.getcurrent()])

    def _spawn(self, component: Component) -> None:
        if component.runs:
            greenlet = gevent.spawn(self._run, component)
            greenlet.link(functools.partial(self._on_end, component.key))
            self._greenlets.append(greenlet)

    def _run(self, component: Component) -> None:
        try:
            component.run()
        except BaseException as error:
            self._report(component.key, error)
            if not isinstance(error, (Exception, gevent.GreenletExit, gevent.Timeout)):
                # KeyboardInterrupt and SystemExit are for the main greenlet.
                raise

    def _on_end(self, key: str, greenlet: gevent.Greenlet[..., Any]) -> None:
        # One that was killed before it began has never come to `_run`. This is the hub, which must not wait.
        if isinstance(greenlet.value, gevent.GreenletExit):
            gevent.spawn(self._report, key, greenlet.value)

    def _report(self, key: str, error: BaseException) -> None:
        # A forked child has copies of the greenlets, whose ends are no concern of the device's.
        if self.running and self._made_in == fork.current():
            self._on_death(key, error)


def sockets_of(plan: Plan, settings: DeviceSettings) -> tuple[SocketPlan, ...]:
    """The sockets of a device of `settings`: those of its pattern's `plan`, and its features'. Does not yield."""
    return (*plan.sockets, *(socket for feature in FEATURES for socket in feature.sockets(settings)))


def _dropping(plan: Plan) -> frozenset[str]:
    """The sockets where it matters which peers are there: messages are dropped at them, or are given by the peer."""
    outlets = (outlet for pump in plan.pumps for outlet in pump.outlets)
    dropping = {outlet.socket for outlet in outlets if outlet.when_full is WhenFull.DROP}
    return frozenset(dropping | {socket.key for socket in plan.sockets if socket.requests_per_peer})
