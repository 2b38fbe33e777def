"""ZAP's frames: what libzmq asks, and what it is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.access.decision import Allowed, Denial, Denied, Mechanism, Request
from geventrelay.access.zap import Asked, answer, read

KEY = bytes(range(32))
HEAD = [b"peer", b"", b"1.0", b"7", b"q.frontend", b"10.0.0.1", b"id"]


@pytest.mark.parametrize(
    ("credentials", "request_"),
    [
        ([b"NULL"], Request(Mechanism.NULL, "q.frontend", "10.0.0.1")),
        ([b"PLAIN", b"alice", b"pass"], Request(Mechanism.PLAIN, "q.frontend", "10.0.0.1", "alice", "pass")),
        ([b"CURVE", KEY], Request(Mechanism.CURVE, "q.frontend", "10.0.0.1", public_key=KEY)),
    ],
)
def test_what_libzmq_asks(credentials, request_):
    assert read([*HEAD, *credentials]) == Asked((b"peer", b""), b"7", "q.frontend", request_)


@pytest.mark.parametrize(
    ("given_", "address"),
    [
        (b":0:0:4711", ""),
        (b"localhost:0:0:4711", ""),
        (b"", "unknown"),
        (b"::1", "::1"),
        (b"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        (b"fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_a_peer_over_ipc_has_no_address(given_, address):
    asked = read([*HEAD[:5], given_, b"", b"NULL"])
    assert asked is not None and asked.request == Request(Mechanism.NULL, "q.frontend", address)


@pytest.mark.parametrize(
    "rest",
    [
        [],
        [b"q.frontend"],
        [b"q.frontend", b"10.0.0.1", b""],
        [b"q.frontend", b"10.0.0.1", b"", b"GSSAPI", b"x"],
        [b"q.frontend", b"10.0.0.1", b"", b"NULL", b"more"],
        [b"q.frontend", b"10.0.0.1", b"", b"PLAIN", b"alice"],
        [b"q.frontend", b"10.0.0.1", b"", b"CURVE", KEY[1:]],
    ],
)
def test_what_is_not_understood_can_be_answered(rest):
    asked = read([*HEAD[:4], *rest])
    assert asked is not None and asked.request is None
    frames = answer(asked, Denied(Denial.FAILED, later=True), {})
    assert frames == [b"peer", b"", b"1.0", b"7", b"300", b"failed", b"", b""]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_nothing_that_comes_is_too_odd(message):
    asked = read(message)
    assert asked is None or list(asked.envelope) == message[: len(asked.envelope)]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_names_that_are_no_text_stay_apart(one, other):
    names = [read([*HEAD, b"PLAIN", name, b""]) for name in (one, other)]
    assert (names[0] == names[1]) is (one == other)


def test_what_libzmq_is_answered():
    asked = read([*HEAD, b"NULL"])
    assert asked is not None
    head = [b"peer", b"", b"1.0", b"7"]
    assert answer(asked, Allowed("alice"), {"X-A": "b"}) == [*head, b"200", b"OK", b"alice", b"\3X-A\0\0\0\1b"]
    assert answer(asked, Allowed(), {}) == [*head, b"200", b"OK", b"", b""]
    assert answer(asked, Denied(Denial.ADDRESS), {"X-A": "b"}) == [*head, b"400", b"address", b"", b""]
    assert answer(asked, Denied(Denial.NOT_READY, later=True), {}) == [*head, b"300", b"not_ready", b"", b""]
