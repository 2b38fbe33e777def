"""The engine that speaks ZMTP itself, as a component of a device."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import gevent
import zmq

from ..endpoints import Endpoint
from ..engine.counters import is_answered
from ..engine.grant import Grant
from ..engine.peertable import PeersSnapshot
from ..errors import StartError
from ..log import event
from ..settings import DeviceSettings
from ..switch.choose import core_maker
from ..switch.contract import Destination, Side, TopicCounts
from ..switch.dialler import addresses
from ..switch.driver import Driver
from ..switch.station import Station
from ..switch.subscribers import SubscribersSnapshot
from ..switch.turns import TURN_S
from ..terms import Payload
from .binding import Binding, bind, inherited
from .component import Component, DrainStep
from .direction import Direction
from .endpoints import reason
from .guard import Guard
from .plan import RECEIVE_ONLY, Adjustment, OutletPlan, Plan, PumpPlan, SocketPlan
from .published import LastValue, last_values_of, subscribers_of, topics_of
from .pump import log_uncut
from .replay import EPOCH_BYTES, REPLAY, NewReplayPort, ReplayCounts, ReplayPort
from .switch_work import SwitchWork, offers_of
from .terms import BACKLOG, linger_ms, options_of, side_plan, terms

log = logging.getLogger("geventrelay")

# How often the end looks whether everything has been written.
_LINGER_LOOK_S = 0.005
# How long the end may read what was not moved, to count it, for each socket.
_COUNT_S = 0.2
# How often to look whether a message went uncut, until the log has said so once.
_UNCUT_LOOK_S = 0.5


class Grants(Protocol):
    """What the peers of a device may do.

    :ivar on_change: is called in `refresh` once there are other rights.
    """

    on_change: Callable[[], None]

    def refresh(self, *, anew: bool = False) -> None:
        """Know what counts now. Yields while a thread reads the disk.

        :param anew: whether to read it even if it seems not to have changed.
        """

    def grant(self, socket_type: str, user: str) -> Grant | None:
        """What a `user` may do at a socket of the type `socket_type`, e.g. ``"XPUB"``; None if it must not connect.

        An empty name is a peer without one. Does not yield.
        """


class Switch(Component):
    """Every socket of a device's pattern, and the ways between them.

    :param plan: the pattern's.
    :param settings: the device's.
    :param descriptors: listening sockets that others have bound, see `Device`.
    :param grants: what peers of a device of given settings may do; may raise `StartError`, and returns None for
        everything. It is called at `open`.
    :param guard: keeps peers off that must not connect.
    :param new_replay: makes what answers at the replay port, where there is one.
    :ivar directions: a component for each way, in the order of the plan.
    """

    key = "switch"

    def __init__(
        self,
        plan: Plan,
        settings: DeviceSettings,
        descriptors: Mapping[tuple[str, int], int],
        grants: Callable[[DeviceSettings], Grants | None],
        guard: Guard,
        new_replay: NewReplayPort,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._descriptors = descriptors
        self._grants = grants
        self._guard = guard
        self._new_replay = new_replay
        self._replay: ReplayPort | None = None
        # A later life of the device has higher numbers.
        self._first_number = 1
        self._given: Grants | None = None
        # Now, since a start may find no descriptor free to load it.
        self._new_core = core_maker()
        self._driver: Driver | None = None
        self._stations: dict[str, Station] = {}
        self._bindings: list[Binding] = []
        self._last_peers: dict[str, PeersSnapshot] = {}
        self._last_subscribers: dict[str, SubscribersSnapshot] = {}
        self._closing_since: float | None = None
        self._work: SwitchWork | None = None
        self._is_draining = False
        self.left_unread = False
        self.directions = [Direction(pump, self) for pump in plan.pumps]

    @property
    def bound(self) -> dict[str, list[str]]:
        """The addresses that each socket is bound to, by its key. Does not yield."""
        return {key: station.bound for key, station in self._stations.items()}

    @property
    def work(self) -> SwitchWork | None:
        """What tells of messages that have no room here; None unless some go elsewhere, and it is open."""
        return self._work

    def peers(self, *, accounts: bool = False) -> dict[str, PeersSnapshot]:
        """Who is connected to each socket, by its key; once all is closed, only what was counted.

        :param accounts: whether to tell all of each peer; this yields.
        """
        found = {key: one.snapshot(accounts=accounts) for key, one in list(self._stations.items())}
        return {**self._last_peers, **found}

    def subscribers(self) -> dict[str, SubscribersSnapshot]:
        """What each subscriber has got and lost, by the key of each PUB and XPUB. Yields.

        Once all is closed, those that have left are still there.
        """
        return {**self._last_subscribers, **subscribers_of(self._stations)}

    def topics(self) -> dict[str, TopicCounts]:
        """What was counted by topic, by the key of each socket that does so and is open. Does not yield."""
        return topics_of(self._stations)

    def last_values(self, prefix: bytes, after: bytes | None, most: int) -> list[LastValue]:
        """Some last values, by topic; none once all is closed. Does not yield.

        :param prefix: as in `last_values_of`, and there are `after` and `most`.
        """
        return last_values_of(self._stations, prefix, after, most)

    def refresh(self) -> None:
        """Know what peers may do now, by reading it anew. Yields while a thread reads the disk."""
        if self._given is not None:
            self._given.refresh(anew=True)

    def end_revoked(self) -> None:
        """End each connection that would not be let in now, or would have other rights. Does not yield."""
        for station in list(self._stations.values()):
            station.end_revoked()

    def disconnect(self, peer: int) -> bool:
        """End the connection of the `peer` with this number; whether it was there. Does not yield."""
        return any(station.disconnect(peer) for station in self._stations.values())

    def asks_for(self, key: str) -> tuple[bytes, ...]:
        """The topics that the socket `key` asks its peers for, sorted; none if it is not open. Does not yield."""
        station = self._stations.get(key)
        return () if station is None else tuple(sorted(station.side.asks_for))

    def open(self) -> None:
        """Make the sockets, join them, bind and connect; see `Component.open`."""
        self._given = grants = self._grants(self._settings)
        if grants is not None:
            grants.on_change = lambda: self._guard.on_change()
        self._driver = driver = Driver(self._new_core(), self._settings.name)
        driver.start()
        self._first_number = time.time_ns() // 1000
        for plan in self._plan.sockets:
            side = driver.core.side(side_plan(plan, self._settings, self._first_number))
            for option, value in plan.options:
                if option == zmq.SUBSCRIBE:
                    side.subscribe(value)
            set_up = terms(plan, self._settings)
            if plan.private:
                self._stations[plan.key] = Station(driver, side, set_up)
                continue
            grant = None if grants is None else _granted(plan, grants)
            refresh = None if grants is None else grants.refresh
            door = self._guard.door(plan, set_up.door)
            set_up = dataclasses.replace(set_up, grant=grant, refresh=refresh, door=door)
            self._stations[plan.key] = Station(driver, side, set_up)
        driver.expire([station.side for station in self._stations.values()])
        told: list[Side] = []
        for pump, direction in zip(self._plan.pumps, self.directions, strict=True):
            destinations = [self._destination(one) for one in pump.outlets]
            source = self._stations[pump.source]
            source.way = direction.way = driver.core.way(source.side, destinations)
            for one in destinations:
                sides = [side for side in (one.side, one.otherwise) if side is not None and side not in told]
                direction.sides.append(sides)
                told += sides
            if any(one.payload is Payload.AUTO for one in pump.outlets):
                driver.later(_UNCUT_LOOK_S, functools.partial(self._look_for_uncut, direction))
        self._open_replay(driver)
        self._open_work(driver)
        for plan in self._plan.sockets:
            for position, endpoint in enumerate(plan.endpoints):
                self._open_endpoint(plan, position, endpoint)

    def run(self) -> None:
        """Wait for what nothing has expected, and raise it; see `Component.run`."""
        assert self._driver is not None  # a component is opened before it runs
        self._driver.failed.get()

    def pause(self) -> None:
        """Read nothing more; see `Component.pause`."""
        for station in self._sources():
            station.pause()
        self._take_in(more=False)

    def resume(self) -> None:
        """Go on; see `Component.resume`."""
        for station in self._sources():
            station.resume()
        self._take_in(more=not self._is_draining)

    def stop_reading(self, step: DrainStep) -> None:
        """At the `step` BEGUN, take in nothing new where peers only send; see `Component.stop_reading`."""
        if step is DrainStep.BEGUN:
            self._is_draining = True
            self._take_in(more=False)
            for plan in self._plan.sockets:
                # What a private one gets, its peer has still to hand in.
                if plan.type in RECEIVE_ONLY and not plan.private:
                    self._stations[plan.key].finish()
        # Clients that never pause would use all of the time; the rest is for the replies.
        for pump in self._plan.pumps if step is DrainStep.HALF_OVER else ():
            if pump.answered_by:
                self._stations[pump.source].pause()

    @property
    def drained(self) -> bool:
        """Whether all that came in has been moved, and each request that was handed out was answered."""
        return all(one.paused or one.at_rest for one in self._sources()) and all(
            self._is_answered(pump) for pump in self._plan.pumps
        )

    def apply(self, settings: DeviceSettings, change: Adjustment) -> None:
        """Take the bounds of other `settings`, and the subscriptions of a `change`; see `Component.apply`."""
        self._settings = settings
        for plan in self._plan.sockets:
            side = self._stations[plan.key].side
            side.plan = side_plan(plan, settings, self._first_number)
            if plan.type == zmq.SUB:
                for prefix in change.subscribe:
                    side.subscribe(prefix)
                for prefix in change.unsubscribe:
                    side.cancel(prefix)
        if self._driver is not None:
            self._driver.after_move()

    def close(self, linger_ms: int | None, *, failed: bool) -> None:
        """Go on writing for the time of `linger_ms`, then end everything. Yields; see `Component.close`.

        :param linger_ms: how long, in ms; None for each socket's own time.
        :param failed: whether nothing is to be waited for.
        """
        if self._driver is None:
            return
        if self._closing_since is None:
            self._closing_since = time.monotonic()
            if self._work is not None:
                self._work.close()
            for direction in self.directions:
                direction.stop()
            for station in self._sources():
                station.pause()
            for station in self._stations.values():
                station.stop_listening()
            if self._replay is not None:
                self._replay.close()
        if not failed:
            # What such a socket has not got by now stays with its senders, however long the others linger.
            self._close_stations(only=RECEIVE_ONLY)
            self._linger(linger_ms, self._closing_since)
        self._close_stations()
        self._last_peers = {key: one.snapshot() for key, one in self._stations.items()}
        self._last_subscribers = subscribers_of(self._stations)
        while self._bindings:
            self._bindings.pop().put_away()
        stations, self._stations = self._stations, {}
        self._driver.close()
        self._give_back([station.side for station in stations.values()])

    def replay_counts(self, side: Side) -> ReplayCounts | None:
        """What the replay port has done, if it answers from what `side` has published. Does not yield."""
        return None if self._replay is None or side.plan.log is None else self._replay.counts()

    def _destination(self, plan: OutletPlan) -> Destination:
        otherwise = None if plan.otherwise is None else self._stations[plan.otherwise].side
        return Destination(self._stations[plan.socket].side, plan.when_full, plan.payload, otherwise)

    def _open_work(self, driver: Driver) -> None:
        if (offers := offers_of(self._plan, self._stations, driver.core.gate)) is not None:
            self._work = SwitchWork(driver, offers)

    def _take_in(self, *, more: bool) -> None:
        if self._work is not None:
            self._work.take_in(more=more)

    def _open_replay(self, driver: Driver) -> None:
        station = self._stations.get(REPLAY)
        logs = [one.side for one in self._stations.values() if one.side.plan.log is not None]
        if station is not None and logs:
            epoch = os.urandom(EPOCH_BYTES)
            self._replay = self._new_replay(driver, station, logs[0], self._settings, epoch)

    def _close_stations(self, only: Collection[int] | None = None) -> None:
        """Count what has come and was not moved, and end all connections of the sockets of these types."""
        for plan in self._plan.sockets:
            station = self._stations.get(plan.key)
            if station is None or (only is not None and plan.type not in only):
                continue
            if station.way is not None:
                self._count_rest(station)
            station.close()
            # Requests at the replay port are no messages of the device's.
            self.left_unread = self.left_unread or (station.left_unread and plan.key != REPLAY)

    def _give_back(self, sides: Sequence[Side]) -> None:
        """Forget what was kept for peers: the caller may keep this device, and others need the memory budget."""
        assert self._driver is not None  # it has been opened
        for side in sides:
            while side.forget(time.monotonic() + TURN_S):
                gevent.sleep(0)
        while self._driver.core.tidy(time.monotonic() + TURN_S):
            gevent.sleep(0)

    def _count_rest(self, station: Station) -> None:
        try:
            counted = station.discard(time.monotonic() + _COUNT_S)
        except Exception as error:
            # It may be what has failed the device.
            log.warning(event("count-failed", device=self._settings.name, reason=error))
            counted = False
        self.left_unread = self.left_unread or not counted

    def _linger(self, limit_ms: int | None, since: float) -> None:
        for plan in self._plan.sockets:
            own_ms = linger_ms(plan, self._settings) if limit_ms is None else limit_ms
            while plan.key in self._stations and not self._stations[plan.key].has_written:
                if time.monotonic() >= since + own_ms / 1000:
                    break
                gevent.sleep(_LINGER_LOOK_S)

    def _look_for_uncut(self, direction: Direction) -> None:
        counters = () if direction.way is None else direction.way.counters.outlets
        for key, one in zip(direction.outlets, counters, strict=False):
            if one.uncut:
                log_uncut(self._settings.name, key)
                return
        if self._driver is not None:
            self._driver.later(_UNCUT_LOOK_S, functools.partial(self._look_for_uncut, direction))

    def _is_answered(self, pump: PumpPlan) -> bool:
        ways = {direction.key: direction.way for direction in self.directions}
        asking = (ways[one.source] for one in self._plan.pumps if one.answered_by == pump.answered_by)
        answering = (ways[key] for key in pump.answered_by)
        requested = [way.counters.outlets[0] for way in asking if way is not None]
        replied = [way.counters.outlets[0] for way in answering if way is not None]
        return not replied or is_answered(requested, replied)

    def _sources(self) -> list[Station]:
        return [self._stations[pump.source] for pump in self._plan.pumps if pump.source in self._stations]

    def _open_endpoint(self, plan: SocketPlan, position: int, endpoint: Endpoint) -> None:
        station, set_up = self._stations[plan.key], terms(plan, self._settings)
        descriptor = self._descriptors.get((plan.key, position))
        try:
            if descriptor is not None:
                self._listen(station, inherited(descriptor, set_up.transport))
            elif endpoint.binds:
                backlog = options_of(plan, self._settings).get(zmq.BACKLOG, BACKLOG)
                self._listen(station, bind(endpoint, set_up.transport, ipv6=set_up.ipv6, backlog=backlog))
            else:
                # That its name is wrong is said now, while there is a caller to say it to.
                list(addresses(endpoint, ipv6=set_up.ipv6))
                station.connect(endpoint)
        except OSError as error:
            verb, whose = "bind" if endpoint.binds else "connect", f"{self._settings.name} {plan.key}"
            raise StartError(f"cannot {verb} {endpoint.address} ({whose}): {reason(error)}") from error

    def _listen(self, station: Station, binding: Binding) -> None:
        self._bindings.append(binding)
        station.listen(binding.socket, binding.address)


def _granted(plan: SocketPlan, grants: Grants) -> Callable[[str], Grant | None]:
    """What each user may do at the socket of `plan`."""
    if plan.key != REPLAY:
        return functools.partial(grants.grant, zmq.SocketType(plan.type).name)

    def grant(user: str) -> Grant | None:
        # It asks for what it may subscribe to. To ask is no request to a worker.
        of_subscriber = grants.grant("PUB", user)
        return None if of_subscriber is None else Grant(subscribe=of_subscriber.subscribe)

    return grant
