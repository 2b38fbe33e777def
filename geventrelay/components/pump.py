"""The pump as a component: it is made when its sockets are there, and counts to the end."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import gevent
import zmq

from ..engine import fork as fork
from ..engine.counters import Drop, PumpSnapshot, is_answered
from ..engine.outlet import Outlet
from ..engine.pump import Pump
from ..engine.readiness import Readiness
from ..engine.usage import TOO_MANY_PARTS
from ..log import event
from ..settings import DeviceSettings
from .component import Component, DrainStep
from .new_socket import repeats_subscriptions
from .plan import Adjustment, OutletPlan, Plan, PumpPlan
from .pump_work import PumpWork
from .rates import rate_limit
from .sockets import Sockets

log = logging.getLogger("geventrelay")

# What is still unread at the end is lost with its socket, so it is read to be counted: a million messages take a
# second, and with the burst in Python two or three. A stop that is to end at once has less time for it.
_COUNT_THE_REST_S = 1.0
_COUNT_AT_ONCE_S = 0.1
# While libzmq's queue was full, it has kept back what it had read from the connection. It takes a moment to go on.
_SETTLE_S = 0.01
# How long a pump may miss room at a socket that another pump writes to, where libzmq does not tell of room.
_WAKE_S = 0.1


class PumpComponent(Component):
    """One direction of a device's traffic.

    :param plan: what it joins.
    :param sockets: the device's; those of `plan` are open when this is opened.
    :param settings: the device's.
    :param work: knows the gates of the device's sockets, and is shown the pump.
    :param fellows: all pumps of the device by their sources, this one too, once the device is made.
    """

    def __init__(
        self,
        plan: PumpPlan,
        sockets: Sockets,
        settings: DeviceSettings,
        work: PumpWork,
        fellows: Mapping[str, PumpComponent],
    ) -> None:
        self.key = plan.source
        self._plan = plan
        self._sockets = sockets
        self._settings = settings
        self._device = settings.name
        self._work = work
        self._fellows = fellows
        # The outlets that another pump writes to as well.
        self._shared: Collection[str] = ()
        self._pump: Pump | None = None
        self._ran = self._left_unread = False
        # How many messages had been read when its connections were ended; None while they go on.
        self._cut_off_at: int | None = None

    @property
    def answered_by(self) -> tuple[str, ...]:
        """See `PumpPlan.answered_by`."""
        return self._plan.answered_by

    @property
    def pump(self) -> Pump:
        """The pump itself; there is one from `open` on."""
        assert self._pump is not None  # a component is opened before it is used
        return self._pump

    def share(self, outlets: Collection[str]) -> None:
        """Know that other pumps write to these `outlets` too. To be called before `open`; does not yield."""
        self._shared = outlets

    def open(self) -> None:
        """Make the pump; see `Component.open`. Does not yield."""
        outlets = [self._outlet(outlet) for outlet in self._plan.outlets]
        self._pump = Pump(self.key, self._sockets[self.key], outlets, self._refused, self._log_uncut)
        self._pump.set_max_parts(self._sockets.most_parts(self.key, self._settings))
        limit = rate_limit(self._settings)
        # libzmq hands subscriptions over as messages. They have bounds of their own. What others have sent to another
        # device has been held to a rate there.
        if limit is not None and self._sockets[self.key].type != zmq.XPUB and not self._sockets.is_private(self.key):
            self._pump.set_rate(limit)
        self._pump.set_stages(self._sockets.stages(self.key))
        self._work.watch(self._plan, self._pump)
        self._sockets.count_read(self.key, self._pump.read_bytes, self._pump.emptied)
        fork.pause_in_children(self._pump)

    def run(self) -> None:
        """Move messages; see `Pump.run`."""
        self._ran = True
        with self._waking():
            self.pump.run()

    def pause(self) -> None:
        """Read nothing more; see `Component.pause`."""
        self.pump.pause()

    def resume(self) -> None:
        """Go on; see `Component.resume`."""
        self.pump.resume()

    def stop_reading(self, step: DrainStep) -> None:
        """At the `step` HALF_OVER, leave the rest of the time to the replies, if there are any. Does not yield."""
        # Its socket may be unbound after this.
        self.pump.finish()
        if step is DrainStep.BEGUN and self._sockets.is_cut_off(self.key):
            self._cut_off_at = self._received
        # Clients that never pause would use all of it.
        if step is DrainStep.HALF_OVER and self._plan.answered_by:
            self.pump.pause()

    def apply(self, settings: DeviceSettings, change: Adjustment) -> None:
        """Take the `max_parts` of other `settings`; see `Component.apply`. The `change` does not concern it."""
        self._settings = settings
        self.pump.set_max_parts(self._sockets.most_parts(self.key, settings))

    @property
    def drained(self) -> bool:
        """Whether all that came in has been moved, and each request that was handed out was answered."""
        return self.pump.drained and (not self._plan.answered_by or self._is_answered())

    def close(self, linger_ms: int | None, *, failed: bool) -> None:
        """Count what has not been read as dropped, unless the device has `failed`. Yields.

        :param linger_ms: 0 leaves little time for that; see `Component.close`.
        :param failed: whether its sockets may be in any condition.
        """
        if self._pump is None or (failed and not self._ran):
            return
        # Unless all of it turns out to be counted.
        self._left_unread = True
        if failed:
            return
        try:
            self._left_unread = not self._count_rest(_COUNT_AT_ONCE_S if linger_ms == 0 else _COUNT_THE_REST_S)
        except zmq.ZMQError as error:
            log.warning(event("count-failed", device=self._device, reason=error))

    def _count_rest(self, limit_s: float) -> bool:
        """Read what has come in, for `limit_s` at most, and count it as dropped; whether that was certainly all."""
        until, before = time.monotonic() + limit_s, -1
        while before != self._received:
            # Whatever was read has made room for more.
            if before >= 0:
                gevent.sleep(_SETTLE_S)
            before = self._received
            if not self.pump.discard(until):
                return False
        return not self._sockets.has_unread(self.key) and not self._was_full

    @property
    def _was_full(self) -> bool:
        """Whether a queue may have been full when its connection was ended: libzmq had read more from it by then."""
        hwm = int(self._sockets[self.key].get(zmq.RCVHWM))
        return self._cut_off_at is not None and 0 < hwm <= self._received - self._cut_off_at

    @property
    def _received(self) -> int:
        return self.pump.snapshot().received

    def snapshot(self) -> PumpSnapshot | None:
        """What it has counted; None if it was never opened. Does not yield."""
        if self._pump is None:
            return None
        snapshot = self._pump.snapshot()
        return dataclasses.replace(snapshot, left_unread=True) if self._left_unread else snapshot

    def _is_answered(self) -> bool:
        asking = [one for one in self._fellows.values() if one.answered_by == self.answered_by]
        answering = [self._fellows[key] for key in self.answered_by]
        requested, replied = ([one.pump.snapshot().outlets[0] for one in these] for these in (asking, answering))
        return is_answered(requested, replied)

    @contextlib.contextmanager
    def _waking(self) -> Iterator[None]:
        """See that no pump misses the room at an outlet whose POLLOUT says nothing because another took its edge."""
        shared = [self._sockets[key].readiness for key in self._shared]
        silent = [one for one in shared if one.pollout_always_set]
        greenlet = gevent.spawn(_wake, silent) if silent else None
        try:
            yield
        finally:
            if greenlet is not None:
                greenlet.kill()

    def _log_uncut(self, socket: str) -> None:
        log_uncut(self._device, socket)

    def _refused(self, reason: Drop, messages: int, descriptor: int) -> None:
        what = {"device": self._device, "socket": self.key, "reason": reason.value, "messages": messages}
        if reason is Drop.TOO_MANY_PARTS:
            self._sockets.end_sender(self.key, descriptor, TOO_MANY_PARTS)
            what["advice"] = f"--max-parts takes more than {self._settings.max_parts}; 0 is no limit"
        log.warning(event("message-refused", **what))

    def _outlet(self, plan: OutletPlan) -> Outlet:
        for key in self._shared:
            self._sockets[key].readiness.several_writers = True
        otherwise = None
        if plan.otherwise is not None:
            key = plan.otherwise
            otherwise = Outlet(key, self._sockets[key], gate=self._work.gate_of(key))
        return Outlet(
            plan.socket,
            self._sockets[plan.socket],
            when_full=plan.when_full,
            payload=plan.payload,
            longest_topic=self._settings.max_topic_size_bytes,
            repeated=repeats_subscriptions(self.key, self._settings),
            peers=self._sockets.peers_of(plan.socket),
            gate=self._work.gate_of(plan.socket),
            otherwise=otherwise,
            on_dropped=self._work.on_dropped(plan),
        )


def log_uncut(device: str, socket: str) -> None:
    """Log that a message went whole to the `socket` of a `device`, because it has no topic to be cut off."""
    advice = "no topic stands before the first space of a message, so it goes whole; space would cut it there"
    log.warning(event("uncut", device=device, socket=socket, option="--push-payload", advice=advice))


def pumps_of(plan: Plan, sockets: Sockets, settings: DeviceSettings, work: PumpWork) -> list[PumpComponent]:
    """The pumps of a `plan`, in its order. Does no I/O.

    :param sockets: the device's, with those of the plan.
    :param settings: the device's.
    :param work: the device's; opened before they are.
    """
    made: dict[str, PumpComponent] = {}
    for one in plan.pumps:
        made[one.source] = PumpComponent(one, sockets, settings, work, made)
    writers = Counter(key for pump in plan.pumps for key in _destinations(pump))
    for one in plan.pumps:
        made[one.source].share([key for key in _destinations(one) if writers[key] > 1])
    return list(made.values())


def _destinations(plan: PumpPlan) -> Iterator[str]:
    for outlet in plan.outlets:
        yield outlet.socket
        if outlet.otherwise is not None:
            yield outlet.otherwise


def _wake(sockets: Sequence[Readiness]) -> None:
    """Wake all that wait for `sockets` now and then. Yields without end."""
    while True:
        gevent.sleep(_WAKE_S)
        for one in sockets:
            one.wake_both()
