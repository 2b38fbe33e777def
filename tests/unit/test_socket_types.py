"""Every pair of socket types can be joined, or is refused with the reason."""

from __future__ import annotations

import itertools

import pytest

from geventrelay import SettingsError
from geventrelay.settings import SOCKET_TYPES
from geventrelay.settings.socket_types import directions

BOTH = ("PAIR", "DEALER", "ROUTER")
FORWARD, TWO_WAY = (True, False), (True, True)

WORKING = {
    **{(one, other): TWO_WAY for one in BOTH for other in BOTH},
    **{(one, other): FORWARD for one in ("PULL", "SUB") for other in ("PUSH", "PUB", *BOTH)},
    **{(one, other): FORWARD for one in BOTH for other in ("PUSH", "PUB")},
    ("XSUB", "XPUB"): TWO_WAY,
    ("XPUB", "XSUB"): TWO_WAY,
}
ALL_PAIRS = list(itertools.product(SOCKET_TYPES, SOCKET_TYPES))


@pytest.mark.parametrize(("frontend", "backend"), [pair for pair in ALL_PAIRS if pair in WORKING])
def test_a_pair_that_works_has_its_directions(frontend, backend):
    assert directions(frontend, backend) == WORKING[frontend, backend]


@pytest.mark.parametrize(("frontend", "backend"), [pair for pair in ALL_PAIRS if pair not in WORKING])
def test_a_pair_that_cannot_work_is_refused_with_a_sentence_that_says_why(frontend, backend):
    with pytest.raises(SettingsError) as error:
        directions(frontend, backend)
    reason = error.value.rule
    assert error.value.name in ("frontend_type", "backend_type")
    assert error.value.value == f"{frontend} -> {backend}"
    assert frontend in reason or backend in reason, reason
    assert len(reason.split()) > 12, f"{reason!r} is no reason"


@pytest.mark.parametrize("pair", [("PUSH", "PULL"), ("PUB", "SUB"), ("PUB", "PULL"), ("PUB", "DEALER")])
def test_a_pair_the_wrong_way_round_is_told_so(pair):
    with pytest.raises(SettingsError, match="swap the two sides"):
        directions(*pair)
