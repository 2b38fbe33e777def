"""device, proxy, proxy_steerable and monitored_queue: pyzmq's calls, blocking the calling greenlet alone."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time

import gevent
import pytest
import zmq
import zmq.devices
import zmq.green

import geventrelay
from geventrelay import RelaySocket
from geventrelay.testing import LOCAL, Peer, Peers, eventually, let_run, within

KINDS = ["green", "plain", "relay"]


class Joined:
    """Sockets of a caller, and a greenlet of his in which one of the four functions runs."""

    def __init__(self, kind: str = "green") -> None:
        self.plain = kind == "plain"
        self.context = zmq.Context() if self.plain else zmq.green.Context()
        self._options = {"socket_class": RelaySocket} if kind == "relay" else {}
        self.sockets: list[zmq.Socket] = []
        self.greenlet: gevent.Greenlet | None = None

    def bind(self, type_: int, endpoint: str = LOCAL, **options) -> zmq.Socket:
        socket = self.context.socket(type_, **self._options)
        self.sockets.append(socket)
        socket.linger = 0
        for name, value in options.items():
            socket.set(getattr(zmq, name.upper()), value)
        socket.bind(endpoint)
        return socket

    def run(self, function, *arguments, **named) -> gevent.Greenlet:
        def call():
            try:
                return function(*arguments, **named)
            except zmq.ZMQError as error:
                return error.errno

        self.greenlet = gevent.spawn(call)
        let_run(2)
        assert not self.greenlet.ready(), f"{function} ended: {self.greenlet.value!r} {self.greenlet.exception!r}"
        return self.greenlet

    def ended(self, seconds: float = 3) -> object:
        """What the call came to."""
        with within("the call to end", seconds):
            return self.greenlet.get()

    def close(self) -> None:
        if self.greenlet is not None:
            self.greenlet.kill()
        for socket in self.sockets:
            socket.close(0)
        gevent.get_hub().threadpool.apply(self.context.term)


def address(socket: zmq.Socket) -> str:
    return socket.last_endpoint.decode()


@pytest.fixture
def joined():
    made = []

    def make(kind: str = "green") -> Joined:
        made.append(Joined(kind))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def ticks():
    """The longest time for which the hub stood still, in seconds, asked for by a call."""
    longest = 0.0

    def tick():
        nonlocal longest
        while True:
            began = time.monotonic()
            gevent.sleep(0.001)
            longest = max(longest, time.monotonic() - began)

    ticking = gevent.spawn(tick)
    yield lambda: longest
    ticking.kill()


def round_trip(client, worker, number=0):
    client.send(b"request %d" % number)
    assert worker.recv() == [b"request %d" % number]
    worker.send(b"reply %d" % number, b"")
    assert client.recv() == [b"reply %d" % number, b""]


# How they are called

CALLS = {
    "proxy": lambda f, b, m: (geventrelay.proxy, (f, b), {}),
    "proxy by name": lambda f, b, m: (geventrelay.proxy, (), {"frontend": f, "backend": b, "capture": None}),
    "proxy with capture": lambda f, b, m: (geventrelay.proxy, (f, b, m), {}),
    "steerable": lambda f, b, m: (geventrelay.proxy_steerable, (f, b, m, None), {}),
    "steerable by name": lambda f, b, m: (
        geventrelay.proxy_steerable, (), {"frontend": f, "backend": b, "capture": m, "control": None},
    ),
    "device": lambda f, b, m: (geventrelay.device, (zmq.QUEUE, f, b), {}),
    "device by name": lambda f, b, m: (
        geventrelay.device, (), {"device_type": zmq.FORWARDER, "frontend": f, "backend": b},
    ),
    "monitored_queue": lambda f, b, m: (geventrelay.monitored_queue, (f, b, m, b"i", b"o"), {}),
    "monitored_queue by name": lambda f, b, m: (
        geventrelay.monitored_queue, (),
        {"in_socket": f, "out_socket": b, "mon_socket": m, "in_prefix": b"i", "out_prefix": b"o"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
def test_requests_and_replies_pass_and_the_hub_goes_on(joined, peers: Peers, ticks, call, kind):
    ours = joined(kind)
    front, back, monitor = ours.bind(zmq.ROUTER), ours.bind(zmq.DEALER), ours.bind(zmq.PUB)
    function, arguments, named = CALLS[call](front, back, monitor)
    ours.run(function, *arguments, **named)
    client, worker = peers.connect(zmq.REQ, address(front)), peers.connect(zmq.REP, address(back))
    for number in range(20):
        round_trip(client, worker, number)
    assert ticks() < 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_that_answers_to_itself(joined, peers: Peers, kind):
    ours = joined(kind)
    only = ours.bind(zmq.ROUTER)
    ours.run(geventrelay.device, zmq.QUEUE, only, -1)
    one = peers.connect(zmq.DEALER, address(only))
    for number in range(100):
        one.send(b"%d" % number, b"")
    assert one.recv_all(100) == [[b"%d" % number, b""] for number in range(100)]


def test_the_same_socket_on_both_sides_is_the_single_socket_device(joined, peers: Peers):
    ours = joined()
    only = ours.bind(zmq.ROUTER)
    ours.run(geventrelay.proxy, only, only)
    one = peers.connect(zmq.DEALER, address(only))
    one.send(b"echo")
    assert one.recv() == [b"echo"]


def test_rep_and_req_go_in_lockstep(joined, peers: Peers):
    ours = joined()
    front, back = ours.bind(zmq.REP), ours.bind(zmq.REQ)
    ours.run(geventrelay.proxy, front, back)
    clients = [peers.connect(zmq.REQ, address(front)) for _ in range(3)]
    worker = peers.connect(zmq.REP, address(back))
    for turn in range(50):
        for client in clients:
            client.send(b"%d" % turn)
        for _ in clients:
            (request,) = worker.recv()
            worker.send(request, b"answered")
        for client in clients:
            assert client.recv() == [b"%d" % turn, b"answered"]


@pytest.mark.parametrize("swapped", [False, True])
def test_sockets_of_one_direction_go_whichever_way_round_they_are_given(joined, peers: Peers, swapped):
    ours = joined()
    pull, push = ours.bind(zmq.PULL), ours.bind(zmq.PUSH)
    ours.run(geventrelay.proxy, *((push, pull) if swapped else (pull, push)))
    source, sink = peers.connect(zmq.PUSH, address(pull)), peers.connect(zmq.PULL, address(push))
    for number in range(3000):
        source.send(b"%d" % number)
    assert sink.recv_all(3000) == [[b"%d" % number] for number in range(3000)]


def test_publishers_and_subscribers_meet_through_it(joined, peers: Peers):
    ours = joined()
    front, back = ours.bind(zmq.XSUB), ours.bind(zmq.XPUB)
    ours.run(geventrelay.device, zmq.FORWARDER, front, back)
    subscriber = peers.subscriber(address(back), prefix=b"a")
    publisher = peers.make(zmq.XPUB)
    publisher.connect(address(front))
    assert publisher.recv() == [b"\x01a"]
    publisher.send(b"b", b"not asked for")
    publisher.send(b"a", b"asked for")
    assert subscriber.recv() == [b"a", b"asked for"]


@pytest.mark.parametrize(("option", "told"), [("xpub_verbose", False), ("xpub_verboser", True)])
def test_publishers_are_told_of_the_last_subscriber_of_a_verbose_xpub_as_by_libzmqs_proxy(
    joined, peers: Peers, option, told
):
    ours = joined()
    front, back = ours.bind(zmq.XSUB), ours.bind(zmq.XPUB, **{option: 1})
    ours.run(geventrelay.proxy, front, back)
    publisher = peers.connect(zmq.XPUB, address(front))
    subscribers = [peers.connect(zmq.XSUB, address(back)) for _ in range(2)]
    for which, each in enumerate(subscribers):
        each.send(b"\x01a")
        each.send(b"\x01has-it-%d" % which)
    assert sorted(publisher.recv_all(3)) == [[b"\x01a"], [b"\x01has-it-0"], [b"\x01has-it-1"]]
    for which, each in enumerate(subscribers):
        each.send(b"\x00a")
        each.send(b"\x01gone-%d" % which)
    last = [[b"\x00a"]] if told else []
    assert sorted(publisher.recv_all(2 + len(last))) == [*last, [b"\x01gone-0"], [b"\x01gone-1"]]


def test_a_message_of_an_xsub_that_breaks_off_does_not_end_the_call(joined, peers: Peers):
    ours = joined()
    front, back = ours.bind(zmq.XSUB), ours.bind(zmq.XPUB)
    ours.run(geventrelay.proxy, front, back)
    subscriber = peers.connect(zmq.XSUB, address(back))
    publisher = peers.connect(zmq.XPUB, address(front))
    subscriber.send(b"\x01a")
    assert publisher.recv() == [b"\x01a"]
    subscriber.send(b"\x02hello", b"\x01a")
    subscriber.send(b"\x01b")
    assert publisher.recv() == [b"\x01b"]


@pytest.mark.parametrize(("one", "other"), [(zmq.PULL, zmq.PULL), (zmq.PUSH, zmq.PUB), (zmq.SUB, zmq.PULL)])
def test_two_sockets_between_which_nothing_can_go_are_refused(joined, one, other):
    ours = joined()
    with pytest.raises(zmq.ZMQError) as refused:
        geventrelay.proxy(ours.bind(one), ours.bind(other))
    assert refused.value.errno == zmq.ENOTSUP


@pytest.mark.parametrize("name", ["in_prefix", "out_prefix"])
def test_a_prefix_that_is_no_bytes_is_refused(joined, name):
    ours = joined()
    sockets = ours.bind(zmq.ROUTER), ours.bind(zmq.DEALER), ours.bind(zmq.PUB)
    with pytest.raises(TypeError, match=f"{name}: expected bytes, got 'in'"):
        geventrelay.monitored_queue(*sockets, **{name: "in"})


def test_a_socket_that_is_closed_already_is_refused_and_the_others_are_left_alone(joined, peers: Peers):
    ours = joined()
    front, back = ours.bind(zmq.PULL), ours.bind(zmq.PUSH)
    back.close(0)
    with pytest.raises(zmq.ZMQError) as refused:
        geventrelay.proxy(front, back)
    assert refused.value.errno == zmq.ENOTSOCK
    peers.connect(zmq.PUSH, address(front)).send(b"still here")
    with within("a message"):
        assert front.recv() == b"still here"


# Copies

PARTS = [[b"one"], [b"", b"two", b""], [b"x" * 70_000, b"", b"y"], [b"%d" % n for n in range(20)]]


@pytest.mark.parametrize("kind", ["green", "plain"])
def test_a_capture_gets_every_part_of_both_directions(joined, peers: Peers, kind):
    ours = joined(kind)
    front, back, capture = ours.bind(zmq.PAIR), ours.bind(zmq.PAIR), ours.bind(zmq.PUSH)
    ours.run(geventrelay.proxy, front, back, capture)
    one, other = peers.connect(zmq.PAIR, address(front)), peers.connect(zmq.PAIR, address(back))
    copies = peers.connect(zmq.PULL, address(capture))
    for parts in PARTS:
        one.send(*parts)
        assert other.recv() == parts
        assert copies.recv() == parts
        other.send(b"back", *parts)
        assert one.recv() == [b"back", *parts]
        assert copies.recv() == [b"back", *parts]


@pytest.mark.parametrize("capture_type", [zmq.PUSH, zmq.PAIR, zmq.DEALER, zmq.PUB])
@pytest.mark.parametrize("reader", ["nobody", "somebody who does not read"])
def test_a_capture_that_drops_holds_nothing_up(joined, peers: Peers, caplog, capture_type, reader):
    ours = joined()
    front, back = ours.bind(zmq.PULL), ours.bind(zmq.PUSH)
    capture = ours.bind(capture_type, sndhwm=1, sndbuf=4096)
    if reader != "nobody":
        kinds = {zmq.PUSH: zmq.PULL, zmq.PUB: zmq.SUB}
        options = {"subscribe": b""} if capture_type == zmq.PUB else {}
        peers.connect(kinds.get(capture_type, capture_type), address(capture), rcvhwm=1, rcvbuf=4096, **options)
    ours.run(geventrelay.proxy, front, back, capture, capture_when_full="drop")
    source, sink = peers.connect(zmq.PUSH, address(front)), peers.connect(zmq.PULL, address(back))
    for number in range(500):
        source.send(b"%d" % number, bytes(10_000))
        assert sink.recv()[0] == b"%d" % number
    with caplog.at_level(logging.INFO, "geventrelay"):
        ours.greenlet.kill()
    if capture_type != zmq.PUB:
        assert "dropped from=frontend to=capture reason=not_ready" in caplog.text, "the lost copies were to be counted"


def test_a_slow_capture_gets_whole_messages_or_none(joined, peers: Peers):
    ours = joined()
    front, back, capture = ours.bind(zmq.PULL), ours.bind(zmq.PUSH), ours.bind(zmq.PUSH, sndhwm=2, sndbuf=4096)
    ours.run(geventrelay.monitored_queue, front, back, capture, capture_when_full="drop")
    source, sink = peers.connect(zmq.PUSH, address(front)), peers.connect(zmq.PULL, address(back))
    copies = peers.connect(zmq.PULL, address(capture), rcvhwm=1, rcvbuf=4096)
    for number in range(300):
        source.send(b"%d" % number, bytes(5_000), b"end")
        assert sink.recv()[0] == b"%d" % number
    source.send(b"fence")
    assert sink.recv() == [b"fence"]
    # What was dropped is dropped for good; what is queued now comes, and then the next one for which there is room.
    seen = []
    while not seen or seen[-1] < 300:
        while not copies.socket.readable:
            source.send(b"300", b"", b"end")
            sink.recv()
            let_run(1)
        parts = copies.recv()
        if parts != [b"in", b"fence"]:
            prefix, number, _, end = parts
            assert (prefix, end) == (b"in", b"end")
            seen.append(int(number))
    assert seen == sorted(seen)


def test_the_copy_is_there_when_the_message_is(joined, peers: Peers):
    ours = joined()
    front, back, capture = ours.bind(zmq.PULL), ours.bind(zmq.PUSH), ours.bind(zmq.PUSH, "inproc://copies")
    copies = ours.context.socket(zmq.PULL)
    ours.sockets.append(copies)
    copies.connect("inproc://copies")
    ours.run(geventrelay.proxy, front, back, capture)
    source, sink = peers.connect(zmq.PUSH, address(front)), peers.connect(zmq.PULL, address(back))
    for number in range(200):
        source.send(b"%d" % number)
        sink.recv()
        assert copies.recv(zmq.NOBLOCK) == b"%d" % number


# monitored_queue, held against pyzmq's own, which runs in a thread


def monitored(function, types, exchange):
    """What the monitor of a monitored_queue says of an exchange, and what the two ends got."""
    context = zmq.Context()
    front, back, monitor = (context.socket(kind) for kind in (*types, zmq.PAIR))
    for socket in (front, back, monitor):
        socket.linger = 0
        socket.bind(LOCAL)
    if function is geventrelay.monitored_queue:
        running = gevent.spawn(function, front, back, monitor, b"<", b">")
        end = running.kill
    else:

        def run():
            try:
                function(front, back, monitor, b"<", b">")
            except zmq.ZMQError:
                for socket in (front, back, monitor):
                    socket.close(0)

        running = threading.Thread(target=run)
        running.start()
        end = None
    others = Peers()
    try:
        one = others.connect(zmq.DEALER, address(front), routing_id=b"one")
        other = others.connect(zmq.DEALER, address(back), routing_id=b"other")
        copies = others.connect(zmq.PAIR, address(monitor))
        return exchange(one, other, copies)
    finally:
        others.close()
        if end is not None:
            end()
            for socket in (front, back, monitor):
                socket.close(0)
        gevent.get_hub().threadpool.apply(context.term)
        if end is None:
            running.join()


def by_router_and_dealer(one, other, copies):
    said = []
    for parts in PARTS:
        one.send(*parts)
        said += [other.recv(), copies.recv()]
        other.send(b"one", *parts)
        said += [one.recv(), copies.recv()]
    return said


def by_two_routers(one, other, copies):
    said = []
    # A ROUTER knows whom it has heard of; what goes to somebody else is dropped, and copied all the same.
    one.send(b"nobody", b"hello")
    other.send(b"nobody", b"hello")
    said += sorted([copies.recv(), copies.recv()])
    for parts in PARTS:
        one.send(b"other", *parts)
        said += [other.recv(), copies.recv()]
        other.send(b"one", *parts)
        said += [one.recv(), copies.recv()]
    return said


@pytest.mark.parametrize(
    ("types", "exchange"),
    [((zmq.ROUTER, zmq.DEALER), by_router_and_dealer), ((zmq.ROUTER, zmq.ROUTER), by_two_routers)],
    ids=["ROUTER and DEALER", "ROUTER and ROUTER"],
)
def test_a_monitored_queue_does_what_pyzmqs_does(types, exchange):
    ours, theirs = (
        monitored(function, types, exchange) for function in (geventrelay.monitored_queue, zmq.devices.monitored_queue)
    )
    assert ours == theirs
    assert ours


def test_the_frames_of_a_monitored_queue(joined, peers: Peers):
    ours = joined()
    front, back, monitor = ours.bind(zmq.ROUTER), ours.bind(zmq.DEALER), ours.bind(zmq.PAIR)
    ours.run(geventrelay.monitored_queue, front, back, monitor)
    client = peers.connect(zmq.REQ, address(front), routing_id=b"me")
    worker, copies = peers.connect(zmq.REP, address(back)), peers.connect(zmq.PAIR, address(monitor))
    client.send(b"hi")
    assert worker.recv() == [b"hi"]
    assert copies.recv() == [b"in", b"me", b"", b"hi"]
    worker.send(b"ho")
    assert client.recv() == [b"ho"]
    assert copies.recv() == [b"out", b"me", b"", b"ho"]


# How they end


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["frontend", "backend", "capture", "control"])
def test_a_socket_that_is_closed_ends_it(joined, kind, which):
    ours = joined(kind)
    sockets = {
        "frontend": ours.bind(zmq.PULL), "backend": ours.bind(zmq.PUSH),
        "capture": ours.bind(zmq.PUB), "control": ours.bind(zmq.PAIR),
    }  # fmt: skip
    ours.run(geventrelay.proxy_steerable, **sockets)
    sockets[which].close(0)
    assert ours.ended() == zmq.ENOTSOCK
    assert [socket.closed for socket in sockets.values()].count(True) == 1, "the others were to stay the caller's"


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_that_is_terminated_in_another_thread_ends_it(joined, kind):
    ours = joined(kind)
    front, back = ours.bind(zmq.ROUTER), ours.bind(zmq.DEALER)
    ours.run(geventrelay.proxy, front, back)
    thread = threading.Thread(target=ours.context.term)
    thread.start()
    try:
        assert ours.ended() == zmq.ETERM
    finally:
        for socket in ours.sockets:
            socket.close(0)
        thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_kill_the_sockets_are_as_usable_as_before(joined, peers: Peers, kind):
    ours = joined(kind)
    front, back = ours.bind(zmq.ROUTER), ours.bind(zmq.DEALER)
    client, worker = peers.connect(zmq.REQ, address(front)), peers.connect(zmq.REP, address(back))
    for number in range(5):
        ours.run(geventrelay.proxy, front, back)
        round_trip(client, worker, number)
        ours.greenlet.kill()
    # By hand now. A plain socket's recv blocks, so let there be something.
    client.send(b"by hand")
    with within("the request"):
        while not front.get(zmq.EVENTS) & zmq.POLLIN:
            gevent.sleep(0.001)
        back.send_multipart(front.recv_multipart())
    assert worker.recv() == [b"by hand"]
    worker.send(b"reply")
    with within("the reply"):
        while not back.get(zmq.EVENTS) & zmq.POLLIN:
            gevent.sleep(0.001)
        front.send_multipart(back.recv_multipart())
    assert client.recv() == [b"reply"]


def test_a_timeout_of_the_caller_ends_it_too(joined, peers: Peers):
    ours = joined()
    front, back = ours.bind(zmq.ROUTER), ours.bind(zmq.DEALER)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        geventrelay.proxy(front, back)
    ours.run(geventrelay.proxy, front, back)
    round_trip(peers.connect(zmq.REQ, address(front)), peers.connect(zmq.REP, address(back)))


def test_many_ends_leave_no_descriptor_and_no_greenlet(joined):
    ours = joined()
    front, back = ours.bind(zmq.ROUTER), ours.bind(zmq.DEALER)

    def once():
        ours.run(geventrelay.proxy, front, back)
        ours.greenlet.kill()

    once()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(50):
        once()
    after = len(os.listdir("/proc/self/fd")) if before else 0
    # Threads of libzmq that end, and garbage, may have closed some of others meanwhile.
    assert after - before < 25
    assert not [one for one in gc.get_objects() if type(one) is gevent.Greenlet and not one.dead]


@pytest.fixture
def stuck(joined, peers: Peers):
    """A steerable proxy whose backend is full: two messages are queued, one is in hand, and seven wait."""
    ours = joined()
    front, control = ours.bind(zmq.PULL, "inproc://stuck-front"), ours.bind(zmq.PAIR)
    # Over inproc nothing but the two high-water marks says how much is full; over tcp, buffers on the way say so later.
    back = ours.bind(zmq.PUSH, "inproc://stuck-back", sndhwm=1)
    ours.run(geventrelay.proxy_steerable, front, back, None, control)
    sink = Peer(ours.context, zmq.PULL, rcvhwm=1)
    sink.connect("inproc://stuck-back")
    source = ours.context.socket(zmq.PUSH)
    ours.sockets.append(source)
    source.linger = 0
    source.connect("inproc://stuck-front")
    for number in range(10):
        source.send(b"%d" % number)
    steering = peers.connect(zmq.PAIR, address(control))
    eventually(lambda: statistics(steering)[::6] == [3, 2], "the third message to be in hand")
    yield ours, front, sink, steering
    sink.close()


def statistics(steering) -> list[int]:
    steering.send(b"STATISTICS")
    return [int.from_bytes(part, "little") for part in steering.recv()]


def test_terminate_while_the_backend_is_full_waits_for_what_is_in_hand(stuck, caplog):
    ours, front, sink, steering = stuck
    with caplog.at_level(logging.INFO, "geventrelay"):
        steering.send(b"TERMINATE")
        # Before room is made, for until then it may read on.
        eventually(lambda: "TERMINATE" in caplog.text, "the command to be followed")
    let_run()
    assert not ours.greenlet.ready()
    assert sink.recv_all(3) == [[b"0"], [b"1"], [b"2"]]
    assert ours.ended() == 0
    # What was not read is still the caller's.
    assert [front.recv(zmq.NOBLOCK) for _ in range(7)] == [b"%d" % number for number in range(3, 10)]
    assert sink.recv_now() == [], "nothing was to come twice"


def test_terminate_while_the_backend_is_full_for_good_is_bounded_and_tells_of_the_loss(stuck, caplog):
    ours, _front, _sink, steering = stuck
    with caplog.at_level(logging.WARNING, "geventrelay"):
        steering.send(b"TERMINATE")
        assert ours.ended() == 0
    assert "lost socket=frontend count=1" in caplog.text


def test_a_kill_while_the_backend_is_full_is_prompt_and_tells_of_the_loss(stuck, caplog):
    ours, *_ = stuck
    with caplog.at_level(logging.WARNING, "geventrelay"):
        ours.greenlet.kill(block=False)
        let_run()
        assert ours.greenlet.dead
    assert "lost socket=frontend count=1" in caplog.text


def test_traffic_both_ways_loses_nothing_and_the_hub_goes_on(joined, peers: Peers, ticks):
    ours = joined("plain")
    front, back = ours.bind(zmq.PAIR), ours.bind(zmq.PAIR)
    ours.run(geventrelay.proxy, front, back)
    one, other = peers.connect(zmq.PAIR, address(front)), peers.connect(zmq.PAIR, address(back))
    count = 10_000

    # These step back by timers: gevent runs 50 callbacks, on libuv 100, before it looks at the timers of the ticks.
    def send(peer):
        for number in range(count):
            peer.socket.send(b"%d" % number)
            if number % 100 == 0:
                let_run(1)

    def receive(peer):
        got = []
        while len(got) < count:
            got.append(int(peer.socket.recv()))
            if len(got) % 100 == 0:
                let_run(1)
        return got

    jobs = [gevent.spawn(work, peer) for work in (send, receive) for peer in (one, other)]
    with within("the traffic", 30):
        gevent.joinall(jobs, raise_error=True)
    assert [job.value for job in jobs[2:]] == [list(range(count))] * 2
    assert ticks() < 3


def test_a_plain_socket_whose_descriptor_is_taken_by_another_does_not_disturb_that_one(joined, peers: Peers):
    ours, others = joined("plain"), joined()
    front, back = ours.bind(zmq.PULL), ours.bind(zmq.PUSH)
    ours.run(geventrelay.proxy, front, back)
    front.close(0)
    # Within the time that the proxy takes to notice, sockets are made that get the numbers just set free.
    new_front, new_back = others.bind(zmq.PULL), others.bind(zmq.PUSH)
    others.run(geventrelay.proxy, new_front, new_back)
    source, sink = peers.connect(zmq.PUSH, address(new_front)), peers.connect(zmq.PULL, address(new_back))
    assert ours.ended() == zmq.ENOTSOCK
    source.send(b"one")
    assert sink.recv() == [b"one"]
