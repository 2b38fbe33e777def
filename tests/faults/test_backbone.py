"""Devices that act as one: NATS is away, its server is killed, one of the devices is killed."""

from __future__ import annotations

import signal

import pytest
from support.nats import LONG_S, nats_server
from support.process import GEVENTRELAY

from geventrelay.backbone.values import BackboneDrop, LinkState
from geventrelay.settings import Relay
from geventrelay.testing import LOCAL, Devices, connected, eventually

# Servers and devices are started, killed and missed: more than one of these may take long.
pytestmark = pytest.mark.timeout(4 * LONG_S)

ENGINES = ("libzmq", "zmtp")


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture(params=ENGINES)
def pair(request, nats):
    """Makes two relays, the first with settings of its own, a publisher there, and a subscriber at each."""
    with Devices() as devices:

        def make(peers, **of_first):
            settings = {"sub": LOCAL, "pub": LOCAL, "name": "shop", "backbone": nats.url, "engine": request.param}
            # What comes at once comes faster than a subscriber on a busy machine reads.
            settings["sndhwm"] = 0
            made = [devices(Relay(**{**settings, **of_first})), devices(Relay(**settings))]
            publisher = peers.publisher(*made[0].endpoints["sub"], sndhwm=0)
            subscribers = [peers.subscriber(*one.endpoints["pub"], rcvhwm=0) for one in made]
            connected(publisher, *subscribers, within_s=LONG_S)
            return made, publisher, subscribers

        yield make


def is_away(device) -> bool:
    return device.snapshot().backbone.state is LinkState.CONNECTING


def messages(count: int, size: int = 200) -> list[list[bytes]]:
    return [[b"%d" % number, b"x" * size] for number in range(count)]


def test_while_nats_is_away_local_messages_go_on_and_the_others_wait(pair, nats, peers):
    (here, there), publisher, (near, far) = pair(peers)
    nats.kill()
    eventually(lambda: is_away(here) and is_away(there), "both to see that", LONG_S)
    for message in messages(3000):
        publisher.send(*message)
    assert near.recv_all(3000, LONG_S) == messages(3000)
    eventually(lambda: here.snapshot().backbone.waiting == 3000, "all to wait", LONG_S)
    nats.start()
    assert far.recv_all(3000, LONG_S) == messages(3000)
    publisher.send(b"once more")
    assert near.recv() == far.recv() == [b"once more"]
    assert there.snapshot().backbone.lost == 0


def test_what_does_not_fit_while_nats_is_away_is_dropped_and_counted(pair, nats, peers):
    (here, there), publisher, (near, far) = pair(peers, backbone_buffer_bytes=1024 * 1024)
    nats.kill()
    eventually(lambda: is_away(here) and is_away(there), "both to see that", LONG_S)
    # Not before: what has come there may not be counted here yet.
    sent_before = here.snapshot().backbone.sent
    for message in messages(3000, 1000):
        publisher.send(*message)
    assert near.recv_all(3000, LONG_S) == messages(3000, 1000)

    def kept() -> int:
        backbone = here.snapshot().backbone
        dropped = backbone.dropped.get(BackboneDrop.BACKBONE, 0)
        return backbone.waiting if backbone.waiting + dropped == 3000 else 0

    count = eventually(kept, "all to wait or to be dropped", LONG_S)
    assert 500 < count < 1100
    nats.start()
    got = [int(one[0]) for one in far.recv_all(count, LONG_S)]
    # Pieces that do not fit are dropped whole, so that smaller ones may fit after them.
    assert got == sorted(set(got)) and got[:300] == list(range(300))
    eventually(lambda: here.snapshot().backbone.sent == sent_before + count, lambda: f"{count} to be counted: {here}")


def test_with_block_publishers_wait_while_nats_is_away_and_nothing_is_lost(pair, nats, peers, monkeypatch):
    monkeypatch.setattr("geventrelay.components.terms._PRIVATE_QUEUE", 1000)
    settings = {"backbone_buffer_bytes": 1024 * 1024, "backbone_when_full": "block", "slow_subscriber": "block"}
    (here, there), publisher, (near, far) = pair(peers, **settings, sndhwm=1000)
    nats.kill()
    eventually(lambda: is_away(here) and is_away(there), "both to see that", LONG_S)
    # Far more than all that is between here and there.
    count = 30_000
    for message in messages(count, 1000):
        publisher.send(*message)
    eventually(lambda: here.snapshot().backbone.waiting_bytes > 1_000_000, "the buffer to be full", LONG_S)
    assert here.snapshot().pumps[0].received < count
    nats.start()
    for number in range(count):
        assert far.recv(LONG_S)[0] == near.recv()[0] == b"%d" % number
    assert not here.snapshot().backbone.dropped and there.snapshot().backbone.lost == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_one_that_is_killed_is_gone_and_joins_again_when_it_is_back(start, peers, nats, engine):
    command = ("--name", "shop", "--backbone", nats.url, "--engine", engine)
    here, there = (start("--sub-port", "0", "--pub-port", "0", *command) for _ in range(2))
    publisher = peers.publisher(here["sub"])
    near, far = peers.subscriber(here["pub"]), peers.subscriber(there["pub"])
    connected(publisher, near, far, within_s=LONG_S)
    there.signal(signal.SIGKILL)
    there.wait()
    publisher.send(b"1")
    assert near.recv() == [b"1"]
    here.until_logged("backbone-left", limit_s=LONG_S)
    again = start("--sub-port", "0", "--pub-port", "0", *command)
    back = peers.subscriber(again["pub"])
    connected(publisher, near, back, within_s=LONG_S)
    publisher.send(b"2")
    assert near.recv() == back.recv() == [b"2"]


def test_a_relay_starts_while_nats_is_away(start, peers, nats):
    command = ("--sub-port", "0", "--pub-port", "0", "--name", "shop", "--backbone", nats.url)
    nats.kill()
    here, there = start(*command), start(*command)
    publisher = peers.publisher(here["sub"])
    near, far = peers.subscriber(here["pub"]), peers.subscriber(there["pub"])
    connected(publisher, near, within_s=LONG_S)
    nats.start()
    connected(publisher, near, far, within_s=LONG_S)
    publisher.send(b"1")
    assert near.recv() == far.recv() == [b"1"]


def test_a_wrong_url_and_a_missing_name_are_told_in_one_line(run, nats):
    relay = [*GEVENTRELAY, "--sub-port", "0", "--pub-port", "0"]
    for arguments, told in (
        (["--name", "shop", "--backbone", "http://n1"], "--backbone: expected URLs of NATS"),
        (["--backbone", nats.url], "--name: expected a name where"),
    ):
        program = run([*relay, *arguments])
        assert program.wait() == 2
        assert told in program.errors
        assert len(program.errors.splitlines()) == 1
