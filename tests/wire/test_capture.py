"""A capture that waits: side by side with libzmq's proxy, and every way in which a wait for it can end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
import zmq
import zmq.devices
import zmq.green

import geventrelay
from geventrelay.devices import background
from geventrelay.engine.native.choose import native_module
from geventrelay.testing import LOCAL, Peer, Peers, eventually, let_run, within

READER_OF = {zmq.PUSH: zmq.PULL, zmq.PAIR: zmq.PAIR, zmq.DEALER: zmq.DEALER}
MESSAGES = [[b"%d" % number, bytes(number), b"end"] for number in range(5)]


@pytest.fixture(params=["native", "python"])
def burst(request, monkeypatch) -> str:
    """Each burst in turn."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.engine.pump.native_module", lambda: None)
    elif native_module() is None:
        pytest.skip("the native burst is not built")
    return str(request.param)


class Call:
    """Three or four sockets of a caller, and one of the functions that run with them."""

    def __init__(self, kind: str = "green") -> None:
        self.context = zmq.Context() if kind == "plain" else zmq.green.Context()
        self.sockets: list[zmq.Socket] = []
        self.greenlet: gevent.Greenlet | None = None

    def bind(self, type_: int, endpoint: str = LOCAL, **options: int) -> zmq.Socket:
        socket = self.context.socket(type_)
        self.sockets.append(socket)
        socket.linger = 0
        for name, value in options.items():
            socket.set(getattr(zmq, name.upper()), value)
        socket.bind(endpoint)
        return socket

    def run(self, function: Callable[..., int], *arguments: Any, **named: Any) -> None:
        def call() -> object:
            try:
                return function(*arguments, **named)
            except (zmq.ZMQError, gevent.Timeout, KeyboardInterrupt) as error:
                return error

        self.greenlet = gevent.spawn(call)
        let_run(2)
        assert not self.greenlet.ready(), repr(self.greenlet.value)

    def ended(self) -> Any:
        assert self.greenlet is not None
        with within("the call to end", 3):
            return self.greenlet.get()

    def close(self) -> None:
        if self.greenlet is not None:
            self.greenlet.kill()
        for socket in self.sockets:
            socket.close(0)
        gevent.get_hub().threadpool.apply(self.context.term)


@pytest.fixture
def call() -> Iterator[Call]:
    made = Call()
    yield made
    made.close()


def address(socket: zmq.Socket) -> str:
    return socket.last_endpoint.decode()


# Side by side

OURS = {"proxy": geventrelay.proxy, "steerable": geventrelay.proxy_steerable, "queue": geventrelay.monitored_queue}
THEIRS = {"proxy": zmq.proxy, "steerable": zmq.proxy_steerable, "queue": zmq.devices.monitored_queue}


def seen(function: Callable[..., int], kind: str, scenario: Callable[..., list[Any]], *types: int) -> list[Any]:
    """What the peers of a frontend, a backend and a capture have seen, where `function` joins the three."""
    made = Call(kind)
    front, back, capture = (made.bind(one) for one in types)
    end = made.close
    if function in OURS.values():
        made.run(function, front, back, capture)
    else:

        def run() -> None:
            try:
                function(front, back, capture)
            except zmq.ContextTerminated:
                for socket in made.sockets:
                    socket.close(0)

        thread = threading.Thread(target=run)
        thread.start()

        def end() -> None:
            gevent.get_hub().threadpool.apply(made.context.term)
            thread.join()

    others = Peers(limit_s=10)
    try:
        return scenario(others, *map(address, (front, back, capture)), READER_OF[types[2]])
    finally:
        others.close()
        end()


def one_way(peers: Peers, front: str, back: str, capture: str, reader: int) -> list[Any]:
    source, sink = peers.connect(zmq.PUSH, front), peers.connect(zmq.PULL, back)
    for parts in MESSAGES:
        source.send(*parts)
    let_run()
    early = sink.recv_now()
    copies = peers.connect(reader, capture)
    return [early, sink.recv_all(len(MESSAGES)), copies.recv_all(len(MESSAGES))]


def both_ways(peers: Peers, front: str, back: str, capture: str, reader: int) -> list[Any]:
    one, other = peers.connect(zmq.PAIR, front), peers.connect(zmq.PAIR, back)
    for parts in MESSAGES:
        one.send(b"there", *parts)
        other.send(b"back", *parts)
    let_run()
    early = [one.recv_now(), other.recv_now()]
    copies = peers.connect(reader, capture)
    arrived = [other.recv_all(len(MESSAGES)), one.recv_all(len(MESSAGES))]
    return [early, arrived, sorted(copies.recv_all(2 * len(MESSAGES)))]


@pytest.mark.parametrize("kind", ["green", "plain"])
@pytest.mark.parametrize("capture", READER_OF)
@pytest.mark.parametrize("name", OURS)
def test_messages_wait_for_the_reader_of_the_capture_as_with_libzmq(burst, name, capture, kind):
    types = (zmq.PULL, zmq.PUSH, capture)
    theirs = seen(THEIRS[name], "plain", one_way, *types)
    assert seen(OURS[name], kind, one_way, *types) == theirs
    prefix = [b"in"] if name == "queue" else []
    assert theirs == [[], MESSAGES, [[*prefix, *parts] for parts in MESSAGES]]


@pytest.mark.parametrize("capture", READER_OF)
def test_both_directions_wait_for_the_capture_as_with_libzmq(burst, capture):
    types = (zmq.PAIR, zmq.PAIR, capture)
    theirs = seen(zmq.proxy, "plain", both_ways, *types)
    assert seen(geventrelay.proxy, "green", both_ways, *types) == theirs
    assert len(theirs[2]) == 2 * len(MESSAGES)


# While it waits


def statistics(steering: Peer) -> list[int]:
    steering.send(b"STATISTICS")
    return [int.from_bytes(part, "little") for part in steering.recv()]


class Waiting:
    """A steerable proxy with a message in hand that waits for a capture without a peer, and two that were not read."""

    def __init__(self, call: Call, peers: Peers, capture: int, *, backend: bool = True) -> None:
        self.call = call
        self.front, self.control = call.bind(zmq.PULL), call.bind(zmq.PAIR)
        self.back, self.capture = call.bind(zmq.PUSH), call.bind(capture)
        call.run(geventrelay.proxy_steerable, self.front, self.back, self.capture, self.control)
        self.source = peers.connect(zmq.PUSH, address(self.front))
        self.sink = peers.connect(zmq.PULL, address(self.back)) if backend else None
        self.steering = peers.connect(zmq.PAIR, address(self.control))
        for number in range(3):
            self.source.send(b"%d" % number)
        eventually(lambda: self.statistics()[0] == 1, "the first message to be read")
        let_run()
        assert self.statistics()[::6] == [1, 0], "what waits for the capture was to be read alone, and not to be sent"

    def statistics(self) -> list[int]:
        return statistics(self.steering)


@pytest.fixture(params=READER_OF, ids=lambda kind: zmq.SocketType(kind).name)
def waiting(request, burst, call: Call, peers: Peers) -> Waiting:
    return Waiting(call, peers, request.param)


ENDS: dict[str, tuple[Callable[[Waiting], object], Callable[[Any], bool]]] = {
    "a kill": (lambda it: it.call.greenlet.kill(block=False), lambda value: isinstance(value, gevent.GreenletExit)),
    "a timeout": (
        lambda it: it.call.greenlet.kill(gevent.Timeout(), block=False),
        lambda value: isinstance(value, gevent.Timeout),
    ),
    "an interrupt": (
        lambda it: it.call.greenlet.kill(KeyboardInterrupt(), block=False),
        lambda value: isinstance(value, KeyboardInterrupt),
    ),
    "TERMINATE": (lambda it: it.steering.send(b"TERMINATE"), lambda value: value == 0),
    "a closed capture": (lambda it: it.capture.close(0), lambda value: value.errno == zmq.ENOTSOCK),
    "a closed frontend": (lambda it: it.front.close(0), lambda value: value.errno == zmq.ENOTSOCK),
}


@pytest.mark.parametrize("how", ENDS)
def test_each_end_ends_the_wait_and_the_message_goes_on_without_a_copy(waiting: Waiting, caplog, how):
    end, as_expected = ENDS[how]
    with caplog.at_level(logging.INFO, "geventrelay"):
        end(waiting)
        assert as_expected(waiting.call.ended())
    assert waiting.sink.recv() == [b"0"]
    assert "dropped from=frontend to=capture reason=not_ready count=1" in caplog.text
    assert "lost" not in caplog.text
    if not waiting.front.closed:
        with within("what was not read"):
            assert [waiting.front.recv() for _ in range(2)] == [b"1", b"2"]


def test_a_message_that_neither_the_capture_nor_the_backend_takes_is_told_as_lost(burst, call, peers: Peers, caplog):
    stuck = Waiting(call, peers, zmq.PUSH, backend=False)
    with caplog.at_level(logging.INFO, "geventrelay"):
        stuck.steering.send(b"TERMINATE")
        assert call.ended() == 0
    assert "dropped from=frontend to=capture reason=not_ready count=1" in caplog.text
    assert "lost socket=frontend count=1" in caplog.text


def test_terminate_gives_the_capture_a_moment_to_take_the_last_copy(waiting: Waiting, peers: Peers, caplog):
    with caplog.at_level(logging.INFO, "geventrelay"):
        waiting.steering.send(b"TERMINATE")
        eventually(lambda: "TERMINATE" in caplog.text, "the command to be followed")
        copies = peers.connect(READER_OF[waiting.capture.type], address(waiting.capture))
        assert waiting.call.ended() == 0
    # The two that were not read may have been, before the command was followed through.
    assert copies.recv() == waiting.sink.recv() == [b"0"]
    assert "lost" not in caplog.text


def test_what_waits_goes_on_when_the_proxy_is_resumed_after_a_pause(waiting: Waiting, peers: Peers):
    waiting.steering.send(b"PAUSE")
    assert waiting.statistics()[0] == 1
    copies = peers.connect(READER_OF[waiting.capture.type], address(waiting.capture))
    let_run()
    assert waiting.statistics()[0] == 1, "nothing more was to be read"
    assert copies.recv_now() == waiting.sink.recv_now() == []
    waiting.steering.send(b"RESUME")
    assert waiting.sink.recv_all(3) == copies.recv_all(3) == [[b"0"], [b"1"], [b"2"]]
    assert waiting.statistics()[::6] == [3, 3], "copies were not to be counted"


def test_the_traffic_stops_each_time_that_the_reader_is_behind_and_no_copy_is_lost(burst, call, peers: Peers):
    # Over inproc nothing but the two high-water marks says how much is full.
    front, back = call.bind(zmq.PULL, "inproc://front"), call.bind(zmq.PUSH, "inproc://back")
    capture = call.bind(zmq.PUSH, "inproc://copies", sndhwm=1)
    call.run(geventrelay.proxy, front, back, capture)
    sink, copies, source = (Peer(call.context, kind, rcvhwm=1) for kind in (zmq.PULL, zmq.PULL, zmq.PUSH))
    for one, where in ((sink, "back"), (copies, "copies"), (source, "front")):
        one.connect(f"inproc://{where}")
    sent = gevent.spawn(lambda: [source.send(b"%d" % number) for number in range(200)])
    try:
        for number in range(200):
            assert copies.recv() == [b"%d" % number]
            assert sink.recv() == [b"%d" % number]
        sent.get()
    finally:
        for one in (sink, copies, source):
            one.close()


@pytest.mark.parametrize("capture_type", READER_OF)
def test_two_directions_that_wait_for_one_capture_take_turns(burst, call, peers: Peers, capture_type):
    front, back = call.bind(zmq.PAIR), call.bind(zmq.PAIR)
    capture = call.bind(capture_type, "inproc://copies", sndhwm=1)
    copies = Peer(call.context, READER_OF[capture_type], rcvhwm=1)
    call.run(geventrelay.monitored_queue, front, back, capture, b"<", b">")
    one, other = peers.connect(zmq.PAIR, address(front)), peers.connect(zmq.PAIR, address(back))
    for number in range(500):
        one.send(b"%d" % number)
        other.send(b"%d" % number)
    copies.connect("inproc://copies")
    try:
        got = copies.recv_all(200)
        counts = [sum(parts[0] == prefix for parts in got) for prefix in (b"<", b">")]
        assert min(counts) >= 20, "neither direction was to wait for the other to have nothing left"
        got += copies.recv_all(800)
    finally:
        copies.close()
    for prefix, sink in ((b"<", other), (b">", one)):
        expected = [b"%d" % number for number in range(500)]
        assert [parts[1] for parts in got if parts[0] == prefix] == expected
        assert sink.recv_all(500) == [[one] for one in expected]


def test_a_kill_while_both_directions_wait_lets_both_messages_go_on(burst, call, peers: Peers):
    front, back, capture, control = (call.bind(kind) for kind in (zmq.PAIR, zmq.PAIR, zmq.PUSH, zmq.PAIR))
    call.run(geventrelay.proxy_steerable, front, back, capture, control)
    one, other = peers.connect(zmq.PAIR, address(front)), peers.connect(zmq.PAIR, address(back))
    steering = peers.connect(zmq.PAIR, address(control))
    one.send(b"there")
    other.send(b"back")
    eventually(lambda: statistics(steering)[::4] == [1, 1], "both messages to be read")
    call.greenlet.kill()
    assert one.recv() == [b"back"]
    assert other.recv() == [b"there"]


def test_an_xpub_that_may_not_drop_is_waited_for(burst, call, peers: Peers):
    front, back = call.bind(zmq.PAIR), call.bind(zmq.PAIR)
    capture = call.bind(zmq.XPUB, "inproc://copies", sndhwm=1, xpub_nodrop=1)
    copies = Peer(call.context, zmq.SUB, rcvhwm=1, subscribe=b"")
    copies.connect("inproc://copies")
    call.run(geventrelay.proxy, front, back, capture)
    one, other = peers.connect(zmq.PAIR, address(front)), peers.connect(zmq.PAIR, address(back))
    try:
        for number in range(10):
            one.send(b"there %d" % number)
            other.send(b"back %d" % number)
        expected = sorted([b"%s %d" % (way, number)] for way in (b"there", b"back") for number in range(10))
        assert sorted(copies.recv_all(20)) == expected
        assert sorted(other.recv_all(10) + one.recv_all(10)) == expected
    finally:
        copies.close()


# What is asked for


@pytest.mark.parametrize("name", OURS)
def test_another_answer_than_block_and_drop_is_refused(call, name):
    sockets = call.bind(zmq.PULL), call.bind(zmq.PUSH), call.bind(zmq.PUSH)
    with pytest.raises(ValueError, match=r"^capture_when_full: expected 'block' or 'drop', got 'wait'$"):
        OURS[name](*sockets, capture_when_full="wait")


CLASSES = {"ThreadProxy": {}, "ThreadProxySteerable": {"ctrl_type": zmq.PAIR}, "ThreadMonitoredQueue": {}}


@pytest.mark.parametrize("name", CLASSES)
def test_the_classes_refuse_it_too(name):
    with pytest.raises(ValueError, match="capture_when_full: expected"):
        getattr(background, name)(zmq.PULL, zmq.PUSH, zmq.PUSH, **CLASSES[name], capture_when_full="")


@pytest.mark.parametrize("policy", ["block", "drop", None])
@pytest.mark.parametrize("name", CLASSES)
def test_the_classes_wait_for_the_monitor_unless_they_may_drop(burst, call, peers: Peers, name, policy):
    options = CLASSES[name] | ({} if policy is None else {"capture_when_full": policy})
    device = getattr(background, name)(zmq.PULL, zmq.PUSH, zmq.PUSH, **options)
    device.context_factory = lambda: call.context
    ports = [getattr(device, f"bind_{side}_to_random_port")("tcp://127.0.0.1") for side in ("in", "out", "mon")]
    for side in ("in", "out", "mon"):
        getattr(device, f"setsockopt_{side}")(zmq.LINGER, 0)
    device.start()
    let_run(2)
    front, back, monitor = (f"tcp://127.0.0.1:{port}" for port in ports)
    source, sink = peers.connect(zmq.PUSH, front), peers.connect(zmq.PULL, back)
    source.send(b"one")
    if policy == "drop":
        assert sink.recv() == [b"one"]
    else:
        let_run()
        assert sink.recv_now() == []
        copies = peers.connect(zmq.PULL, monitor)
        assert copies.recv()[-1:] == sink.recv() == [b"one"]
    device.launcher.kill()


def test_the_end_of_the_context_ends_a_class_that_waits_for_its_monitor(burst, call, peers: Peers):
    device = background.ThreadProxy(zmq.PULL, zmq.PUSH, zmq.PUSH)
    device.context_factory = lambda: call.context
    port = device.bind_in_to_random_port("tcp://127.0.0.1")
    device.start()
    let_run(2)
    source = peers.connect(zmq.PUSH, f"tcp://127.0.0.1:{port}")
    source.send(b"one")
    let_run()
    with within("the context to end"):
        call.context.term()
        device.join()
    assert device.done
    assert device.launcher.exception is None


# Types that take one copy, or none


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(("capture_type", "copied"), [(zmq.REQ, 1), (zmq.REP, 0)])
def test_a_capture_whose_turn_never_comes_ends_the_call_as_with_libzmq(
    burst, call, peers: Peers, name, capture_type, copied
):
    front, back, capture = call.bind(zmq.PULL), call.bind(zmq.PUSH), call.bind(capture_type)
    call.run(OURS[name], front, back, capture)
    copies = peers.connect(zmq.REP, address(capture)) if copied else None
    source, sink = peers.connect(zmq.PUSH, address(front)), peers.connect(zmq.PULL, address(back))
    for number in range(copied + 1):
        source.send(b"%d" % number)
    assert call.ended().errno == zmq.EFSM
    # The message in hand goes on without its copy.
    assert sink.recv_all(copied + 1) == [[b"%d" % number] for number in range(copied + 1)]
    assert copies is None or copies.recv()[-1] == b"0"


@pytest.mark.parametrize("capture_type", [zmq.REQ, zmq.REP])
def test_a_capture_whose_turn_never_comes_does_not_stop_the_traffic_where_it_may_drop(
    burst, call, peers: Peers, capture_type
):
    front, back, capture = call.bind(zmq.PULL), call.bind(zmq.PUSH), call.bind(capture_type)
    call.run(geventrelay.proxy, front, back, capture, capture_when_full="drop")
    source, sink = peers.connect(zmq.PUSH, address(front)), peers.connect(zmq.PULL, address(back))
    for number in range(3):
        source.send(b"%d" % number)
    assert sink.recv_all(3) == [[b"%d" % number] for number in range(3)]


def test_a_request_as_capture_waits_for_its_peer_before_its_one_copy(burst, call, peers: Peers):
    front, back, capture = call.bind(zmq.PULL), call.bind(zmq.PUSH), call.bind(zmq.REQ)
    call.run(geventrelay.proxy, front, back, capture)
    source, sink = peers.connect(zmq.PUSH, address(front)), peers.connect(zmq.PULL, address(back))
    source.send(b"one")
    let_run()
    assert sink.recv_now() == []
    assert peers.connect(zmq.REP, address(capture)).recv() == sink.recv() == [b"one"]
