"""One device and what it takes to keep it up: started again when it fails, left alone when it was told to stop."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import gevent
from gevent.event import Event

from ..devices.device import Device
from ..devices.snapshot import DeviceSnapshot, State
from ..engine.peertable import PeersSnapshot
from ..errors import DeviceFailed
from ..log import event
from ..settings import DeviceSettings

log = logging.getLogger("geventrelay")

Descriptors = Callable[[DeviceSettings], Mapping[tuple[str, int], int]]
"""Tells which listening sockets there are already for a device; see `Device`."""


class Watcher(Protocol):
    """Whoever is to know how supervised devices fare. None of these may yield."""

    def on_up(self, supervised: SupervisedDevice) -> None:
        """`supervised` has just started."""

    def on_failure(self, supervised: SupervisedDevice, failure: Exception) -> bool:
        """`supervised` has failed, or could not start, of `failure`; whether to start it again in a while."""

    def on_stopped(self, supervised: SupervisedDevice) -> None:
        """`supervised` was stopped on request and stays so."""


class SupervisedDevice:
    """A device that is started again, after growing delays, whenever it fails.

    What was told to stop stays stopped, whoever told it. Every start makes a new `Device`; counts go on.

    :param settings: the device's. :param watcher: told of what becomes of it.
    :param delays: how long to wait after each failure. :param clock: tells the time in seconds; `time.monotonic` does.
    :param reload: what a RELOAD at its control socket does; None where it is no command.
    :param descriptors: tells which of its listening sockets are there already; None where it is to bind them all.

    :ivar settings: those of the current, or the next, start.
    :ivar device: the device of the last start.
    :ivar restarts: how often it was started again after a failure, starts that failed among them.
    :ivar last_failure: why it failed last, or could not start; None if it never did.
    :ivar started_at: when it started last, as Unix time; None while it is not up.
    """

    def __init__(
        self,
        settings: DeviceSettings,
        watcher: Watcher,
        *,
        delays: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        reload: Callable[[], object] | None = None,
        descriptors: Descriptors | None = None,
    ) -> None:
        self.settings = settings
        self.restarts = 0
        self.last_failure: str | None = None
        self._watcher = watcher
        self._delays = Backoff() if delays is None else delays
        self._clock = clock
        self._reload = reload
        self._descriptors = descriptors
        self._started_at: float | None = None
        self._up_since: float | None = None
        self._next_start: float | None = None
        self._past: DeviceSnapshot | None = None
        self._past_peers: dict[str, PeersSnapshot] = {}
        self._was_paused = False
        self._ended = False
        self._stopping = Event()
        self._life: gevent.Greenlet[..., None] | None = None
        self.device = self._new_device()

    def __repr__(self) -> str:
        return f"<SupervisedDevice {self.name} {self.state.value}>"

    @property
    def name(self) -> str:
        """What the device is called."""
        return self.settings.name

    @property
    def state(self) -> State:
        """Where the device is in its life; one that waits to be started again has failed."""
        return State.FAILED if self._next_start is not None else self.device.state

    @property
    def next_start_s(self) -> float | None:
        """In how many seconds it is started again; None while it does not wait for that."""
        return None if self._next_start is None else max(0.0, self._next_start - self._clock())

    @property
    def started_at(self) -> float | None:
        """When it started last, as Unix time; None while it is not up."""
        return self._started_at if self.device.started else None

    @property
    def ended(self) -> bool:
        """Whether it was stopped on request, and so stays down."""
        return self._ended

    def snapshot(self) -> DeviceSnapshot:
        """What has been counted over every start of the device. Does not yield."""
        now = dataclasses.replace(self.device.snapshot(), state=self.state)
        return now if self._past is None else self._past.merged_with(now)

    def peers(self) -> dict[str, PeersSnapshot]:
        """Who is connected, by socket, and what has been counted over every start. Does not yield."""
        now = self.device.peers()
        both = {key: past.merged_with(now.get(key, PeersSnapshot())) for key, past in self._past_peers.items()}
        return {**now, **both}

    def start(self) -> None:
        """Start the device, and do not look after it yet. Yields while names are resolved.

        :raises StartError: if it cannot; nothing is left of it then.
        """
        self.device.start()
        self._up_since, self._started_at = self._clock(), time.time()
        if self._was_paused:
            self.device.pause()
            self._was_paused = False
        self._watcher.on_up(self)

    def supervise(self) -> None:
        """Look after it: start it if `start` has not done so, and again whenever it fails, until it is told to stop.

        Yields until the first start has succeeded or failed.
        """
        self._stopping.clear()
        self._ended = False
        tried = Event()
        self._life = gevent.spawn(self._live, tried)
        tried.wait()

    def adjust(self, settings: DeviceSettings) -> None:
        """Go on with other `settings`, as `Device.adjust`; one that is not up has them from its next start on.

        :raises SettingsError: naming the first setting that would need a restart.
        """
        if self.device.started:
            self.device.adjust(settings)
        self.settings = settings

    def restart(self, settings: DeviceSettings) -> None:
        """Start the stopped device anew with other `settings`, and keep it up. Yields as `supervise` does.

        A device that was paused when it was stopped is paused again.
        """
        self.settings = settings
        self._renew()
        self.supervise()

    def stop(self, timeout: float | None = None) -> None:
        """Stop the device for good, or its waiting for the next start. Yields; returns once all is closed.

        :param timeout: as for `Device.stop`.
        """
        self._stopping.set()
        self._was_paused = self._was_paused or self.device.state is State.PAUSED
        if self._life is not None and not self.device.started:
            # It waits, or hangs in the resolution of a name.
            self._life.kill()
        self.device.stop(timeout)
        if self._life is not None:
            self._life.join()
        self._next_start = None

    def _live(self, tried: Event) -> None:
        try:
            while (failure := self._run_once(tried)) is not None:
                ran_s = 0.0 if self._up_since is None else self._clock() - self._up_since
                self.last_failure = str(failure)
                if not self._watcher.on_failure(self, failure) or self._wait(self._delays.after(ran_s), tried):
                    return
                self.restarts += 1
                self._renew()
            self._ended = True
            self._watcher.on_stopped(self)
        finally:
            tried.set()

    def _run_once(self, tried: Event) -> Exception | None:
        """Run the device to its end; what it failed of, or None if it was told to end."""
        try:
            if self._up_since is None:
                self.start()
            tried.set()
            self.device.join()
        except Exception as error:
            return error
        failure = self.device.failure
        return None if self.device.stop_requested or failure is None else DeviceFailed(f"{self.name}: {failure}")

    def _wait(self, delay_s: float, tried: Event) -> bool:
        """Wait for the next start; whether there is to be none."""
        self._next_start = self._clock() + delay_s
        log.warning(event("starting-again", device=self.name, in_s=f"{delay_s:.3g}", restarts=self.restarts + 1))
        tried.set()
        stopping = self._stopping.wait(delay_s)
        self._next_start = None
        return stopping

    def _renew(self) -> None:
        """Put a new device in the place of the one that has ended, whose counts are kept."""
        self._past, self._past_peers = self.snapshot(), self.peers()
        self._up_since = None
        self.device = self._new_device()

    def _new_device(self) -> Device:
        descriptors = None if self._descriptors is None else self._descriptors(self.settings)
        return Device(self.settings, reload=self._reload, descriptors=descriptors, watch_peers=True)


log = logging.getLogger("geventrelay")


def announce(device: Device) -> None:
    """Log where `device` is bound, where it connects to, and which of that is open to every host."""
    for key, endpoints in device.settings.endpoints.items():
        whose = {"device": device.name, "socket": key}
        addresses = device.endpoints.get(key, [])
        for address in addresses:
            log.info(event("bound", **whose, endpoint=address))
        for endpoint in endpoints:
            if not endpoint.binds:
                log.info(event("connecting", **whose, endpoint=endpoint.address))
        for endpoint, address in zip((one for one in endpoints if one.binds), addresses, strict=False):
            if endpoint.is_public:
                advice = "--interface 127.0.0.1 keeps it to this one"
                log.warning(event("open-to-every-host", **whose, endpoint=address, advice=advice))


class Backoff:
    """Delays that double with every failure, up to a longest one, and begin anew after a while without any.

    Each is shortened by up to a half at random: devices that failed together must not all come back together.

    :param first_s: the first delay, in seconds. :param longest_s: the longest; who ran longer than that begins anew.
    :param chance: gives a number from 0 to 1, of which 1 shortens nothing.
    """

    def __init__(
        self, first_s: float = 0.1, longest_s: float = 30.0, *, chance: Callable[[], float] = random.random
    ) -> None:
        self._first_s, self._longest_s, self._chance = first_s, longest_s, chance
        self._failures = 0

    def after(self, ran_s: float) -> float:
        """The delay after one more failure, in seconds.

        :param ran_s: how long it ran before it failed, in seconds; 0 if it did not start at all.
        """
        if ran_s > self._longest_s:
            self._failures = 0
        # A power of 2 that has outgrown every delay need not be computed, and one of 2000 could not be.
        doubled = float(2 ** min(self._failures, 64))
        delay_s = min(self._longest_s, self._first_s * doubled)
        self._failures += 1
        return delay_s * (1 + self._chance()) / 2
