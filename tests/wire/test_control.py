"""The control socket: PAUSE, RESUME, TERMINATE and STATISTICS, on every type that it can have."""

from __future__ import annotations

import itertools
import logging
import struct
import time

import gevent
import pytest
import zmq
from support.engines import is_held_back
from support.traffic import pump

import geventrelay
from geventrelay import Custom, Device, Forwarder, Queue, Relay, State, Streamer
from geventrelay.components.control import FEATURE, MOST_PART_BYTES
from geventrelay.testing import LOCAL, Peer, Peers, eventually, let_run, within

# The type of the control socket, and of the one that talks to it.
CONTROLS = {"REP": zmq.REQ, "PAIR": zmq.PAIR, "ROUTER": zmq.DEALER, "PULL": zmq.PUSH, "SUB": zmq.XPUB}
ANSWERING = ["REP", "PAIR", "ROUTER"]

_names = itertools.count()


@pytest.fixture(params=["tcp", "ipc", "inproc"])
def endpoint(request, tmp_path):
    """Where a control socket is bound."""
    number = next(_names)
    return {
        "tcp": LOCAL,
        "ipc": f"ipc:///tmp/geventrelay-{id(request)}-{number}",
        "inproc": f"inproc://steering-{number}",
    }[request.param]


class Controller:
    """Whoever steers a device: knows what the type of its control socket answers."""

    def __init__(self, peers: Peers, device: Device, kind: str) -> None:
        (address,) = device.endpoints["control"]
        self.kind = kind
        self.device = device
        self.peer: Peer = peers.connect(CONTROLS[kind], address)
        if kind == "SUB":
            assert self.peer.recv() == [b"\x01"]

    def say(self, *parts: bytes) -> None:
        """Send something, and see that a REP answers it with nothing."""
        self.peer.send(*parts)
        if self.kind == "REP":
            assert self.peer.recv() == [b""]

    def pause(self) -> None:
        self.say(b"PAUSE")
        eventually(lambda: self.device.state is State.PAUSED, "the pause")

    def resume(self) -> None:
        self.say(b"RESUME")
        eventually(lambda: self.device.state is State.RUNNING, "the resume")

    def statistics(self) -> tuple[int, ...]:
        self.peer.send(b"STATISTICS")
        answer = self.peer.recv()
        assert [len(part) for part in answer] == [8] * 8
        return tuple(struct.unpack("=Q", part)[0] for part in answer)


class Flow:
    """Numbered tasks that go through a device without a pause, up to `window` of them under way at a time."""

    def __init__(self, peers: Peers, device: Device, window: int = 5000) -> None:
        self._window = window
        self.source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
        self.sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
        self.sent = 0
        self.got: list[int] = []
        self._greenlets = [gevent.spawn(self._send), gevent.spawn(self._receive)]

    def _send(self) -> None:
        while True:
            self.source.socket.send(b"%d" % self.sent)
            self.sent += 1
            if self.sent % 50 == 0:
                let_run(1)
            while self.sent - len(self.got) > self._window:
                let_run(1)

    def _receive(self) -> None:
        while True:
            self.got.append(int(self.sink.socket.recv()))
            if len(self.got) % 50 == 0:
                let_run(1)

    def until_more(self, count: int = 200) -> None:
        """Wait until so many more tasks have arrived."""
        enough = len(self.got) + count
        eventually(lambda: len(self.got) >= enough, f"{count} more tasks")

    def stop_sending(self) -> None:
        self._greenlets[0].kill()

    def end(self) -> None:
        gevent.killall(self._greenlets)


@pytest.fixture
def flow(peers: Peers):
    """Starts a `Flow` that ends with the test."""
    flows = []

    def start(device, **options):
        flows.append(Flow(peers, device, **options))
        return flows[-1]

    yield start
    for one in flows:
        one.end()


@pytest.fixture
def steered(peers: Peers, run):
    """Starts a device, a streamer by default, and its controller."""

    def start(kind, pattern=Streamer, control=LOCAL, **settings):
        sides = {"frontend": LOCAL, "backend": LOCAL} | settings
        device = run(pattern(control=control, control_type=kind, **sides), context=peers.context)
        return device, Controller(peers, device, kind)

    return start


@pytest.mark.parametrize("kind", CONTROLS)
def test_pause_resume_and_terminate_with_traffic_running(steered, flow, endpoint, kind):
    device, controller = steered(kind, control=endpoint)
    tasks = flow(device)
    for _ in range(3):
        tasks.until_more()
        controller.pause()
        let_run()
        read = pump(device, "frontend").received
        let_run(20)
        assert pump(device, "frontend").received == read, "a paused device was to read nothing"
        controller.resume()
    tasks.until_more()
    tasks.stop_sending()
    controller.say(b"TERMINATE")
    eventually(lambda: device.state is State.STOPPED, "the end")
    eventually(lambda: len(tasks.got) == device.snapshot().pumps[0].received, "everything that was read to arrive")
    assert tasks.got == list(range(len(tasks.got)))


@pytest.mark.parametrize("kind", ANSWERING)
def test_statistics_with_traffic_running(steered, flow, endpoint, kind):
    device, controller = steered(kind, control=endpoint)
    tasks = flow(device)
    before = (0,) * 8
    for _ in range(5):
        tasks.until_more()
        arrived = len(tasks.got)
        counts = controller.statistics()
        received, received_bytes, _, _, _, _, sent, sent_bytes = counts
        assert counts[2:6] == (0, 0, 0, 0), "nothing was sent at the frontend, and nothing received at the backend"
        assert received - 1 <= sent <= received
        assert sent_bytes <= received_bytes
        assert all(now >= then for now, then in zip(counts, before, strict=True))
        assert sent >= arrived
        before = counts


def test_statistics_count_parts_and_bytes_of_both_sides_with_routing_ids(steered, peers: Peers):
    device, controller = steered("REP", Queue)
    assert controller.statistics() == (0,) * 8
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"], routing_id=b"four")
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    client.send(b"12345", b"", b"678")
    worker.recv()
    # ROUTER: its id, the REQ's empty part, and three of content; the same goes to the DEALER.
    assert controller.statistics() == (5, 12, 0, 0, 0, 0, 5, 12)
    worker.send(b"ok")
    client.recv()
    assert controller.statistics() == (5, 12, 3, 6, 3, 6, 5, 12)


def test_the_answer_to_statistics_byte_for_byte(steered, peers: Peers):
    device, controller = steered("REP")
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    source.send(b"one")
    sink.recv()
    controller.peer.send(b"STATISTICS")
    one, three, zero = (struct.pack("=Q", number) for number in (1, 3, 0))
    assert controller.peer.recv() == [one, three, zero, zero, zero, zero, one, three]


def test_statistics_count_what_was_sent_and_not_what_was_dropped(steered, peers: Peers):
    _, controller = steered("REP", Queue, frontend="inproc://dropping-front", backend="inproc://dropping-back")
    client = peers.connect(zmq.DEALER, "inproc://dropping-front")
    worker = peers.connect(zmq.DEALER, "inproc://dropping-back")
    worker.send(b"nobody", b"reply")
    client.send(b"request")
    worker.recv()
    counts = controller.statistics()
    assert counts[2:6] == (0, 0, 2, 11)


@pytest.mark.parametrize("kind", CONTROLS)
@pytest.mark.parametrize(
    "parts",
    [
        (b"WRONG",),
        (b"pause",),
        (b"PAUSE ",),
        (b"PAUSE\0",),
        (b"",),
        (b"PAUSE", b""),
        (b"PAUSE", b"RESUME"),
        (bytes(9999),),
    ],
    ids=lambda parts: repr(parts)[:24],
)
def test_what_is_no_command_is_ignored_and_logged(steered, caplog, kind, parts):
    device, controller = steered(kind)
    with caplog.at_level(logging.WARNING, "geventrelay"):
        controller.say(*parts)
        controller.pause()
        controller.resume()
    assert caplog.text.count("not a command") == 1
    if kind in ANSWERING:
        # Nothing is left in the way: the next answer is that to the next question.
        assert controller.statistics() == (0,) * 8
    assert device.state is State.RUNNING


@pytest.mark.parametrize("kind", ["PULL", "SUB"])
def test_statistics_of_a_control_that_cannot_answer_is_logged_and_ignored(steered, caplog, kind):
    device, controller = steered(kind)
    with caplog.at_level(logging.WARNING, "geventrelay"):
        controller.say(b"STATISTICS")
        controller.pause()
    assert "this control socket cannot answer" in caplog.text
    assert device.state is State.PAUSED


@pytest.mark.parametrize("kind", ["PAIR", "ROUTER"])
def test_other_controls_than_rep_answer_nothing_but_statistics(steered, kind):
    _, controller = steered(kind)
    for command in (b"PAUSE", b"RESUME", b"WRONG"):
        controller.peer.send(command)
    assert controller.statistics() == (0,) * 8
    assert controller.peer.recv_now() == []


def test_a_router_keeps_its_controllers_apart_and_takes_a_req_too(steered, peers: Peers):
    device, controller = steered("ROUTER")
    other = peers.connect(zmq.REQ, *device.endpoints["control"])
    other.send(b"STATISTICS")
    controller.peer.send(b"STATISTICS")
    assert len(other.recv()) == 8
    assert len(controller.peer.recv()) == 8
    assert controller.peer.recv_now() == []


def test_a_controller_that_goes_before_its_answer_disturbs_nobody(steered, peers: Peers):
    device, controller = steered("ROUTER")
    for _ in range(20):
        brief = peers.connect(zmq.DEALER, *device.endpoints["control"])
        brief.send(b"STATISTICS")
        brief.close()
    assert controller.statistics() == (0,) * 8
    assert device.state is State.RUNNING


def test_a_controller_that_reads_no_answer_disturbs_nobody(steered, peers: Peers):
    device, controller = steered("ROUTER", sndhwm=1)
    deaf = peers.connect(zmq.DEALER, *device.endpoints["control"], rcvhwm=1)
    for _ in range(5000):
        deaf.send(b"STATISTICS")
    assert controller.statistics() == (0,) * 8
    assert device.state is State.RUNNING


@pytest.mark.parametrize("kind", ANSWERING)
def test_statistics_answers_while_paused(steered, flow, kind):
    device, controller = steered(kind)
    tasks = flow(device)
    tasks.until_more()
    controller.pause()
    let_run()
    counts = controller.statistics()
    assert counts[0] == pump(device, "frontend").received
    assert controller.statistics() == counts
    assert device.state is State.PAUSED


@pytest.mark.slow
@pytest.mark.parametrize("kind", ANSWERING)
def test_statistics_answers_under_a_flood(steered, flow, kind):
    # Over inproc no other thread needs a turn before the answer is there, so turns of the hub are its time.
    device, controller = steered(kind, control=f"inproc://steering-{next(_names)}")
    tasks = flow(device)
    took = []
    for _ in range(20):
        tasks.until_more()
        controller.peer.send(b"STATISTICS")
        turns = 0
        while not controller.peer.socket.readable:
            let_run(1)
            turns += 1
        assert len(controller.peer.recv()) == 8
        took.append(turns)
    assert max(took) < 20, took


@pytest.mark.slow
def test_a_flood_of_commands_leaves_time_for_everything_else(steered, flow):
    device, controller = steered("PAIR")
    tasks = flow(device)
    tasks.until_more()

    def flood():
        while True:
            for _ in range(50):
                controller.peer.socket.send(b"WRONG")
            let_run(1)

    flooding = gevent.spawn(flood)
    logging.getLogger("geventrelay").disabled = True
    try:
        longest = 0.0
        for _ in range(20):
            # The processor time of the hub's thread: others may have the processor meanwhile.
            began = time.thread_time()
            gevent.sleep(0.001)
            longest = max(longest, time.thread_time() - began)
        tasks.until_more(1000)
    finally:
        logging.getLogger("geventrelay").disabled = False
        flooding.kill()
    assert longest < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["REP", "PAIR"])
def test_a_thousand_pauses_and_resumes_under_load_lose_and_duplicate_nothing(steered, flow, kind):
    device, controller = steered(kind)
    tasks = flow(device, window=20)
    tasks.until_more()
    with within("a thousand pauses and resumes", 30):
        for _ in range(1000):
            controller.say(b"PAUSE")
            controller.say(b"RESUME")
    if kind == "PAIR":
        # All have been followed when something that comes after them is answered.
        controller.statistics()
    tasks.until_more()
    tasks.stop_sending()
    eventually(lambda: len(tasks.got) == tasks.sent, "the rest", 20)
    assert tasks.got == list(range(tasks.sent))
    assert device.snapshot().pumps[0].balanced


@pytest.mark.slow
def test_a_paused_device_uses_no_cpu_and_its_peers_feel_it(steered, peers: Peers):
    device, controller = steered("REP", frontend="inproc://paused", rcvhwm=10, sndhwm=10)
    source = peers.connect(zmq.PUSH, "inproc://paused", sndhwm=10)
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
    controller.pause()
    waiting = source.fill(b"task")
    assert waiting <= 20, "the peer was to find it full"
    began = time.process_time()
    gevent.sleep(0.5)
    used = time.process_time() - began
    assert used < 0.05, f"{used:.3f} s of CPU in 0.5 s"
    assert sink.recv_now() == []
    controller.resume()
    assert sink.recv_all(waiting) == [[b"task"]] * waiting


def test_pausing_twice_and_resuming_twice_is_once(steered, flow):
    device, controller = steered("REP")
    tasks = flow(device)
    for word in (b"PAUSE", b"PAUSE", b"RESUME", b"RESUME"):
        controller.say(word)
    tasks.until_more()
    assert device.state is State.RUNNING


@pytest.mark.parametrize("paused", [False, True])
def test_terminate_moves_what_has_come_in(steered, peers: Peers, paused):
    device, controller = steered("REP", frontend="inproc://terminated", drain_s=10)
    source = peers.connect(zmq.PUSH, "inproc://terminated")
    if paused:
        controller.pause()
    for number in range(500):
        source.send(b"%d" % number)
    endpoints = device.endpoints["backend"]
    controller.say(b"TERMINATE")
    eventually(lambda: device.state is State.STOPPING, "the drain")
    assert peers.connect(zmq.PULL, *endpoints).recv_all(500) == [[b"%d" % number] for number in range(500)]
    eventually(lambda: device.state is State.STOPPED, "the end")
    assert device.snapshot().held == 0


def test_a_second_terminate_and_other_commands_during_the_drain_do_no_harm(steered, peers: Peers):
    device, controller = steered("REP", frontend="inproc://again", drain_s=10)
    source = peers.connect(zmq.PUSH, "inproc://again")
    source.send(b"task")
    eventually(lambda: is_held_back(device), "the task to wait for a worker")
    endpoints = device.endpoints["backend"]
    for word in (b"TERMINATE", b"TERMINATE", b"PAUSE", b"RESUME"):
        controller.say(word)
    assert controller.statistics()[0] == 1
    assert peers.connect(zmq.PULL, *endpoints).recv() == [b"task"]
    eventually(lambda: device.state is State.STOPPED, "the end")


@pytest.mark.parametrize(
    "settings",
    [
        Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, control=LOCAL),
        Forwarder(frontend=LOCAL, backend=LOCAL, control=LOCAL),
        Queue(frontend=LOCAL, backend=LOCAL, control=LOCAL),
        Streamer(frontend=LOCAL, backend=LOCAL, control=LOCAL),
        Custom(frontend_type="PAIR", frontend=LOCAL, backend_type="PAIR", backend=LOCAL, control=LOCAL),
    ],
    ids=lambda settings: settings.pattern,
)
def test_every_pattern_can_be_steered(run, peers: Peers, settings):
    device = run(settings)
    controller = Controller(peers, device, "REP")
    controller.pause()
    assert controller.statistics() == (0,) * 8
    controller.resume()
    controller.say(b"TERMINATE")
    eventually(lambda: device.state is State.STOPPED, "the end")


# The same through proxy_steerable, on sockets of the caller


@pytest.mark.parametrize("kind", CONTROLS)
def test_proxy_steerable_follows_every_type_of_control(peers: Peers, caplog, kind):
    made = [peers.bind(zmq.PULL), peers.bind(zmq.PUSH), peers.bind(getattr(zmq, kind))]
    front, back, control = made
    if kind == "SUB":
        control.socket.subscribe(b"")
    source, sink = peers.connect(zmq.PUSH, front.endpoint), peers.connect(zmq.PULL, back.endpoint)
    steering = peers.connect(CONTROLS[kind], control.endpoint)
    if kind == "SUB":
        assert steering.recv() == [b"\x01"]
    running = gevent.spawn(geventrelay.proxy_steerable, front.socket, back.socket, capture=None, control=control.socket)

    def say(word):
        steering.send(word)
        if kind == "REP":
            assert steering.recv() == [b""]

    try:
        source.send(b"before")
        assert sink.recv() == [b"before"]
        say(b"PAUSE")
        say(b"WRONG")
        eventually(lambda: "not a command" in caplog.text, "both commands to be followed")
        # libzmq 4.3.5 resumes at any five bytes; nothing may come through here.
        source.send(b"meanwhile")
        if kind in ANSWERING:
            steering.send(b"STATISTICS")
            counts = [struct.unpack("=Q", part)[0] for part in steering.recv()]
            assert counts == [1, 6, 0, 0, 0, 0, 1, 6]
        let_run(20)
        assert sink.recv_now() == []
        say(b"RESUME")
        assert sink.recv() == [b"meanwhile"]
        say(b"TERMINATE")
        with within("the end"):
            assert running.get() == 0
    finally:
        running.kill()
    source.send(b"after")
    with within("a message for the caller"):
        assert front.socket.recv() == b"after"


@pytest.mark.parametrize("kind", CONTROLS)
def test_a_part_above_64_kib_ends_its_connection_and_no_other(peers: Peers, kind):
    settings = Streamer(frontend=LOCAL, backend=LOCAL, control=LOCAL, control_type=kind)
    with Device(settings, watch_peers=True) as device:
        stranger = peers.connect(CONTROLS[kind], *device.endpoints["control"])
        if kind == "SUB":
            stranger.recv()
        stranger.send(bytes(MOST_PART_BYTES + 1))
        eventually(lambda: device.peers()["control"].disconnected_total, "the stranger to be disconnected")
        # libzmq does not report why, as the docs say.
        ended = device.peers()["control"]
        assert (ended.handshake_failures, ended.cut_off) == ({}, {})
        stranger.close()
        # A PAIR takes the next peer only when it has noticed that the last one is gone, and nothing says when.
        if kind != "PAIR":
            controller = Controller(peers, device, kind)
            controller.say(bytes(MOST_PART_BYTES))
            controller.pause()


def test_only_a_control_socket_that_binds_has_a_limit_for_parts():
    (bound,) = FEATURE.sockets(Streamer(frontend=1, backend=2, control=3, rcvhwm=7))
    assert bound.options == ((zmq.RCVHWM, 7), (zmq.MAXMSGSIZE, MOST_PART_BYTES))
    (connecting,) = FEATURE.sockets(Streamer(frontend=1, backend=2, control=">3", rcvhwm=0))
    assert connecting.options == ((zmq.RCVHWM, 100),)


@pytest.mark.parametrize("kind", CONTROLS)
def test_a_message_of_very_many_parts_is_ignored(steered, caplog, kind):
    _, controller = steered(kind)
    with caplog.at_level(logging.WARNING, "geventrelay"):
        controller.say(b"PAUSE", *[b"RESUME"] * 100_000)
        controller.pause()
    assert caplog.text.count("not a command") == 1
    controller.resume()


def test_disconnect_ends_the_connection_of_one_peer_or_says_why_not(run, peers: Peers):
    ends = {"frontend": LOCAL, "backend": LOCAL, "control": LOCAL, "control_type": "REP"}
    device = run(Streamer(**ends, engine="zmtp"))
    peers.connect(zmq.PULL, *device.endpoints["backend"])
    control = peers.connect(zmq.REQ, *device.endpoints["control"])
    (peer,) = eventually(lambda: device.peers(accounts=True)["backend"].peers, "the peer")
    answers = []
    for command in (b"DISCONNECT 0", b"DISCONNECT %d" % peer.account.id, b"DISCONNECT x"):
        control.send(command)
        answers += control.recv()
    assert answers == [b"no peer has the number 0", b"", b""]
    assert device.peers()["backend"].peers == ()
    other = run(Streamer(**ends, engine="libzmq"))
    control = peers.connect(zmq.REQ, *other.endpoints["control"])
    control.send(b"DISCONNECT 1")
    assert control.recv()[0].startswith(b"engine: expected zmtp")
