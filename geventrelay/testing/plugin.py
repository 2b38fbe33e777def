"""The pytest plugin: fixtures that close what they made. It does nothing in a test that uses none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

# Everything else is imported where it is used: pytest loads this module in every run of every project here.
if TYPE_CHECKING:
    from . import Devices, FaultyDevice, FaultyLink, Peers


@pytest.fixture
def no_leftovers() -> Iterator[None]:
    """Fails a test that leaves a greenlet, device, ZeroMQ socket or context behind; every fixture here uses it.

    It ignores everything that was alive before the test.
    """
    from .leaks import Leftovers

    leaks = Leftovers()
    yield
    described = leaks.described()
    if described:
        leaks.clean_up()
        pytest.fail("the test left behind: " + ", ".join(described), pytrace=False)


@pytest.fixture
def peer(no_leftovers: None) -> Iterator[Peers]:
    """``peer("PUSH", endpoint)`` is a client with a time limit; see `geventrelay.testing.Peers`.

    Closed at the end. Uses `no_leftovers`.
    """
    from .peers import Peers

    with Peers() as peers:
        yield peers


@pytest.fixture
def relay_device(peer: Peers) -> Iterator[Devices]:
    """``relay_device("streamer", sndhwm=1)`` starts a device on free ports; see `geventrelay.testing.Devices`.

    At the end it is stopped, and must have accounted for every message. Uses `peer`, and ends before it. So with
    ``context=peer.context``, a device and its peers can share ``inproc`` endpoints.
    """
    from .devices import Devices

    with Devices() as devices:
        yield devices


@pytest.fixture
def faulty_link(no_leftovers: None) -> Iterator[Callable[[str], FaultyLink]]:
    """``faulty_link(target)`` is a TCP link that can be cut; see `geventrelay.testing.FaultyLink`.

    Closed at the end. Uses `no_leftovers`.
    """
    from .links import FaultyLink

    made: list[FaultyLink] = []

    def link(target: str) -> FaultyLink:
        made.append(FaultyLink(target))
        return made[-1]

    yield link
    for one in made:
        one.close()


@pytest.fixture
def faulty_device(no_leftovers: None) -> Iterator[Callable[..., FaultyDevice]]:
    """``faulty_device(drop=0.1, seed=7)`` is a relay that harms messages; see `geventrelay.testing.FaultyDevice`.

    Closed at the end. Uses `no_leftovers`.
    """
    from .faults import FaultyDevice

    made: list[FaultyDevice] = []

    def device(*args: str, **kwargs: object) -> FaultyDevice:
        made.append(FaultyDevice(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield device
    for one in made:
        one.close()
