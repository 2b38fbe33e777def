"""One device and what keeps it up: it is started again when it fails, and stays down when it was stopped on request."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import gevent
from gevent.event import Event as Signal

from ..backoff import Backoff
from ..components.published import SubscribersSnapshot
from ..devices.device import Device
from ..devices.snapshot import DeviceSnapshot, State
from ..endpoints import Endpoint
from ..engine.peertable import PeersSnapshot
from ..errors import DeviceFailed
from ..log import event
from ..settings import DeviceSettings
from .lifecycle import Event, Stage, allows, next_stage

log = logging.getLogger("geventrelay")

_ADVICE_FOR_SYSTEMD = "ListenStream=127.0.0.1:PORT in the socket unit keeps it to this host"

Descriptors = Callable[[DeviceSettings], Mapping[tuple[str, int], int]]
"""Returns which listening sockets there are already for a device; see `Device`."""


class Watcher(Protocol):
    """What gets to know how supervised devices fare. None of these may yield."""

    def on_up(self, supervised: SupervisedDevice) -> None:
        """`supervised` has just started."""

    def on_failure(self, supervised: SupervisedDevice, failure: Exception) -> bool:
        """`supervised` has failed, or could not start, of `failure`; whether to start it again in a while."""

    def on_stopped(self, supervised: SupervisedDevice) -> None:
        """`supervised` was stopped on request and stays so."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Moment:
    """The same moment by the clock that measures durations, in seconds, and as Unix time."""

    clock_s: float
    unix_s: float


class SupervisedDevice:
    """A device that is started again, after growing delays, whenever it fails.

    Once it was stopped on request it stays so, wherever the request came from. Every start makes a new `Device`; counts
    go on.

    :param settings: the device's.
    :param watcher: gets to know what becomes of it.
    :param delays: how long to wait after each failure.
    :param clock: returns the time in seconds, as `time.monotonic` does.
    :param reload: what a RELOAD at its control socket does; None where it is no command.
    :param descriptors: returns which of its listening sockets are there already; None where it is to bind them all.

    :ivar settings: those of the current, or the next, start.
    :ivar device: the device of the last start.
    :ivar restarts: how often it was started again after a failure, starts that failed among them.
    :ivar last_failure: why it failed last, or could not start; None if it never did.
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
        self._stage = Stage.DOWN
        # When it came up; None while it has not, since it was made or renewed.
        self._up_since: _Moment | None = None
        # By the clock; only for the stage WAITING.
        self._next_start = 0.0
        self._pause_again = False
        self._past: DeviceSnapshot | None = None
        self._past_peers: dict[str, PeersSnapshot] = {}
        self._past_subscribers: dict[str, SubscribersSnapshot] = {}
        self._supervision: gevent.Greenlet[..., Any] | None = None
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
        return State.FAILED if self._stage is Stage.WAITING else self.device.state

    @property
    def next_start_s(self) -> float | None:
        """In how many seconds it is started again; None while it does not wait for that."""
        return max(0.0, self._next_start - self._clock()) if self._stage is Stage.WAITING else None

    @property
    def started_at(self) -> float | None:
        """When it started last, as Unix time; None while it is not up."""
        return self._up_since.unix_s if self._up_since is not None and self.device.started else None

    @property
    def ended(self) -> bool:
        """Whether it was stopped on request, and so stays down."""
        return self._stage is Stage.STOPPED

    def snapshot(self) -> DeviceSnapshot:
        """What has been counted over every start of the device. Does not yield."""
        now = dataclasses.replace(self.device.snapshot(), state=self.state)
        return now if self._past is None else self._past.merged_with(now)

    def peers(self, *, accounts: bool = False) -> dict[str, PeersSnapshot]:
        """Who is connected, by socket, and what has been counted over every start.

        :param accounts: see `Device.peers`. This yields.
        """
        now = self.device.peers(accounts=accounts)
        both = {key: past.merged_with(now.get(key, PeersSnapshot())) for key, past in self._past_peers.items()}
        return {**now, **both}

    def subscribers(self) -> dict[str, SubscribersSnapshot] | None:
        """What each subscriber has got and lost, also of those that have left since its first start. Yields.

        See `Device.subscribers`.
        """
        now = self.device.subscribers()
        if now is None:
            return None
        past = self._past_subscribers.items()
        return {**now, **{key: one.merged_with(now.get(key, SubscribersSnapshot())) for key, one in past}}

    def start(self) -> None:
        """Start the device, and do not supervise it yet. Yields while names are resolved.

        :raises StartError: if it cannot; nothing is left of it then.
        """
        self._change(Event.START)
        try:
            self.device.start()
        except BaseException:
            self._note_end()
            raise
        self._up_since = _Moment(self._clock(), time.time())
        self._change(Event.UP)
        if self._pause_again:
            self.device.pause()
            self._pause_again = False
        self._watcher.on_up(self)

    def supervise(self) -> None:
        """Start it if `start` has not done so, and again whenever it fails, until it is stopped on request.

        Yields until the first start has succeeded or failed.
        """
        tried = Signal()
        self._spawn(tried)
        tried.wait()

    def adjust(self, settings: DeviceSettings) -> None:
        """Go on with other `settings`, as `Device.adjust`; one that is not up has them from its next start on.

        :raises SettingsError: naming the first setting that would need a restart.
        """
        while not self.prepare(settings)():
            self.device.wait_opened()

    def prepare(self, settings: DeviceSettings) -> Callable[[], bool]:
        """Do all of `adjust` that can fail, and return the rest, as `Device.prepare`. Yields as that does.

        :raises SettingsError: as `adjust`, or naming a file with rules of who may connect that cannot be read.
        """
        return functools.partial(self._adjust, settings, self.device, self.device.prepare(settings))

    def _adjust(self, settings: DeviceSettings, device: Device, adjust: Callable[[], bool]) -> bool:
        self.settings = settings
        # One that has taken the place of this one meanwhile was made of other settings.
        return device is self.device and adjust()

    def restart(self, settings: DeviceSettings) -> None:
        """Start the stopped device anew with other `settings`, and supervise it. Yields as `supervise` does.

        A device that was paused when it was stopped is paused again.
        """
        self.settings = settings
        self._renew()
        self.supervise()

    def stop(self, timeout: float | None = None) -> None:
        """Stop the device for good, or its waiting for the next start. Yields; returns once all is closed.

        :param timeout: as for `Device.stop`.
        """
        supervision, self._supervision = self._supervision, None
        self._pause_again = self._pause_again or self.device.state is State.PAUSED
        try:
            if supervision is not None and self._stage is not Stage.RUNNING:
                # It waits, or hangs in the resolution of a name.
                supervision.kill()
            self.device.stop(timeout)
            if supervision is not None:
                supervision.join()
        finally:
            self._note_stopped()

    def _change(self, what: Event) -> None:
        """Note that `what` has happened. The one place where the stage changes; does not yield."""
        self._stage = next_stage(self._stage, what)

    def _note_end(self) -> None:
        if allows(self._stage, Event.END):
            self._change(Event.END)

    def _note_stopped(self) -> None:
        """Note that it is down on request, unless that was noted before."""
        self._note_end()
        if allows(self._stage, Event.STOP):
            self._change(Event.STOP)
            self._watcher.on_stopped(self)

    def _spawn(self, tried: Signal) -> None:
        self._supervision = gevent.spawn(self._supervise, tried)
        self._supervision.link(self._on_end)

    def _on_end(self, supervision: gevent.Greenlet[..., Any]) -> None:
        # Killed, and not by `stop`: gevent.killall over every greenlet does that, and devices are to come up again.
        if supervision is self._supervision and isinstance(supervision.value, gevent.GreenletExit):
            self._spawn(Signal())

    def _supervise(self, tried: Signal) -> None:
        try:
            while self._stage not in (Stage.STOPPED, Stage.GIVEN_UP):
                if self._stage is Stage.WAITING:
                    gevent.sleep(max(0.0, self._next_start - self._clock()))
                    self.restarts += 1
                    self._renew()
                failure = self._run_once(tried)
                if failure is None:
                    self._note_stopped()
                else:
                    self._decide(failure)
                tried.set()
        finally:
            tried.set()

    def _run_once(self, tried: Signal) -> Exception | None:
        """Run the device to its end; what it failed of, or None if its end was requested."""
        try:
            if self._stage is Stage.DOWN:
                self.start()
            tried.set()
            self.device.join()
            self._note_end()
        except Exception as error:
            return error
        failure = self.device.failure
        return None if self.device.stop_requested or failure is None else DeviceFailed(f"{self.name}: {failure}")

    def _decide(self, failure: Exception) -> None:
        """Wait for the next start after a `failure`, or give up."""
        ran_s = 0.0 if self._up_since is None else self._clock() - self._up_since.clock_s
        self.last_failure = str(failure)
        if not self._watcher.on_failure(self, failure):
            self._change(Event.GIVE_UP)
            return
        delay_s = self._delays.after(ran_s)
        self._next_start = self._clock() + delay_s
        self._change(Event.WAIT)
        log.warning(event("starting-again", device=self.name, in_s=f"{delay_s:.3g}", restarts=self.restarts + 1))

    def _renew(self) -> None:
        """Put a new device in the place of the one that has ended, whose counts are kept."""
        self._past, self._past_peers = self.snapshot(), self.peers()
        self._past_subscribers = self.subscribers() or {}
        self._up_since = None
        self.device = self._new_device()
        self._change(Event.RENEW)

    def _new_device(self) -> Device:
        descriptors = None if self._descriptors is None else self._descriptors(self.settings)
        return Device(self.settings, reload=self._reload, descriptors=descriptors, watch_peers=True)


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
            # systemd may have bound another address than the settings have.
            if Endpoint(address).is_public and device.settings.lets_all_in(key):
                advice = endpoint.how_to_keep_private if endpoint.is_public else _ADVICE_FOR_SYSTEMD
                log.warning(event("open-to-every-host", **whose, endpoint=address, advice=advice))
