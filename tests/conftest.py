"""What every test gets: a look for whatever it left, and devices and peers that are put away."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import hypothesis
import pytest

from geventrelay.engine.native.choose import warn_if_slow
from geventrelay.testing import Devices, Peers

# The same examples in every run: what fails today failed yesterday. Time is the business of pytest-timeout.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
hypothesis.settings.load_profile("suite")


def pytest_collection_finish() -> None:
    # What a test leaves is looked for among all objects that the garbage collector knows. Of the half million that
    # there are before the first test begins none is meant, and without them a look takes a fiftieth of the time.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def slow_burst_is_told() -> None:
    """Has the one warning of a process without a native burst come before the first test, not during any."""
    warn_if_slow()


@pytest.fixture(autouse=True)
def nothing_is_left(no_leftovers: None) -> None:
    """Fails a test that leaves a device, context, socket or greenlet behind."""


@pytest.fixture
def peer(no_leftovers: None) -> Iterator[Peers]:
    """Makes peers and closes them in the end.

    A peer whose device has stopped would try again for ever, and meet the next device that gets its port, perhaps
    another test run's. A minute is never here; -1, which is never, drops what has arrived and not been read.
    """
    with Peers(limit_s=10, reconnect_ivl=60_000) as made:
        yield made


@pytest.fixture
def peers(peer: Peers) -> Peers:
    """The same under another name."""
    return peer


@pytest.fixture
def run(relay_device: Devices) -> Devices:
    """Starts a device of the settings given; in the end it is stopped, and its accounting must balance."""
    return relay_device
