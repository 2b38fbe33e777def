"""A trace says where messages stay: NATS is away, a relay is stopped, subscribers take nothing."""

from __future__ import annotations

import json
import signal

import pytest
from support.nats import LONG_S, nats_server
from support.process import GEVENTRELAY

from geventrelay.backbone.trace.hops import Outcome, Place
from geventrelay.cli.api_client import Remote
from geventrelay.settings import Relay
from geventrelay.testing import LOCAL, connected, eventually

# Servers and devices are started, killed and missed: more than one of these may take long.
pytestmark = pytest.mark.timeout(4 * LONG_S)

ENGINES = ("libzmq", "zmtp")


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
def three(start, nats, folder):
    """Three relays, each a process of its own."""
    (folder / "token").write_text("secret\n")
    (folder / "token").chmod(0o600)
    relay = ("--sub-port", "0", "--pub-port", "0", "--name", "prices", "--backbone", nats.url)
    made = [start(*relay, "--http", "0", "--http-token-file", "token") for _ in range(3)]
    for one in made:
        one.until(lambda one=one: one.errors.count("backbone-joined ") == 2, "two others", limit_s=LONG_S)
    return made


@pytest.fixture
def trace(run):
    """``trace(server, ...)``: what the command finds, from there."""

    def trace(server, *arguments: str, code: int) -> dict:
        command = [*GEVENTRELAY, "trace", "prices", server.http, "--token-file", "token", "--json", *arguments]
        program = run(command)
        # It may wait for 30 s itself.
        assert program.wait(50) == code, program.report()
        return json.loads(program.output)

    return trace


def traced_at_once(server, seconds_s: float) -> dict:
    """What the command finds, without its start, in which a relay that says nothing may come to count as gone."""
    return dict(Remote(server.http, 40.0).trace("prices", {"seconds": f"{seconds_s:g}"}, "secret"))


def outcomes(found: dict) -> list[str]:
    return sorted(one["outcome"] for one in found["relays"])


def test_nats_that_is_away_is_named_and_all_is_well_when_it_is_back(three, trace, nats):
    assert outcomes(trace(three[0], "--seconds", "20", code=0)) == ["answered", "answered"]
    nats.kill()
    three[0].until_logged("backbone-away", limit_s=LONG_S)
    found = trace(three[0], "--seconds", "0.2", code=1)
    assert outcomes(found) == ["waits", "waits"]
    assert found["away_s"] > 0 and found["server"] == ""
    for one in found["relays"]:
        assert [hop["place"] for hop in one["hops"]] == ["outbox"]
        assert "not connected to NATS for " in one["reason"]
        assert "dropped.backbone" in one["look_at"]["values"] and not one["look_at"]["there"]
    nats.start()
    for one in three:
        # One that comes back much later than another counts as gone there until then.
        one.until(lambda one=one: one.errors.count("backbone-connected ") == 2, "it to be back", limit_s=LONG_S)
    assert outcomes(trace(three[0], "--seconds", "30", code=0)) == ["answered", "answered"]


def test_a_relay_that_is_stopped_is_told_from_one_that_answers(three, trace):
    three[1].signal(signal.SIGSTOP)
    try:
        found = traced_at_once(three[0], 2.0)
        assert outcomes(found) == ["answered", "silent"] and not found["answered"]
        (silent,) = (one for one in found["relays"] if one["outcome"] == "silent")
        assert silent["reason"].startswith("no answer within 2 s; it was heard of ")
        assert [hop["over"] for hop in silent["hops"]] == [True, False]
        # After 5 s without a word it counts as gone.
        three[0].until_logged("backbone-left", limit_s=LONG_S)
        assert outcomes(trace(three[0], "--seconds", "20", code=0)) == ["answered"]
    finally:
        three[1].signal(signal.SIGCONT)
    three[0].until(lambda: three[0].errors.count("backbone-joined ") >= 3, "it to be back", limit_s=LONG_S)
    assert outcomes(trace(three[0], "--seconds", "20", code=0)) == ["answered", "answered"]


def test_a_relay_that_is_killed_meanwhile_has_left(three):
    three[1].signal(signal.SIGKILL)
    three[1].wait()
    found = traced_at_once(three[0], 20.0)
    assert outcomes(found) == ["answered", "left"] and not found["answered"]
    assert found["took_s"] < 20


@pytest.mark.parametrize("engine", ENGINES)
def test_subscribers_that_take_nothing_keep_the_probe_at_their_device(run, peers, nats, engine):
    settings = {"sub": LOCAL, "pub": LOCAL, "name": "prices", "backbone": nats.url, "engine": engine}
    bounds = {"backbone_buffer_bytes": 64 << 20, "slow_subscriber": "block", "sndhwm": 10}
    here, there = devices = [run_device(settings), run_device({**settings, **bounds})]
    try:
        publisher = peers.publisher(*here.endpoints["sub"], sndhwm=0)
        stalled = peers.subscriber(*there.endpoints["pub"], prefix=b"a", rcvhwm=10)
        connected(publisher, stalled, within_s=LONG_S)
        sent, received = here.snapshot().backbone.sent, there.snapshot().backbone.received
        for number in range(2000):
            publisher.send(b"a", b"%d" % number, b"x" * 10_000)
        eventually(lambda: here.snapshot().backbone.sent >= sent + 2000, "all to be sent", LONG_S)
        eventually(lambda: there.snapshot().backbone.received >= received + 2000, "all to come", LONG_S)
        found = here.trace(b"a", 2.0)
        (way,) = found.relays
        assert (way.outcome, way.sent, way.wanted) == (Outcome.WAITS, True, True)
        assert way.stays in (Place.INBOX_THERE, Place.DEVICE_THERE)
        assert way.hops[-1].messages > 0
        # The other way is free.
        assert [hop.is_over for hop in way.hops] == [True] * (len(way.hops) - 1) + [False]
        for number in range(2000):
            assert stalled.recv(LONG_S)[1] == b"%d" % number
        assert here.trace(b"a", 20.0).is_answered
    finally:
        for device in devices:
            device.stop()


def run_device(settings: dict):
    from geventrelay import Device

    device = Device(Relay(**settings))
    device.start()
    return device
