"""Strangers on an open port, with either engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.house import House

from geventrelay.testing import Peers


@pytest.fixture(params=["libzmq", "zmtp"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def house(engine: str, peer: Peers, record_property: Callable[[str, object], None]) -> Iterator[Callable[..., House]]:
    """Makes a `House`; what good peers waited for is recorded at the end."""
    made: list[House] = []
    with contextlib.ExitStack() as stack:

        def make(kind: bytes, **more: Any) -> House:
            made.append(House(kind, engine, peer, stack, **more))
            return made[-1]

        yield make
    for one in made:
        record_property("p99_ms", round(1000 * sorted(one.waits_s)[int(0.99 * len(one.waits_s))], 2))
