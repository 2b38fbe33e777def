"""The tap: a copy of what a device moves, for as long as somebody watches, that the device never waits for."""

from __future__ import annotations

import contextlib
import itertools
import threading

import gevent
import pytest
import zmq
from support.engines import is_held_back, libzmq_only
from support.strangers import frame, stranger
from support.traffic import pump
from support.ways import WAYS

from geventrelay import Custom, Device, Forwarder, Queue, Relay, RelaySocket, SettingsError, StartError, State, Streamer
from geventrelay.components.tap import Tap
from geventrelay.engine.subscriptions import Subscription, read_latest
from geventrelay.recording.questions import RESERVED
from geventrelay.testing import LOCAL, Peers, eventually, let_run, within

PATTERNS = {
    "relay": Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, tap=LOCAL),
    "forwarder": Forwarder(frontend=LOCAL, backend=LOCAL, tap=LOCAL),
    "queue": Queue(frontend=LOCAL, backend=LOCAL, tap=LOCAL),
    "streamer": Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL),
    "custom": Custom(frontend_type="PULL", frontend=LOCAL, backend_type="PUB", backend=LOCAL, tap=LOCAL),
}

_names = itertools.count()


class Tapped:
    """Starts devices like `run`, each with a tap."""

    def __init__(self, run):
        self._run = run

    def __call__(self, settings):
        return self._run(settings, tap=LOCAL)


def tapped(device: Device) -> set[str]:
    """The keys of the sockets of which the device makes a copy now."""
    assert any(isinstance(one, Tap) for one in device._assembly.components)
    return {name.decode() for name in device._assembly.tap()._tapped}


def watcher(peers: Peers, device: Device, direction: bytes = b"", **options):
    """A SUB at the device's tap whose subscription is in force."""
    one = peers.subscriber(*device.endpoints["tap"], prefix=direction, **options)
    sources = {pump.source for pump in device.snapshot().pumps if pump.source.encode().startswith(direction)}
    eventually(lambda: tapped(device) >= sources, f"the tap of {sources}")
    return one


def passed(device: Device) -> int:
    return sum(one.received for one in device.snapshot().pumps)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_can_have_a_tap(run, pattern):
    device = run(PATTERNS[pattern])
    assert device.endpoints["tap"][0].startswith("tcp://127.0.0.1:")
    assert tapped(device) == set()


def test_without_one_there_is_none(run):
    assert "tap" not in run(Streamer(frontend=LOCAL, backend=LOCAL)).endpoints


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whole_messages_come_behind_the_name_of_the_socket_where_they_came_in(run, peers: Peers, way):
    one = way(Tapped(run), peers)
    source = one.device.snapshot().pumps[one.pump].source
    watching = watcher(peers, one.device, source.encode())
    messages = [[b"topic one", b"two", b""], [b"topic x" * 1000, b"y"], [b"topic", b"\x00\xff"]]
    for parts in messages:
        one.send(parts)
        assert one.recv() == one.arrives(parts)
    for parts in messages:
        name, *copy = watching.recv()
        assert name == source.encode()
        # A ROUTER puts a routing id in front of what it receives, and takes one from what it sends.
        assert [part for part in copy if part not in one.address][-len(parts) :] == parts
    assert watching.recv_now() == []
    assert one.device.snapshot().pumps[one.pump].balanced


def test_a_queue_shows_both_directions_as_they_came_in(run, peers: Peers):
    device = run(PATTERNS["queue"])
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"], routing_id=b"client")
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    watching = watcher(peers, device)
    client.send(b"hello")
    worker.send(*worker.recv(), b"world")
    client.recv()
    assert watching.recv() == [b"frontend", b"client", b"", b"hello"]
    assert watching.recv() == [b"backend", b"client", b"", b"hello", b"world"]


def test_a_watcher_chooses_a_direction_by_its_subscription(run, peers: Peers):
    device = run(PATTERNS["queue"])
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"], routing_id=b"client")
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    watching = watcher(peers, device, b"backend")
    assert tapped(device) == {"backend"}
    for _ in range(3):
        client.send(b"hello")
        worker.send(*worker.recv())
        client.recv()
    assert [message[0] for message in watching.recv_all(3)] == [b"backend"] * 3
    assert watching.recv_now() == []


def test_a_forwarder_shows_subscriptions_on_their_way_up(run, peers: Peers):
    device = run(PATTERNS["forwarder"])
    watching = watcher(peers, device)
    publisher = peers.make(zmq.XPUB)
    publisher.connect(*device.endpoints["frontend"])
    peers.subscriber(*device.endpoints["backend"], prefix=b"news")
    assert publisher.recv() == [b"\1news"]
    publisher.send(b"news of today", b"x")
    assert watching.recv() == [b"backend", b"\1news"]
    assert watching.recv() == [b"frontend", b"news of today", b"x"]


def test_the_copy_is_on_exactly_while_somebody_watches(run, peers: Peers):
    device = run(PATTERNS["queue"])
    first = watcher(peers, device)
    second = watcher(peers, device)
    first.close()
    third = watcher(peers, device, b"frontend")
    assert tapped(device) == {"frontend", "backend"}
    second.close()
    eventually(lambda: tapped(device) == {"frontend"}, "the end of one direction")
    third.socket.set(zmq.UNSUBSCRIBE, b"frontend")
    eventually(lambda: not tapped(device), "the end of the copy")
    third.socket.set(zmq.SUBSCRIBE, b"front")
    eventually(lambda: tapped(device) == {"frontend"}, "the copy to be made again")


def test_topics_that_no_direction_has_switch_nothing_on_and_are_not_kept(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    # Above a mark, a SUB loses subscriptions without a word.
    one = peers.subscriber(*device.endpoints["tap"], prefix=b"x", sndhwm=0)
    for number in range(2000):
        one.subscribe(b"frontend%d" % number)
    one.subscribe(b"f")
    eventually(lambda: tapped(device), "the tap")
    assert set(device._assembly.tap()._topics) == {b"f"}


def test_a_watcher_that_asks_is_answered_when_it_sees_every_message(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    for number in range(20):
        question = RESERVED + b"%d" % number
        one = peers.subscriber(*device.endpoints["tap"], prefix=b"frontend")
        one.subscribe(question)
        assert one.recv() == [question]
        source.send(b"%d" % number)
        assert one.recv() == [b"frontend", b"%d" % number]
        sink.recv()
        one.close()


def test_a_question_that_is_too_long_is_not_answered(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    one = peers.subscriber(*device.endpoints["tap"], prefix=RESERVED + b"x" * 100)
    one.subscribe(RESERVED + b"short")
    assert one.recv() == [RESERVED + b"short"]
    assert one.recv_now() == []


def test_a_watch_does_not_see_answers_to_others(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    with device.watch() as watch:
        asking = peers.subscriber(*device.endpoints["tap"], prefix=RESERVED + b"1")
        assert asking.recv() == [RESERVED + b"1"]
        assert watch.receive(0.001) == []
        assert watch.lost == 0


def test_what_is_no_subscription_is_passed_over(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    stranger = peers.connect(zmq.XSUB, *device.endpoints["tap"])
    for message in ([b""], [b"\2frontend"], [b"\1", b"frontend"], [b"\0never"], [b"x" * 8_000], [b"\1frontendx"]):
        stranger.send(*message)
    stranger.send(b"\1front")
    eventually(lambda: b"front" in device._assembly.tap()._topics, "the one that is")
    assert tapped(device)
    assert len(device._assembly.tap()._topics) <= 2


def test_a_watch_begins_while_strangers_subscribe_and_unsubscribe_without_a_pause(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    peers.connect(zmq.PULL, *device.endpoints["backend"])
    ended = threading.Event()

    def flood():
        with zmq.Context() as context, context.socket(zmq.XSUB) as stranger:
            stranger.linger, stranger.sndtimeo = 0, 100
            stranger.connect(*device.endpoints["tap"])
            number = 0
            while not ended.is_set():
                for kind in (b"\1", b"\0"):
                    with contextlib.suppress(zmq.Again):
                        stranger.send(kind + b"%d" % number)
                number += 1

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for number in range(10):
            let_run()
            with within("a watch that begins", 5), device.watch("frontend") as watch:
                source.send(b"%d" % number)
                assert [record.parts for record in watch.receive(5)] == [(b"%d" % number,)]
                assert watch.lost == 0
    finally:
        ended.set()
        thread.join()


def test_of_each_topic_the_latest_that_came_is_what_counts(peers: Peers):
    xpub = peers.context.socket(zmq.XPUB, socket_class=RelaySocket)
    try:
        xpub.bind(name := f"inproc://latest-{next(_names)}")
        watching = peers.connect(zmq.XSUB, name)
        for part in (b"\1a", b"\1b", b"\0a", b"", b"\2a", b"a message upstream", b"\1c", b"\0b", b"\1b"):
            watching.send(part)
        assert read_latest(xpub, 0) == ([], True)
        expected = [Subscription(b"a", wanted=False), Subscription(b"b", wanted=True), Subscription(b"c", wanted=True)]
        assert read_latest(xpub, 5) == (expected, False)
    finally:
        xpub.close(0)


def test_a_watcher_that_subscribes_and_cancels_without_end_is_followed_to_the_last(run, peers: Peers):
    device = run(PATTERNS["queue"])
    with stranger(*device.endpoints["tap"], b"SUB") as watching:
        watching.sendall((frame(b"\1backend") + frame(b"\0backend")) * 20_000 + frame(b"\1frontend"))
        eventually(lambda: tapped(device) == {"frontend"}, "the last of it")


@libzmq_only("it reads the options of the sockets")
def test_the_kernel_keeps_little_of_what_subscribers_send(run):
    relay = Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, tap=LOCAL, socket_options={"pub": {zmq.RCVBUF: 5000}})
    sockets = run(relay)._assembly.sockets
    assert sockets["tap"].get(zmq.RCVBUF) == 16 * 1024
    assert sockets["pub"].get(zmq.RCVBUF) == 5000
    assert sockets["sub"].get(zmq.RCVBUF) == -1


@libzmq_only("it reads the options of the sockets")
def test_few_subscriptions_wait_in_libzmq_which_reads_all_that_wait_in_one_call(run):
    sockets = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, tap=LOCAL))._assembly.sockets
    assert [sockets[key].get(zmq.RCVHWM) for key in ("tap", "pub", "sub")] == [4, 4, 10_000]
    own = {"backend": {zmq.RCVHWM: 50}}
    assert (
        run(Forwarder(frontend=LOCAL, backend=LOCAL, socket_options=own))._assembly.sockets["backend"].get(zmq.RCVHWM)
        == 50
    )
    assert run(PATTERNS["custom"])._assembly.sockets["backend"].get(zmq.RCVHWM) == 4


@pytest.mark.slow
def test_it_is_switched_off_and_on_in_a_flood(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    sent, got = 0, []

    def flood():
        nonlocal sent
        while True:
            source.socket.send(b"%d" % sent)
            sent += 1
            if sent % 20 == 0:
                let_run(1)

    def drain():
        while True:
            got.append(int(sink.socket.recv()))
            if len(got) % 20 == 0:
                let_run(1)

    greenlets = [gevent.spawn(flood), gevent.spawn(drain)]
    try:
        for _ in range(5):
            watching = watcher(peers, device)
            first = int(watching.recv()[1])
            assert [int(parts[1]) for parts in watching.recv_all(500)] == list(range(first + 1, first + 501))
            watching.close()
            eventually(lambda: not tapped(device), "the copy to end")
            before = len(got)
            eventually(lambda: len(got) > before + 500, "messages to go on")  # noqa: B023
        greenlets[0].kill()
        eventually(lambda: len(got) == sent, "every message")
    finally:
        gevent.killall(greenlets)
    assert got == list(range(sent))


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["stalls", "dies"])
def test_a_watcher_that_stalls_or_dies_in_a_flood_costs_no_message(run, peers: Peers, fate):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL, sndhwm=100, rcvhwm=100))
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    # It never reads: what its own queue, the network and the tap's queue hold is soon full.
    watching = watcher(peers, device, rcvhwm=1, rcvbuf=4096)
    body = b"x" * 2000
    count = 5000
    got = []

    def drain():
        while len(got) < count:
            got.append(sink.socket.recv_multipart())
            if len(got) % 50 == 0:
                let_run(1)

    draining = gevent.spawn(drain)
    with within("every message at the sink", 20):
        for number in range(count):
            source.socket.send_multipart([b"%d" % number, body])
            if number % 50 == 0:
                let_run(1)
            if number == count // 2 and fate == "dies":
                watching.close()
        draining.join()
    assert [int(parts[0]) for parts in got] == list(range(count))
    snapshot = pump(device, "frontend")
    assert snapshot.balanced
    assert (snapshot.received, snapshot.outlets[0].sent, dict(snapshot.outlets[0].dropped)) == (count, count, {})
    if fate == "stalls":
        assert len(watching.recv_now()) < count, "it was to lose some, and nobody else"
    else:
        eventually(lambda: not tapped(device), "the copy to end")


def test_a_watcher_that_stalls_does_not_hold_up_the_stop(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL, linger_ms=60_000))
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    watcher(peers, device, rcvhwm=1, rcvbuf=4096)
    for _ in range(200):
        source.send(b"x" * 100_000)
        sink.recv()
    with within("the device to stop"):
        device.stop()


def test_a_message_that_waits_for_its_outlet_is_shown_once(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL))
    watching = watcher(peers, device)
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    source.send(b"one")
    source.send(b"two")
    eventually(lambda: is_held_back(device), "a message to wait")
    let_run(20)
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    assert sink.recv_all(2) == [[b"one"], [b"two"]]
    assert watching.recv_all(2) == [[b"frontend", b"one"], [b"frontend", b"two"]]
    assert watching.recv_now() == []


def test_what_a_pause_holds_back_is_shown_when_it_moves(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    watching = watcher(peers, device)
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    peers.connect(zmq.PULL, *device.endpoints["backend"])
    device.pause()
    let_run()
    source.send(b"later")
    let_run(20)
    assert watching.recv_now() == []
    device.resume()
    assert watching.recv() == [b"frontend", b"later"]


def test_it_can_connect_to_somebody_who_watches_many(run, peers: Peers):
    watching = peers.bind(zmq.SUB, subscribe=b"")
    devices = [run(Streamer(frontend=LOCAL, backend=LOCAL, tap=">" + watching.endpoint)) for _ in range(2)]
    for device in devices:
        eventually(lambda one=device: tapped(one), "the subscription")
        peers.connect(zmq.PULL, *device.endpoints["backend"])
        peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"x")
    assert watching.recv_all(2) == [[b"frontend", b"x"]] * 2


def test_a_second_start_has_a_tap_again(run, peers: Peers):
    device = run(PATTERNS["streamer"])
    device.stop(0)
    device.start()
    watching = watcher(peers, device)
    peers.connect(zmq.PULL, *device.endpoints["backend"])
    peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"x")
    assert watching.recv() == [b"frontend", b"x"]


# Device.watch


@pytest.fixture(params=["with a tap", "without one"])
def streamer(request, run, peers: Peers):
    """A streamer, its source and its sink."""
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL if request.param == "with a tap" else None))
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    return device, source, peers.connect(zmq.PULL, *device.endpoints["backend"])


def all_of(watch, count):
    """The next `count` records."""
    records = []
    with within(f"{count} records"):
        while len(records) < count:
            records += watch.receive()
    assert len(records) == count
    return records


def test_a_watch_sees_what_passes_from_the_next_message_on(streamer):
    device, source, sink = streamer
    source.send(b"before")
    assert sink.recv() == [b"before"]
    with device.watch() as watch:
        for number in range(300):
            source.send(b"%d" % number, b"")
        records = all_of(watch, 300)
        assert [(one.source, one.parts) for one in records] == [
            ("frontend", (b"%d" % number, b"")) for number in range(300)
        ]
        assert [one.time_ns for one in records] == sorted(one.time_ns for one in records)
        assert watch.receive(0.001) == []
        assert watch.lost == 0
    assert watch.closed
    assert watch.receive() == []
    eventually(lambda: not tapped(device), "the copy to end")


def test_several_watches_see_the_same(streamer):
    device, source, sink = streamer
    with device.watch() as one, device.watch("frontend") as other:
        for number in range(5):
            source.send(b"%d" % number)
        seen = [[record.parts for record in all_of(watch, 5)] for watch in (one, other)]
        assert seen[0] == seen[1] == [(b"%d" % number,) for number in range(5)]
        sink.recv_all(5)


def test_a_watch_of_one_direction(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL))
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"], routing_id=b"client")
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    with device.watch("backend") as watch:
        client.send(b"hello")
        worker.send(*worker.recv())
        client.recv()
        assert [(one.source, one.parts) for one in all_of(watch, 1)] == [("backend", (b"client", b"", b"hello"))]
        assert watch.receive(0.001) == []
        assert watch.lost == 0


def test_a_watch_that_is_not_read_loses_messages_counts_them_and_delays_nobody(streamer):
    device, source, sink = streamer
    with device.watch() as watch:
        # So that it has come to rest with what was under way.
        for number in range(5000):
            source.send(b"%d" % number)
            if number % 100 == 99:
                sink.recv_all(100)
        assert passed(device) == 5000
        seen = []
        while records := watch.receive(0.001):
            seen += records
        assert watch.lost == 5000 - len(seen)
        assert 0 < len(seen) <= 1001
        assert [int(one.parts[0]) for one in seen[:500]] == list(range(500))
        # And goes on when it is read again.
        lost = watch.lost
        let_run(20)
        source.send(b"again")
        sink.recv()
        if not (records := watch.receive(0.1)):
            assert watch.lost == lost + 1
        else:
            assert records[0].parts == (b"again",)


def test_what_a_watch_hands_out_at_a_time_is_bounded(streamer):
    device, source, sink = streamer
    with device.watch() as watch:
        for _ in range(250):
            source.send(b"small")
        sink.recv_all(250)
        assert [len(watch.receive()) for _ in range(3)] == [100, 100, 50]
        for _ in range(5):
            source.send(b"x" * 200_000)
        sink.recv_all(5)
        assert [len(watch.receive()) for _ in range(3)] == [2, 2, 1]


def test_a_watch_ends_with_the_device_and_what_came_before_can_be_taken(streamer):
    device, source, sink = streamer
    watch = device.watch()
    waiting = gevent.spawn(lambda: list(iter(watch.receive, [])))
    source.send(b"one")
    sink.recv()
    let_run()
    device.stop(0)
    with within("the end of the watch"):
        assert [record.parts for records in waiting.get() for record in records] == [(b"one",)]
    assert watch.closed

    device.start()
    late = device.watch()
    assert not late.closed
    late.close()
    late.close()


def test_a_watch_that_nobody_reads_does_not_keep_a_device_from_stopping(streamer):
    device, source, sink = streamer
    watch = device.watch()
    for _ in range(3):
        source.send(b"x")
    sink.recv_all(3)
    device.stop(0)
    assert len(watch.receive()) == 3
    assert watch.receive() == []
    assert watch.lost == 0


def test_wrong_wishes_are_refused(run):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    with pytest.raises(SettingsError, match="direction: expected one of frontend, got 'backend'"):
        device.watch("backend")
    device.stop(0)
    with pytest.raises(StartError, match="cannot watch streamer: it is stopped"):
        device.watch()
    assert device.state is State.STOPPED


def test_a_watch_in_a_context_of_ones_own(run, peers: Peers):
    name = f"inproc://watched-{next(_names)}"
    device = run(Streamer(frontend=name, backend=LOCAL), context=peers.context)
    source = peers.connect(zmq.PUSH, name)
    peers.connect(zmq.PULL, *device.endpoints["backend"])
    with device.watch() as watch:
        source.send(b"x")
        assert all_of(watch, 1)[0].parts == (b"x",)
