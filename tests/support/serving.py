"""A server in a greenlet of the test, and the ways in which a test makes things happen to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from geventrelay import Device, DeviceFailed, StartError
from geventrelay.backoff import Backoff
from geventrelay.server.reload import ReloadResult
from geventrelay.server.server import Server
from geventrelay.settings import DeviceSettings, ServerSettings
from geventrelay.testing import eventually, within
from geventrelay.web.site import site_for

from .engines import break_down

Outcome = (StartError, DeviceFailed)


class Serving:
    """A running server, and the configuration that it reads when it is told to.

    :ivar configured: what a reload finds; an exception is raised instead.
    """

    def __init__(
        self, *devices: DeviceSettings, first_s: float = 0.001, longest_s: float = 0.02, **options: Any
    ) -> None:
        self.configured: ServerSettings | Exception = ServerSettings(devices=devices, **options)
        self.loads = 0
        self.server = Server(
            self.configured, load=self._load, delays=lambda: Backoff(first_s, longest_s), site=site_for
        )
        self.greenlet = gevent.spawn(self._run)

    def _load(self) -> ServerSettings:
        self.loads += 1
        if isinstance(self.configured, Exception):
            raise self.configured
        return self.configured

    def _run(self) -> Exception | None:
        try:
            self.server.run()
        except Outcome as error:
            return error
        return None

    def until_ready(self) -> Serving:
        eventually(lambda: self.server.ready or self.greenlet.ready(), "the server to be ready")
        assert self.server.ready, self.greenlet.get()
        return self

    def ended(self, within_s: float = 5) -> Exception | None:
        """What `run` raised, or None, once it has returned."""
        with within("the server to end", within_s):
            return self.greenlet.get()

    def reload(self, *devices: DeviceSettings, **options: Any) -> ReloadResult:
        """Reload with these devices."""
        self.configured = ServerSettings(devices=devices, **options)
        with within("the reload"):
            return self.server.reload()

    def device(self, name: str) -> Device:
        return self.server.devices[name].device

    def endpoint(self, name: str, key: str) -> str:
        (endpoint,) = self.device(name).endpoints[key]
        return endpoint

    def fail(self, name: str, key: str = "frontend") -> None:
        """Have the device fail and wait until that has been seen.

        :param key: the socket that is closed; it stands for whatever kills the pump that waits for it.
        """
        supervised = self.server.devices[name]
        device, restarts = supervised.device, supervised.restarts
        break_down(device, key)
        eventually(lambda: supervised.last_failure is not None and not device.started, f"{name} to fail")
        eventually(lambda: supervised.restarts > restarts or supervised.next_start_s is not None, f"{name} to wait")


@pytest.fixture
def serve(no_leftovers: None) -> Iterator[Callable[..., Serving]]:
    """``serve(Queue(...), ...)`` runs a server of these devices, ready; it is stopped in the end."""
    with contextlib.ExitStack() as stack:

        def start(*devices: DeviceSettings, ready: bool = True, **options: Any) -> Serving:
            one = Serving(*devices, **options)
            stack.callback(one.greenlet.join)
            stack.callback(one.server.stop)
            return one.until_ready() if ready else one

        yield start
