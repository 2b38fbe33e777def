"""Fixtures of every test: peers and devices that are put away, and a look for whatever was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import hypothesis
import pytest
from support.leftovers import clean_up, leftovers
from support.peers import Peers
from support.waiting import until

from geventrelay import Device
from geventrelay.settings import DeviceSettings

# The same examples in every run: what fails today failed yesterday. Time is the business of pytest-timeout.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a device, context, socket or greenlet behind."""
    yield
    found = leftovers()
    if found:
        # A greenlet that was started to end something, e.g. a device that failed, may need a moment.
        for _ in range(100):
            gevent.sleep(0.002)
            found = leftovers()
            if not found:
                break
    described = [repr(one) for one in found]
    clean_up(found)
    assert not described, f"the test left behind: {described}"


@pytest.fixture
def peers(nothing_is_left: None) -> Iterator[Peers]:
    """Makes peers and closes them in the end."""
    made = Peers()
    yield made
    made.close()


@pytest.fixture
def run(nothing_is_left: None) -> Iterator[Callable[..., Device]]:
    """Starts a device of the settings given; in the end it is stopped, and its accounting must balance."""
    devices: list[Device] = []

    def start(settings: DeviceSettings, **kwargs: object) -> Device:
        device = Device(settings, **kwargs)
        devices.append(device)
        device.start()
        return device

    yield start
    for device in devices:
        device.stop(0)
    for device in devices:
        until(lambda device=device: device.state.value in ("stopped", "failed"), f"{device} to end")
        for pump in device.snapshot().pumps:
            assert pump.balanced, pump
