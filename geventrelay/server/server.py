"""One process that runs a device until it is told to stop."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event

from ..devices.device import Device
from ..errors import DeviceFailed
from ..settings import ServerSettings
from .notify import remove_ready_file, remove_stale_ready_file, tell_systemd, write_ready_file

log = logging.getLogger("geventrelay")


@dataclass(frozen=True, slots=True)
class SupervisedDevice:
    """A `device` of a server."""

    device: Device


class Server:
    """Runs a device in the foreground: signals, readiness, accounting.

    SIGINT, SIGTERM and SIGHUP stop it, a second one ends the draining at once, a third one kills. SIGUSR1 logs the
    accounting.

    :param settings: what to run, which is one device for now.
    :param load: reads the settings again; not used yet.
    """

    def __init__(self, settings: ServerSettings, *, load: Callable[[], ServerSettings] | None = None) -> None:
        (one,) = settings.devices
        self._device = Device(one)
        self._ready_file = settings.ready_file
        self._ready_file_written = False
        self._stop = Event()

    @property
    def devices(self) -> dict[str, SupervisedDevice]:
        """The devices by name."""
        return {self._device.name: SupervisedDevice(self._device)}

    def run(self) -> None:
        """Start the device and return when it has been stopped by a signal. Yields all the while.

        A signal that comes before everything is bound ends the start, and nothing is left of it.

        :raises StartError: if it could not start; nothing is left bound or half-started.
        :raises DeviceFailed: if it failed while running.
        """
        watchers = self._watch_signals()
        if self._ready_file is not None:
            remove_stale_ready_file(self._ready_file)
        try:
            if not self._start():
                return
            try:
                self._announce()
                self._serve()
            finally:
                self._withdraw()
        finally:
            for watcher in watchers:
                watcher.cancel()

    def _start(self) -> bool:
        """Start the device, unless a signal to stop comes first: names can take long to resolve."""
        failures: list[Exception] = []
        starting = gevent.spawn(self._try_to_start, failures)
        either: list[Any] = [starting, self._stop]
        gevent.wait(either, count=1)
        starting.kill()
        if failures:
            raise failures[0]
        return self._device.started

    def _try_to_start(self, failures: list[Exception]) -> None:
        try:
            self._device.start()
        except Exception as error:
            failures.append(error)

    def _announce(self) -> None:
        device = self._device
        if self._ready_file is not None:
            write_ready_file(self._ready_file, device)
            self._ready_file_written = True
        for key, endpoints in device.settings.endpoints.items():
            for address in device.endpoints[key]:
                log.info("bound device=%s socket=%s endpoint=%s", device.name, key, address)
            for endpoint in endpoints:
                if not endpoint.binds:
                    log.info("connecting device=%s socket=%s endpoint=%s", device.name, key, endpoint.address)
            bound = zip((one for one in endpoints if one.binds), device.endpoints[key], strict=True)
            for address in (address for one, address in bound if one.is_public):
                log.warning(
                    "open to every host: device=%s socket=%s endpoint=%s; --interface 127.0.0.1 keeps it to this one",
                    device.name, key, address,
                )  # fmt: skip
        tell_systemd("READY=1")

    def _serve(self) -> None:
        failures: list[DeviceFailed] = []
        waiter = gevent.spawn(self._wait_for_device, failures)
        self._stop.wait()
        tell_systemd("STOPPING=1")
        self._device.stop()
        waiter.join()
        if failures:
            raise failures[0]

    def _wait_for_device(self, failures: list[DeviceFailed]) -> None:
        try:
            self._device.serve_forever()
        except DeviceFailed as failure:
            failures.append(failure)
        self._stop.set()

    def _withdraw(self) -> None:
        self._device.stop(0)
        if self._ready_file is not None and self._ready_file_written:
            remove_ready_file(self._ready_file)

    def _watch_signals(self) -> list[Any]:
        return [
            *(
                gevent.signal_handler(number, self._on_stop_signal, number)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            ),
            gevent.signal_handler(signal.SIGUSR1, self._log_accounting),
        ]

    def _on_stop_signal(self, number: int) -> None:
        if not self._stop.is_set():
            log.info("stopping device=%s signal=%s", self._device.name, signal.Signals(number).name)
            self._stop.set()
            return
        # Whatever keeps the stop from ending, the next signal ends the process.
        signal.signal(number, signal.SIG_DFL)
        self._device.stop(0)

    def _log_accounting(self) -> None:
        log.info("accounting %s", self._device.snapshot().accounting())
