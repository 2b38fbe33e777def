"""One process that runs devices until it is stopped."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import Semaphore

from ..backoff import Backoff
from ..engine import descriptors
from ..errors import GeventRelayError, StartError
from ..log import event
from ..settings import DeviceSettings, ServerSettings
from ..switch import budget
from . import logs, signals
from .memory import give_back
from .ready_file import remove_ready_file, remove_stale_ready_file, write_ready_file
from .reload import ReloadResult, difference, needs_restart
from .site import Site
from .socket_activation import Activation, passed_listeners
from .spare import keep_spare
from .supervisor import SupervisedDevice, announce
from .systemd import Systemd
from .together import start_all, stop_all

log = logging.getLogger("geventrelay")


class Server:
    """Runs devices in the foreground: signals, supervision, reload, readiness, accounting.

    SIGINT and SIGTERM stop it, a second one ends the draining at once, a third one kills. SIGHUP has it reload, or
    stops it where there is nothing to reload. SIGUSR1 logs the accounting.

    :param settings: what to run.
    :param load: reads the configuration again; None where there is none to be read.
    :param delays: makes what decides how long a device that failed waits for its next start.
    :param site: makes what answers HTTP where the settings ask for that; None where nothing does.

    :ivar settings: what is running.
    :ivar devices: the devices by name, in the order of `settings`.
    :ivar started_at: when it was started, as Unix time; None before that.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        load: Callable[[], ServerSettings] | None = None,
        delays: Callable[[], Backoff] = Backoff,
        site: Callable[[Server], Site] | None = None,
    ) -> None:
        self.settings = settings
        self.started_at: float | None = None
        self._load = load
        self._delays = delays
        self._activation = Activation(passed_listeners(os.environ))
        self._systemd = Systemd()
        self._stop = Event()
        self._up = self._hurried = False
        self._failure: Exception | None = None
        self._make_site = site
        self._site: Site | None = None
        # Held while devices come and go by a start or a reload.
        self._changing = Semaphore(1)
        self.devices = {device.name: self._supervise(device) for device in settings.devices}

    @property
    def ready(self) -> bool:
        """Whether the start is through and every device is up."""
        return self._up and all(one.device.started for one in self.devices.values())

    @property
    def keeps_off(self) -> bool:
        """Whether so few descriptors are free that sockets end new connections; see `SocketPeers`."""
        return descriptors.free() < descriptors.RESERVE

    @property
    def url(self) -> str | None:
        """Where HTTP is answered, e.g. ``http://127.0.0.1:8080``; None while it is not."""
        return None if self._site is None else self._site.url

    @property
    def log_dropped(self) -> int:
        """The number of lines of the log that standard error did not take."""
        return logs.dropped_lines()

    def run(self, *, until_exit: bool = False) -> None:
        """Start the devices and return when the server has been stopped, or all of them have. Yields all the while.

        A signal that comes before everything is bound ends the start, and nothing is left of it.

        :param until_exit: whether the process ends after it: then a signal that comes meanwhile is caught to the end.
        :raises StartError: if a device could not start; nothing is left bound or half-started.
        :raises DeviceFailed: if a device failed and `ServerSettings.fail_fast` is set.
        """
        watchers = self._watch_signals()
        keepers = [gevent.spawn(give_back), gevent.spawn(keep_spare)]
        self.started_at = time.time()
        if self.settings.ready_file is not None:
            remove_stale_ready_file(self.settings.ready_file)
        try:
            with self._changing:
                self._start()
            self._look_whether_all_stopped()
            self._stop.wait()
        finally:
            self._end()
            gevent.killall(keepers)
            if until_exit and not self._hurried:
                signals.forgive_one()
            elif not until_exit:
                for watcher in watchers:
                    watcher.cancel()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Have `run` stop everything and return. Does not yield; once is enough."""
        self._stop.set()

    def reload(self) -> ReloadResult:
        """Read the configuration again and go on with what it says. Yields until that is done.

        A reload that comes during another one, or during the start, waits for it and then reads the file anew.

        :raises SettingsError: with every problem, if the configuration has any; nothing was changed then.
        :raises StartError: if there is no configuration to read, or if the server is stopping.
        """
        try:
            if self._load is None:
                raise StartError("cannot reload: this server was started without a configuration file")
            with self._changing:
                self._refuse_if_stopping()
                self._systemd.reloading()
                try:
                    result = self._change_to(self._load())
                finally:
                    if not self._stop.is_set():
                        self._systemd.ready()
        except GeventRelayError as error:
            log.error(event("reload-failed", reason=error))
            raise
        counts = {kind: len(names) for kind, names in dataclasses.asdict(result).items()}
        log.info(event("reloaded", **counts))
        self._look_whether_all_stopped()
        return result

    def on_up(self, supervised: SupervisedDevice) -> None:
        """What a `SupervisedDevice` says once it is up: `supervised`."""
        if self._up:
            announce(supervised.device)
            self._write_ready_file_again()
            self._tell_status()

    def on_failure(self, supervised: SupervisedDevice, failure: Exception) -> bool:
        """What a `SupervisedDevice`, `supervised`, says when it fails of `failure`; whether it is to start again."""
        if isinstance(failure, StartError):
            log.error(event("cannot-start", device=supervised.name, reason=failure))
        self._tell_status()
        if not self.settings.fail_fast:
            return True
        self._failure = self._failure or failure
        self._stop.set()
        return False

    def on_stopped(self, supervised: SupervisedDevice) -> None:
        """What a `SupervisedDevice`, `supervised`, says when it was stopped on request."""
        self._tell_status()
        self._look_whether_all_stopped()

    def _supervise(self, settings: DeviceSettings) -> SupervisedDevice:
        return SupervisedDevice(settings, self, delays=self._delays(), reload=self.reload, descriptors=self._activation)

    def _start(self) -> None:
        """Start every device, unless a signal to stop comes first."""
        self._refuse_open(self.settings)
        budget.set_budget(self.settings.memory_budget_bytes)
        start_all(self.devices.values(), self._stop)
        if self._stop.is_set():
            return
        self._start_site()
        self._write_ready_file()
        for supervised in self.devices.values():
            announce(supervised.device)
        for listener in self._activation.unused(self.settings.devices):
            where = {"descriptor": listener.descriptor, "name": listener.name, "address": listener.address}
            log.error(event("unused-descriptor", **where, reason="no device has a socket of that name or address"))
        self._up = True
        self._systemd.ready()
        self._tell_status()
        self._systemd.start_watchdog()
        for supervised in self.devices.values():
            supervised.supervise()

    def _change_to(self, settings: ServerSettings) -> ReloadResult:
        old = self.settings
        self._refuse_open(settings)
        result = difference(old, settings)
        by_name = {device.name: device for device in settings.devices}
        # Also of those that stay as they are: files that say who may connect may have changed. All are read first.
        kept = {name: self.devices[name].prepare(by_name[name]) for name in (*result.unchanged, *result.adjusted)}
        added = {name: self._supervise(by_name[name]) for name in result.added}
        self._take_process_options(settings)
        failures: list[GeventRelayError] = []
        # Those that have started since, or are about to, may have read what was there before.
        late: list[gevent.Greenlet[..., None]] = [
            gevent.spawn(_adjust, self.devices[name], by_name[name], failures)
            for name, go_on in kept.items()
            if not go_on()
        ]
        ending = [self.devices[name] for name in (*result.removed, *result.changed)]
        # All of them before any start: addresses may go from one device to another.
        stop_all(ending)
        for name in result.removed:
            log.info(event("accounting", **self.devices[name].snapshot().accounting_keys()))
        both = {**self.devices, **added}
        self.devices = {device.name: both[device.name] for device in settings.devices}
        starts: list[gevent.Greenlet[..., None]] = [
            gevent.spawn(self._unless_stopping, added[name].supervise) for name in result.added
        ]
        starts += [
            gevent.spawn(self._unless_stopping, self.devices[name].restart, by_name[name]) for name in result.changed
        ]
        gevent.joinall(starts + late)
        self._refuse_if_stopping()
        self._write_ready_file_again()
        self._tell_status()
        if failures:
            raise failures[0]
        return result

    def _refuse_open(self, settings: ServerSettings) -> None:
        """Hold sockets that systemd has bound to `require_auth` too: their addresses are in no settings."""
        found = list(self._activation.open_to_all(settings.devices)) if settings.require_auth else []
        if found:
            rule = "curve-clients with a folder, plain-passwords or allow for each socket beyond loopback"
            raise StartError(
                "\n".join(f"require-auth: expected {rule}, got {one!r}, bound by systemd" for one in found)
            )

    def _take_process_options(self, settings: ServerSettings) -> None:
        old = self.settings
        waiting = needs_restart(old, settings)
        for name in waiting:
            log.warning(event("needs-a-restart", option=name, reason="this cannot change while the process runs"))
        if (old.log_level, old.log_format) != (settings.log_level, settings.log_format):
            logs.set_up(settings.log_level, settings.log_format)
        budget.set_budget(settings.memory_budget_bytes)
        self.settings = dataclasses.replace(settings, **{name: getattr(old, name) for name in waiting})

    def _unless_stopping(self, start: Callable[..., None], *arguments: Any) -> None:
        if not self._stop.is_set():
            start(*arguments)

    def _refuse_if_stopping(self) -> None:
        if self._stop.is_set():
            raise StartError("cannot reload: this server is stopping")

    def _look_whether_all_stopped(self) -> None:
        # During a reload there may be more to come.
        ended = [one.ended for one in self.devices.values()]
        if self._up and ended and all(ended) and not self._changing.locked():
            self._stop.set()

    def _end(self) -> None:
        # The start may not have come to its end, and a reload is to find that it comes too late.
        self._stop.set()
        if self._up:
            self._systemd.stopping()
        stop_all(self.devices.values())
        with self._changing:
            self._up = False
        self._systemd.stop_watchdog()
        if self.settings.ready_file is not None:
            remove_ready_file(self.settings.ready_file)
        if self._site is not None:
            # The last, so that one can watch the others go.
            self._site.stop()

    def _start_site(self) -> None:
        if self._make_site is not None and self.settings.http is not None:
            self._site = self._make_site(self)
            try:
                self._site.start()
            except BaseException:
                stop_all(self.devices.values(), 0)
                raise

    def _write_ready_file(self) -> None:
        if self.settings.ready_file is not None:
            write_ready_file(self.settings.ready_file, [one.device for one in self.devices.values()], self.url)

    def _write_ready_file_again(self) -> None:
        if self._up:
            try:
                self._write_ready_file()
            except StartError as error:
                log.error(event("ready-file-outdated", reason=error))

    def _tell_status(self) -> None:
        if self._up and not self._stop.is_set():
            down = [name for name, one in self.devices.items() if not one.device.started]
            line = f"{len(self.devices) - len(down)} of {len(self.devices)} devices up"
            self._systemd.status(line + (f"; down: {' '.join(down)}" if down else ""))

    def _watch_signals(self) -> list[Any]:
        handlers = {
            signal.SIGINT: self._on_stop_signal,
            signal.SIGTERM: self._on_stop_signal,
            signal.SIGHUP: self._on_stop_signal if self._load is None else self._on_reload_signal,
            signal.SIGUSR1: self._log_accounting,
        }
        return signals.watch(handlers)

    def _on_stop_signal(self, number: int) -> None:
        if not self._stop.is_set():
            log.info(event("stopping", signal=signal.Signals(number).name, devices=len(self.devices)))
            self._stop.set()
            return
        # Whatever keeps the stop from ending, the next signal ends the process.
        self._hurried = True
        signals.let_the_next_kill()
        stop_all(self.devices.values(), 0)

    def _on_reload_signal(self, number: int) -> None:
        log.info(event("reloading", signal=signal.Signals(number).name))
        try:
            self.reload()
        except GeventRelayError:
            # It stands in the log.
            return

    def _log_accounting(self, number: int) -> None:
        for supervised in self.devices.values():
            log.info(event("accounting", **supervised.snapshot().accounting_keys()))


def _adjust(supervised: SupervisedDevice, settings: DeviceSettings, failures: list[GeventRelayError]) -> None:
    try:
        supervised.adjust(settings)
    except GeventRelayError as error:
        failures.append(error)
