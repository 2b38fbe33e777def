"""The harness itself: what it says when it fails, what each fault does, and that a seed repeats a run."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import gevent
import pytest
import zmq
import zmq.green

from geventrelay import SettingsError, State, Streamer
from geventrelay.devices.engines import VARIABLE
from geventrelay.terms import Engine
from geventrelay.testing import (
    Devices,
    FaultCounts,
    Leftovers,
    Peers,
    connected,
    eventually,
    fence,
    let_run,
    within,
)

pytest_plugins = ["pytester"]

# Fast enough for a test to see a link come back.
AGAIN = {"reconnect_ivl": 10}


def numbers(messages):
    return [int(message[-1]) for message in messages]


# Devices


@pytest.mark.parametrize("pattern", ["streamer", Streamer, Streamer(frontend="tcp://127.0.0.1:0", backend="ipc://*")])
def test_a_device_is_had_by_name_by_class_or_by_settings(relay_device, peer, pattern):
    device = relay_device(pattern)
    pusher, puller = (
        peer("PUSH", device.endpoints["frontend"][0]),
        peer("PULL", device.endpoints["backend"][0]),
    )
    connected(pusher, puller)
    pusher.send(b"task", b"body")
    assert puller.recv() == [b"task", b"body"]


@pytest.mark.parametrize(
    "pattern, sockets",
    [("relay", {"sub", "pub", "push"}), ("forwarder", {"frontend", "backend"}), ("queue", {"frontend", "backend"})],
)
def test_every_endpoint_is_a_free_port_of_this_host(relay_device, pattern, sockets):
    one, other = relay_device(pattern, sndhwm=7), relay_device(pattern)
    assert one.settings.sndhwm == 7
    assert one.endpoints.keys() == sockets
    every = [endpoint for device in (one, other) for some in device.endpoints.values() for endpoint in some]
    assert len(set(every)) == len(every)
    assert all(endpoint.startswith("tcp://127.0.0.1:") for endpoint in every)


def test_a_bare_port_is_bound_on_this_host_alone(relay_device):
    device = relay_device("relay", sub=0, push=0)
    assert device.endpoints.keys() == {"sub", "push"}
    assert all(some[0].startswith("tcp://127.0.0.1:") for some in device.endpoints.values())


def test_a_pattern_that_nobody_knows_is_refused(relay_device):
    with pytest.raises(SettingsError, match=r"pattern: expected one of relay, forwarder, .*, got 'streamr'"):
        relay_device("streamr")


def test_devices_are_stopped_in_the_end_and_must_balance():
    with Devices() as devices:
        device = devices("streamer")
    assert device.state is State.STOPPED


# Peers


def test_peers_talk_directly_too(peer):
    worker = peer("rep")
    client = peer(zmq.REQ, worker.endpoint)
    client.send(b"question")
    assert worker.recv() == [b"question"]
    worker.send(b"answer")
    assert client.recv() == [b"answer"]


def test_an_option_that_zeromq_has_not_is_named(peer):
    with pytest.raises(SettingsError) as refused:
        peer("PUSH", rcvhmw=1)
    assert str(refused.value) == "peer option: expected a socket option of ZeroMQ (did you mean rcvhwm?), got 'rcvhmw'"


def test_a_peer_is_bound_where_it_is_told_and_takes_options(peer):
    bound = peer("ROUTER", "@inproc://here", rcvhwm=3)
    assert bound.endpoint == "inproc://here"
    assert bound.socket.get(zmq.RCVHWM) == 3
    other = peer("DEALER", "inproc://here", routing_id="me")
    connected(bound, other)
    other.send(b"hello")
    assert bound.recv() == [b"me", b"hello"]


def test_a_recv_that_waits_too_long_says_what_it_waited_for_and_what_had_come(peer):
    puller = peer("PULL", limit_s=0.05)
    pusher = peer("PUSH", puller.endpoint)
    for number in range(5):
        pusher.send(b"%d" % number)
    puller.recv_all(5)
    with pytest.raises(AssertionError) as error:
        puller.recv()
    assert str(error.value) == (
        f"waited 0.05 s for a message at <PULL peer bound to {puller.endpoint}> (received before: 5, ending in "
        "[b'2'] [b'3'] [b'4']; sent before: nothing; connections: 1)"
    )


def test_a_send_that_finds_no_room_says_so(peer):
    pusher = peer("PUSH")
    with pytest.raises(AssertionError, match=r"waited 0.01 s for room to send \[b'x'\] at <PUSH peer bound to .*: 0\)"):
        pusher.send(b"x", within_s=0.01)


def test_a_recv_of_several_says_how_many_were_missing_and_what_came(peer):
    puller = peer("PULL")
    pusher = peer("PUSH", puller.endpoint)
    pusher.send(b"only", b"one")
    with pytest.raises(AssertionError, match=r"for 2 messages at .*received before: \[b'only', b'one'\];"):
        puller.recv_all(2, within_s=0.1)


def test_whoever_never_handshakes_is_named(peer):
    lonely = peer("PULL")
    with pytest.raises(AssertionError, match=r"the handshakes of <PULL peer bound to .*connections: 0\)"):
        connected(lonely, within_s=0.01)


def test_connections_are_counted_down_when_they_end(peer):
    puller = peer("PULL")
    one, other = peer("PUSH", puller.endpoint), peer("PUSH", puller.endpoint)
    connected(puller, one, other)
    assert puller.connections == 2
    one.close()
    eventually(lambda: puller.connections == 1, "the end of one connection")
    assert other.connections == 1


# Meeting


@pytest.mark.parametrize("kinds", [("PUB", "SUB"), ("XPUB", "XSUB"), ("PUB", "XSUB"), ("XPUB", "SUB")])
@pytest.mark.parametrize("way", ["direct", "forwarder", "relay"])
def test_nothing_is_lost_once_publisher_and_subscriber_are_connected(relay_device, peer, kinds, way):
    for _ in range(5):
        if way == "direct":
            subscriber = peer(kinds[1], subscribe=["a", "other"])
            publisher = peer(kinds[0], subscriber.endpoint)
        else:
            device = relay_device(way)
            inward, outward = ("frontend", "backend") if way == "forwarder" else ("sub", "pub")
            publisher = peer(kinds[0], device.endpoints[inward][0])
            subscriber = peer(kinds[1], device.endpoints[outward][0], subscribe=["a", "other"])
        connected(publisher, subscriber)
        for number in range(20):
            publisher.send(b"a", b"%d" % number)
        assert numbers(subscriber.recv_all(20)) == list(range(20))
        assert subscriber.recv_now() == []


def test_what_comes_while_peers_meet_is_not_lost(peer):
    subscriber = peer("SUB")
    early, late = peer("PUB", subscriber.endpoint), peer("PUB", subscriber.endpoint)
    connected(early, subscriber)
    early.send(b"1")
    early.send(b"2")
    connected(late, subscriber)
    fence(early, subscriber)
    late.send(b"3")
    assert fence(late, subscriber) == [[b"3"]]


def test_a_subscriber_of_nothing_cannot_be_met(peer):
    publisher = peer("PUB")
    with pytest.raises(AssertionError, match=r"has subscribed to nothing"):
        connected(publisher, peer("SUB", publisher.endpoint, subscribe=[]))


def test_a_way_that_does_not_open_is_named_by_both_ends(peer):
    # Each is connected, but not to the other.
    publisher, subscriber = peer("PUB"), peer("SUB")
    others = peer("SUB", publisher.endpoint), peer("PUB", subscriber.endpoint)
    with pytest.raises(AssertionError, match=r"a probe from <PUB peer bound .* at <SUB peer bound"):
        connected(publisher, subscriber, within_s=0.1)
    assert len(others) == 2


# Fences


def test_a_fence_tells_what_came_before_it(relay_device, peer):
    device = relay_device("streamer")
    pusher, puller = peer("PUSH", device.endpoints["frontend"][0]), peer("PULL", device.endpoints["backend"][0])
    for number in range(100):
        pusher.send(b"%d" % number)
    assert numbers(fence(pusher, puller)) == list(range(100))
    assert fence(pusher, puller) == []
    pusher.send(b"after")
    assert puller.recv() == [b"after"]


def test_a_fence_goes_to_an_address_and_behind_a_routing_id(peer):
    router = peer("ROUTER")
    dealer = peer("DEALER", router.endpoint, routing_id=b"me")
    dealer.send(b"hello")
    assert fence(dealer, router) == [[b"me", b"hello"]]
    router.send(b"me", b"answer")
    assert fence(router, dealer, address=(b"me",)) == [[b"answer"]]


def test_a_fence_that_does_not_arrive_says_what_had(peer):
    puller = peer("PULL")
    pusher = peer("PUSH", puller.endpoint)
    other = peer("PULL")
    connected(pusher, puller)
    with pytest.raises(AssertionError, match=r"a fence from <PUSH .* at <PULL peer bound to .*\(received before: noth"):
        fence(pusher, other, within_s=0.05)


# Waiting


def test_eventually_returns_what_the_condition_said():
    values = iter([0, None, [], "this"])
    assert eventually(lambda: next(values), "this") == "this"


def test_what_never_holds_fails_with_a_sentence_and_nobody_elses_time_limit():
    with pytest.raises(AssertionError, match=r"^waited 0.01 s for the moon$"):
        eventually(lambda: False, "the moon", within_s=0.01)
    outer = gevent.Timeout(0.01)
    with pytest.raises(gevent.Timeout) as raised, outer, within("something", 5):
        gevent.sleep(5)
    assert raised.value is outer


# Links


@pytest.fixture
def linked(peer, faulty_link):
    """A puller, a link to it, and a pusher at the link's other end."""
    puller = peer("PULL")
    link = faulty_link(puller.endpoint)
    pusher = peer("PUSH", link.endpoint, **AGAIN)
    connected(pusher, puller)
    return pusher, link, puller


def test_a_link_without_faults_hands_everything_on_both_ways(peer, faulty_link):
    worker = peer("REP")
    client = peer("REQ", faulty_link(worker.endpoint).endpoint)
    for size in (1, 1_000_000):
        client.send(b"x" * size)
        worker.send(*worker.recv())
        assert client.recv() == [b"x" * size]


def test_a_link_that_is_cut_refuses_connections_until_it_is_restored(linked):
    pusher, link, puller = linked
    link.cut()
    pusher.wait_for(zmq.EVENT_DISCONNECTED)
    puller.wait_for(zmq.EVENT_DISCONNECTED)
    assert link.connections == 0
    with gevent.socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", int(link.endpoint.rpartition(":")[2])))
    link.restore()
    connected(pusher, puller)
    pusher.send(b"again")
    assert puller.recv() == [b"again"]


def test_a_link_that_is_stalled_hands_nothing_on_and_loses_nothing(linked):
    pusher, link, puller = linked
    link.stall()
    passed = link.passed_bytes
    for number in range(100):
        pusher.send(b"%d" % number)
    let_run(50)
    assert link.passed_bytes == passed
    assert pusher.connections == puller.connections == link.connections == 1
    link.resume()
    assert numbers(puller.recv_all(100)) == list(range(100))


def test_a_link_that_is_stalled_makes_a_sender_feel_it(peer, faulty_link):
    puller = peer("PULL")
    link = faulty_link(puller.endpoint)
    pusher = peer("PUSH", link.endpoint, sndhwm=1, sndbuf=4096)
    connected(pusher, puller)
    link.stall()
    with pytest.raises(AssertionError, match=r"room to send"):
        for _ in range(200):
            pusher.send(b"x" * 1_000_000, within_s=0.1)


def test_a_link_with_a_delay_is_late(linked):
    pusher, link, puller = linked
    link.delay(100)
    clock = gevent.get_hub().loop
    clock.update_now()
    began = clock.now()
    pusher.send(b"late")
    assert puller.recv() == [b"late"]
    clock.update_now()
    assert clock.now() - began >= 0.09
    link.delay(0)


def test_a_link_in_slices_changes_nothing(linked):
    pusher, link, puller = linked
    link.slice(1)
    pusher.send(b"part", b"x" * 300)
    assert puller.recv() == [b"part", b"x" * 300]


def test_a_link_that_is_half_closed_tells_the_target_that_its_client_sends_no_more(faulty_link):
    with gevent.socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        link = faulty_link(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        with gevent.socket.create_connection(("127.0.0.1", int(link.endpoint.rpartition(":")[2]))) as client:
            target, _ = listener.accept()
            with target, within("the bytes"):
                client.sendall(b"there")
                assert target.recv(10) == b"there"
                link.half_close()
                assert target.recv(10) == b""
                target.sendall(b"and back")
                assert client.recv(10) == b"and back"


def test_zeromq_starts_afresh_after_a_half_close(linked):
    pusher, link, puller = linked
    link.half_close()
    puller.wait_for(zmq.EVENT_DISCONNECTED)
    pusher.wait_for(zmq.EVENT_DISCONNECTED)
    connected(pusher, puller)
    pusher.send(b"again")
    assert puller.recv() == [b"again"]


def test_a_link_to_nowhere_is_refused_and_one_to_nobody_ends_connections(faulty_link):
    for target in ("ipc:///tmp/x", "tcp://127.0.0.1:0", "nonsense"):
        with pytest.raises(SettingsError, match=r"target"):
            faulty_link(target)
    # Bound and not listening, so that nobody else gets the port.
    with gevent.socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        link = faulty_link(f"tcp://127.0.0.1:{nobody.getsockname()[1]}")
        with gevent.socket.create_connection(("127.0.0.1", int(link.endpoint.rpartition(":")[2]))) as client:
            assert client.recv(10) == b""


# Devices that do harm


def through(peer, device, count=300):
    """Send `count` numbers through; returns what came."""
    pusher, puller = peer("PUSH", device.frontend), peer("PULL", device.backend)
    connected(pusher, puller)
    for number in range(count):
        pusher.send(b"id", b"%d" % number)
    came = fence(pusher, puller)
    for one in (pusher, puller):
        one.close()
    return came


def test_a_device_without_faults_hands_everything_on(peer, faulty_device):
    device = faulty_device()
    assert numbers(through(peer, device)) == list(range(300))
    assert device.counts == FaultCounts(received=300)


def test_what_is_dropped_is_counted_and_everything_else_comes_in_order(peer, faulty_device):
    device = faulty_device(drop=0.2, seed=1)
    came = numbers(through(peer, device))
    assert 0 < device.counts.dropped < 300
    assert len(came) == 300 - device.counts.dropped
    assert came == sorted(set(came))


def test_what_is_duplicated_comes_twice(peer, faulty_device):
    device = faulty_device(duplicate=0.2)
    came = numbers(through(peer, device))
    assert came == sorted(came)
    assert set(came) == set(range(300))
    assert len(came) == 300 + device.counts.duplicated > 300


def test_what_is_corrupted_differs_in_one_byte_of_its_last_part(peer, faulty_device):
    device = faulty_device(corrupt=0.2)
    came = through(peer, device)
    wrong = [(number, parts) for number, parts in enumerate(came) if parts != [b"id", b"%d" % number]]
    assert len(came) == 300
    assert len(wrong) == device.counts.corrupted > 0
    for number, (first, last) in wrong:
        assert first == b"id"
        assert sum(one != other for one, other in zip(last, b"%d" % number, strict=True)) == 1


def test_what_is_delayed_is_late_and_in_order(peer, faulty_device):
    device = faulty_device(delay=0.1, delay_ms=1)
    assert numbers(through(peer, device)) == list(range(300))
    assert 0 < device.counts.delayed < 300


def test_a_seed_repeats_a_run_exactly_and_another_one_does_not(peer, faulty_device):
    chances = {"drop": 0.1, "duplicate": 0.1, "corrupt": 0.1, "delay": 0.05, "delay_ms": 1}
    runs = []
    for seed in (7, 7, 8):
        device = faulty_device(**chances, seed=seed)
        runs.append((through(peer, device), device.counts))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_both_ways_of_a_queue_suffer_and_each_by_itself(peer, faulty_device):
    device = faulty_device(frontend_type="ROUTER", backend_type="DEALER", corrupt=1)
    client, worker = peer("DEALER", device.frontend, routing_id=b"me"), peer("DEALER", device.backend)
    connected(client, worker)
    client.send(b"\0")
    (address, question) = worker.recv()
    assert address == b"me"
    assert question != b"\0"
    worker.send(address, b"\0")
    assert client.recv()[0] != b"\0"
    assert device.counts == FaultCounts(received=2, corrupted=2)


def test_subscriptions_pass_unharmed(peer, faulty_device):
    device = faulty_device(frontend_type="XSUB", backend_type="XPUB", drop=1)
    publisher, subscriber = peer("PUB", device.frontend), peer("SUB", device.backend)
    connected(publisher, subscriber)
    publisher.send(b"lost")
    assert fence(publisher, subscriber) == []
    assert device.counts == FaultCounts(received=1, dropped=1)


@pytest.mark.parametrize(
    "settings, error",
    [
        ({"drop": 1.5}, "drop: expected a probability from 0 to 1, got 1.5"),
        ({"delay_ms": -1}, "delay_ms: expected a number >= 0, got -1"),
        ({"frontend": "nowhere"}, "frontend: expected tcp://"),
        ({"frontend_type": "PUSH"}, "frontend_type: expected"),
    ],
)
def test_a_faulty_device_that_cannot_work_is_refused(faulty_device, settings, error):
    with pytest.raises(SettingsError) as refused:
        faulty_device(**settings)
    assert str(refused.value).startswith(error)


def test_an_address_that_is_taken_leaves_nothing_behind(peer, faulty_device):
    with pytest.raises(zmq.ZMQError, match=r"in use"):
        faulty_device(backend=peer("PULL").endpoint)


# Leftovers


def test_leftovers_are_what_came_to_life_since():
    older = zmq.green.Context()
    leftovers = Leftovers()
    context = zmq.green.Context()
    socket = context.socket(zmq.PULL)
    socket.bind("inproc://left")
    greenlet = gevent.spawn(gevent.sleep, 60)
    device = Devices()("streamer")
    described = leftovers.described()
    for expected in ("inproc://left", "Greenlet", "<Device streamer running>", "Context"):
        assert any(expected in one for one in described), (expected, described)
    leftovers.clean_up()
    assert leftovers.found() == []
    assert (socket.closed, context.closed, greenlet.dead, device.state) == (True, True, True, State.STOPPED)
    assert not older.closed
    older.term()


def test_what_pyzmq_keeps_to_free_large_bodies_is_not_left_over(peer):
    leftovers = Leftovers()
    with Peers() as peers:
        puller = peers("PULL")
        pusher = peers("PUSH", puller.endpoint)
        pusher.socket.send(b"x" * 1_000_000, copy=False)
        assert len(puller.recv()[0]) == 1_000_000
    assert leftovers.described() == []


# The plugin


def test_the_plugin_is_there_without_being_asked_for(pytester):
    pytester.makepyfile(
        """
        from geventrelay.testing import connected

        def test_it(relay_device, peer, faulty_link, faulty_device):
            device = relay_device("streamer")
            link = faulty_link(device.endpoints["frontend"][0])
            pusher, puller = peer("PUSH", link.endpoint), peer("PULL", device.endpoints["backend"][0])
            connected(pusher, puller)
            pusher.send(b"through")
            assert puller.recv() == [b"through"]
            assert faulty_device(drop=0.5, seed=3).counts.dropped == 0
        """
    )
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_whatever_a_test_leaves_is_reported_by_name_and_ended(pytester):
    pytester.makepyfile(
        """
        import gevent, zmq.green
        from geventrelay import Device, Streamer

        kept = []

        def forgetful():
            gevent.sleep(60)

        def test_greenlet(peer):
            kept.append(gevent.spawn(forgetful))

        def test_socket(peer):
            kept.append(peer.context.socket(zmq.PULL))
            kept[-1].bind("inproc://forgotten")

        def test_context(no_leftovers):
            kept.append(zmq.green.Context())

        def test_device(relay_device):
            kept.append(Device(Streamer(name="forgotten-device", frontend="inproc://a", backend="inproc://b")))
            kept[-1].start()

        def test_nothing_is_left_of_them(no_leftovers):
            pass

        def test_who_uses_no_fixture_is_left_alone():
            kept.append(zmq.green.Context())

        def test_what_was_there_before_is_nobodys_business(no_leftovers):
            assert not kept[-1].closed
            kept[-1].term()
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=7, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*the test left behind:*Greenlet*forgetful*",
            "*the test left behind:*zmq.PULL*inproc://forgotten*",
            "*the test left behind:*Context*",
            "*the test left behind:*<Device forgotten-device running>*",
        ]
    )


def test_a_peer_left_waiting_fails_the_test_with_the_message(pytester):
    pytester.makepyfile(
        """
        def test_it(peer):
            peer("PULL").recv(within_s=0.01)
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*waited 0.01 s for a message at <PULL peer bound to tcp://127.0.0.1:*"])


def test_what_the_manual_shows_of_the_plugin_runs(pytester, monkeypatch):
    monkeypatch.setenv(VARIABLE, Engine.LIBZMQ.value)
    page = (Path(__file__).resolve().parents[2] / "docs" / "testing.rst").read_text() + "\n"
    blocks = re.findall(
        r"^\.\. runs-with: pytest\n\n\.\. code-block:: python\n\n((?:(?:    .*)?\n)+)", page, flags=re.MULTILINE
    )
    assert len(blocks) == page.count("runs-with: pytest") > 0
    pytester.makepyfile(**{f"test_block_{number}": textwrap.dedent(block) for number, block in enumerate(blocks)})
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=sum(block.count("def test_") for block in blocks))


def test_all_but_the_plugin_does_without_pytest():
    program = "import sys; sys.modules['pytest'] = None; import geventrelay.testing; print(geventrelay.testing.Peers)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "Peers" in done.stdout
