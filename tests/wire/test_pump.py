"""One direction: bursts end, full outlets hold, pauses lose nothing, order stays."""

from __future__ import annotations

import gevent
import pytest
import zmq

from geventrelay import Device, Streamer
from geventrelay.engine.counters import Drop
from geventrelay.engine.outlet import Outlet
from geventrelay.engine.pump import BUDGET, Pump
from geventrelay.engine.rate import RateLimit
from geventrelay.engine.stages.senders import Senders
from geventrelay.testing import Peers, eventually, let_run, within

LOCAL = "tcp://127.0.0.1:0"


# A power of two, so that no sum is rounded.
SLOW = 2.0**-30


def once(messages: int, *, drops: bool = False) -> RateLimit:
    """So many messages, and then none for as long as a test lasts."""
    return RateLimit(messages * SLOW, drops=drops, seconds_at_once=1 / SLOW)


@pytest.fixture
def joined(peers: Peers):
    """A function that makes a pump between inproc peers: (task source, pump, worker, its greenlet's starter)."""
    greenlets = []

    def join(sndhwm: int = 0):
        source = peers.bind(zmq.PULL, "inproc://source", rcvhwm=0)
        destination = peers.bind(zmq.PUSH, "inproc://destination", sndhwm=sndhwm)
        pusher = peers.connect(zmq.PUSH, "inproc://source", sndhwm=0)
        worker = peers.connect(zmq.PULL, "inproc://destination", rcvhwm=sndhwm)
        pump = Pump("source", source.socket, [Outlet("destination", destination.socket)])

        def start():
            greenlets.append(gevent.spawn(pump.run))
            return greenlets[-1]

        return pusher, pump, worker, start

    yield join
    gevent.killall(greenlets)


@pytest.mark.parametrize(
    ("count", "message", "at_least"),
    [
        (10 * BUDGET.messages, [bytes(10)], 10),
        (5 * BUDGET.bytes // 2**20, [bytes(2**20)], 5),
        (5 * BUDGET.parts // 1000, [b""] * 1000, 5),
    ],
    ids=["messages", "bytes", "parts"],
)
def test_a_burst_ends_after_its_budget_and_lets_the_others_run(joined, count, message, at_least):
    pusher, pump, worker, start = joined()
    for _ in range(count):
        pusher.socket.send_multipart(message)
    most_between_two_turns = last = 0

    def watch():
        nonlocal most_between_two_turns, last
        while last < count:
            now = pump.snapshot().received
            most_between_two_turns = max(most_between_two_turns, now - last)
            last = now
            gevent.sleep(0)

    watcher = gevent.spawn(watch)
    start()
    eventually(watcher.ready, "everything to be moved")
    assert pump.snapshot().bursts >= at_least
    # The watcher's turn may come before or after the pump's in a turn of the hub.
    assert most_between_two_turns <= 2 * count // at_least
    assert len(worker.recv_now()) == count


def test_a_full_outlet_holds_one_message_and_goes_on_where_it_stopped(joined):
    pusher, pump, worker, start = joined(sndhwm=1)
    for number in range(50):
        pusher.send(b"%d" % number)
    start()
    let_run()
    stopped = pump.snapshot()
    assert stopped.held == 1
    assert stopped.received == stopped.outlets[0].sent + 1 < 50
    assert stopped.balanced
    let_run(20)
    assert pump.snapshot() == stopped, "with nothing happening nothing was to be tried"
    assert worker.recv_all(50) == [[b"%d" % number] for number in range(50)]
    let_run()
    assert pump.snapshot().outlets[0].sent == 50
    assert pump.drained


def test_what_a_pump_that_has_ended_holds_can_still_be_delivered(joined):
    pusher, pump, worker, start = joined(sndhwm=1)
    for number in range(20):
        pusher.send(b"%d" % number)
    pumping = start()
    let_run()
    pumping.kill()
    ended = pump.snapshot()
    full = pump.deliver()
    assert full is not None
    assert full.raw.type == zmq.PUSH
    assert pump.snapshot().held == 1
    assert worker.recv_all(ended.received - 1) == [[b"%d" % number] for number in range(ended.received - 1)]
    with within("room for what is in hand"):
        full.wait_writable()
    assert pump.deliver() is None
    assert worker.recv() == [b"%d" % (ended.received - 1)]
    assert pump.deliver() is None, "with nothing in hand nothing was to be done"
    assert pump.snapshot().received == ended.received, "nothing more was to be read"


def test_a_paused_pump_reads_nothing_and_a_resumed_one_lost_nothing(joined):
    pusher, pump, worker, start = joined()
    start()
    pusher.send(b"before")
    assert worker.recv() == [b"before"]
    pump.pause()
    for number in range(100):
        pusher.send(b"%d" % number)
    let_run(20)
    # It was waiting for the source when it was paused, and may take one burst more; not a second one.
    seen = pump.snapshot().received
    pusher.send(b"after")
    let_run(20)
    assert pump.snapshot().received == seen
    pump.resume()
    assert worker.recv_all(101) == [[b"%d" % number] for number in range(100)] + [[b"after"]]


def test_a_pump_in_a_hold_may_be_paused_and_resumed(joined):
    pusher, pump, worker, start = joined(sndhwm=1)
    for number in range(20):
        pusher.send(b"%d" % number)
    start()
    let_run()
    pump.pause()
    first = worker.recv_now()
    let_run(20)
    paused = pump.snapshot()
    assert paused.balanced
    pump.resume()
    rest = worker.recv_all(20 - len(first))
    assert first + rest == [[b"%d" % number] for number in range(20)]


@pytest.mark.parametrize("rounds", [20])
def test_pausing_and_resuming_a_device_under_traffic_loses_nothing(run, peers: Peers, rounds):
    device: Device = run(Streamer(frontend=LOCAL, backend=LOCAL, sndhwm=10, rcvhwm=10))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], sndhwm=10)
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"], rcvhwm=10)
    got = []

    def send():
        for number in range(100 * rounds):
            pusher.socket.send(b"%d" % number)

    def receive():
        while len(got) < 100 * rounds:
            got.append(int(worker.socket.recv()))

    both = [gevent.spawn(send), gevent.spawn(receive)]
    try:
        for _ in range(rounds):
            device.pause()
            device.pause()
            gevent.sleep(0.001)
            device.resume()
            device.resume()
            gevent.sleep(0.001)
        eventually(lambda: all(one.ready() for one in both), f"{100 * rounds} messages through pauses")
    finally:
        gevent.killall(both)
    assert got == list(range(100 * rounds))


def test_a_paused_device_moves_nothing_until_it_is_resumed(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    worker = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher.send(b"one")
    assert worker.recv() == [b"one"]
    device.pause()
    assert (device.state.value, device.started) == ("paused", True)
    # The burst that was under way takes this one, at the most; it is a fence for the next.
    for _ in range(3):
        pusher.send(b"more")
        let_run(20)
    seen = device.snapshot().pumps[0].received
    pusher.send(b"last")
    let_run(20)
    assert device.snapshot().pumps[0].received == seen
    device.resume()
    assert worker.recv_all(4) == [[b"more"], [b"more"], [b"more"], [b"last"]]


def test_a_pump_with_a_rate_waits_without_looking_again_and_delivers_what_is_in_hand(joined):
    pusher, pump, worker, start = joined(sndhwm=1)
    pump.set_rate(once(20))
    for number in range(50):
        pusher.send(b"%d" % number)
    start()
    assert worker.recv_all(20) == [[b"%d" % number] for number in range(20)]
    eventually(lambda: pump.snapshot().rate_waits == 1, "it to wait")
    stopped = pump.snapshot()
    assert (stopped.received, stopped.held) == (20, 0)
    let_run(20)
    assert pump.snapshot() == stopped
    assert not pump.drained


def test_a_rate_that_is_used_up_waits_for_nothing_where_nothing_comes(joined):
    pusher, pump, worker, start = joined()
    pump.set_rate(once(1))
    pusher.send(b"only")
    start()
    assert worker.recv() == [b"only"]
    let_run(20)
    assert pump.snapshot().rate_waits == 0
    assert pump.drained


def test_a_pump_that_is_paused_while_it_waits_for_its_rate_reads_nothing_before_it_is_resumed(joined):
    pusher, pump, worker, start = joined()
    pump.set_rate(RateLimit(messages_per_s=1000, seconds_at_once=0.005))
    for _ in range(30):
        pusher.send(b"x")
    start()
    eventually(lambda: pump.snapshot().rate_waits, "it to wait")
    pump.pause()
    before = pump.snapshot().received
    let_run(50)
    assert pump.snapshot().received == before
    pump.resume()
    assert len(worker.recv_all(30)) == 30


def test_what_is_over_the_rate_is_dropped_before_its_sender_s_rights_are_asked_for(joined):
    pusher, pump, _worker, start = joined()
    pump.set_rate(once(2, drops=True))
    # No handler of ZAP has said anything of these.
    pump.set_stages([Senders()])
    for _ in range(5):
        pusher.send(b"x")
    start()
    eventually(lambda: pump.snapshot().received == 5, "all to be read")
    assert pump.snapshot().outlets[0].dropped == {Drop.FORBIDDEN: 2, Drop.RATE: 3}
