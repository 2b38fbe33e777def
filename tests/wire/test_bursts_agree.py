"""The native burst and the Python one do the same: each is driven with the same traffic, and everything compared.

All sockets of a rig are in one context and on inproc, where a message arrives before the sending call returns:
what a burst does depends on the traffic alone. Two things of libzmq's are timed, and kept out by reading EVENTS
before each run, as the pump does: a send looks for news from its peers once in about a millisecond only.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import zmq
import zmq.green
from hypothesis import given, settings
from hypothesis import strategies as st

from geventrelay.engine.burst import CLOCK_INTERVAL_PARTS, Budget, Status
from geventrelay.engine.burst_python import PythonBurst
from geventrelay.engine.counters import Drop
from geventrelay.engine.gate import Gate
from geventrelay.engine.outlet import Outlet, Payload, WhenFull
from geventrelay.engine.socket import RelaySocket

native = pytest.importorskip(
    "geventrelay.engine.native.burst",
    reason="the native burst is not built: only the Python one is there to test",
    # One that was built and does not load fails here.
    exc_type=ModuleNotFoundError,
)

BURSTS = (PythonBurst, native.NativeBurst)
PLENTY = Budget(messages=1000, bytes=1 << 40, parts=1 << 40, time_s=math.inf, skip_s=0)

# The type of an outlet's socket, and of the one at its other end.
PEER_OF: dict[int, int] = {
    zmq.PUSH: zmq.PULL,
    zmq.DEALER: zmq.DEALER,
    zmq.PAIR: zmq.PAIR,
    zmq.PUB: zmq.SUB,
    zmq.XPUB: zmq.SUB,
    zmq.XSUB: zmq.XPUB,
    zmq.ROUTER: zmq.DEALER,
    zmq.REQ: zmq.ROUTER,
}
# The type of a source, and of the socket that feeds it. A REP is read once only: it then waits to be written.
FEEDER_OF: dict[int, int] = {zmq.PULL: zmq.PUSH, zmq.ROUTER: zmq.DEALER, zmq.REP: zmq.DEALER, zmq.XPUB: zmq.XSUB}
KNOWN_ID = b"known"
# What stands before a space and is a topic, or is none.
TOPICS = [
    text + b" payload"
    for text in (
        b'{"a":', b"[1,", b'"', b"x" * 255, b"x" * 256, b"tab\t", b"\x7f", b"\x80", b"\xc1\xbf", b"\xc2\x85",
        b"\xc2\xa0",
        b"\xe0\x9f\xbf",        b"\xe0\xa0\x80", b"\xed\x9f\xbf", b"\xed\xa0\x80", b"\xef\xbf\xbf",
        b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",        b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xc3", b"\xff",
    )
]  # fmt: skip


@dataclass(frozen=True)
class Peers:
    """As many peers as a test says."""

    count: int

    def now(self) -> int:
        return self.count


@dataclass(frozen=True)
class Destination:
    """An outlet as a test wants it."""

    socket_type: int = zmq.PUSH
    when_full: WhenFull = WhenFull.BLOCK
    payload: Payload = Payload.WHOLE
    prefix: bytes | None = None
    hwm: int = 1000
    peers: int | None = None
    connected: bool = True
    repeated: bool = False
    permits: int | None = None
    of_requests: bool = False
    otherwise: Destination | None = None


@dataclass
class Rig:
    """One burst with everything around it: a feeder in front, a reader behind each outlet.

    The readers behind other places of outlets come after the tap's.
    """

    context: Any
    burst: Any
    feeder: Any
    source: Any
    outlets: list[Outlet]
    readers: list[Any]
    tap: Outlet | None
    gates: list[Gate] = field(default_factory=list)
    # How often an outlet has told that it dropped messages; in one run, the one in Python does for each message.
    dropped: int = 0
    # What was seen of it, in order.
    log: list[Any] = field(default_factory=list)

    def feed(self, messages: list[list[bytes]]) -> None:
        self.feeder.get(zmq.EVENTS)
        for parts in messages:
            envelope = [b""] if self.source.type == zmq.REP else []
            self.feeder.send_multipart(envelope + parts, zmq.DONTWAIT)

    def run(self, budget: Budget) -> Status | None:
        self._read_events()
        status, errno = None, None
        try:
            status = self.burst.run(budget)
        except zmq.ZMQError as error:
            errno = (type(error), error.errno)
        counters = dataclasses.asdict(self.burst.counters)
        self.log.append((status, errno, self.burst.waiting_for, counters, self.burst.emptied))
        if self.gates:
            self.log.append(("permits", [gate.permits for gate in self.gates], self.dropped > 0))
        self.dropped = 0
        assert self._balanced()
        return status

    def read(self, index: int, messages: int) -> None:
        reader = self.readers[index]
        for _ in range(messages):
            try:
                self.log.append((index, reader.recv_multipart(zmq.DONTWAIT)))
            except zmq.Again:
                self.log.append((index, None))
                return

    def set_tap(self, on: bool) -> None:
        self.burst.set_tap(self.tap if on else None)

    def set_max_parts(self, most: int) -> None:
        self.burst.max_parts = most

    def add_permits(self, index: int, count: int) -> None:
        if self.gates:
            self.gates[index % len(self.gates)].add(count)

    def note_dropped(self) -> None:
        self.dropped += 1

    def finish(self) -> None:
        self.burst.finish()

    def pass_over(self) -> None:
        if self.burst.waiting_for is not None:
            self.burst.pass_over()
            self.log.append(("passed over", None, self.burst.waiting_for, dataclasses.asdict(self.burst.counters)))
            assert self._balanced()

    def drain(self) -> None:
        """Run and read in turn until there is nothing left that can move."""
        for _ in range(500):
            before = dataclasses.asdict(self.burst.counters) | {"bursts": 0}
            for index in range(len(self.readers)):
                self.read(index, 1000)
            status = self.run(PLENTY)
            after = dataclasses.asdict(self.burst.counters) | {"bursts": 0}
            if before == after and status is not Status.BUDGET_SPENT:
                return
        raise AssertionError("the rig never comes to rest")

    def connect(self, index: int) -> None:
        self.readers[index].connect(f"inproc://outlet-{index}")

    def _read_events(self) -> None:
        taps = [] if self.tap is None else [self.tap]
        others = [outlet.otherwise for outlet in self.outlets if outlet.otherwise is not None]
        outlets = (outlet.socket.raw for outlet in [*self.outlets, *taps, *others])
        for socket in (self.feeder, self.source, *self.readers, *outlets):
            if not socket.closed:
                zmq.Socket.get(socket, zmq.EVENTS)

    def _balanced(self) -> bool:
        counters, waiting_for = self.burst.counters, self.burst.waiting_for
        return all(
            counters.received
            == count.sent
            + count.elsewhere
            + sum(count.dropped.values())
            + int(waiting_for is not None and index >= waiting_for)
            for index, count in enumerate(counters.outlets)
        )


@contextmanager
def rig(
    make_burst: Callable[..., Any], source_type: int, *destinations: Destination, tap: Destination | None = None
) -> Iterator[Rig]:
    """A rig with these destinations; a `tap` is the last of the readers, and on only when `Rig.set_tap` says so."""
    context = zmq.green.Context(io_threads=0)
    sockets = []

    def socket(socket_type: int, socket_class: type = zmq.Socket, hwm: int = 1000) -> Any:
        made = context.socket(socket_type, socket_class=socket_class)
        made.linger, made.sndhwm, made.rcvhwm = 0, hwm, hwm
        made.setsockopt(zmq.ROUTING_ID, KNOWN_ID)
        sockets.append(made)
        return made

    def reader(destination: Destination) -> Any:
        made = socket(PEER_OF[destination.socket_type], hwm=destination.hwm)
        if destination.socket_type in (zmq.PUB, zmq.XPUB):
            made.subscribe(b"")
        if destination.socket_type == zmq.XSUB:
            made.xpub_verbose = True
        return made

    def outlet(index: int, destination: Destination, otherwise: Outlet | None = None) -> Outlet:
        made = socket(destination.socket_type, RelaySocket, destination.hwm)
        if destination.socket_type == zmq.ROUTER:
            made.router_mandatory = 1
        if destination.socket_type == zmq.XPUB:
            made.setsockopt(zmq.XPUB_NODROP, 1)
        made.bind(f"inproc://outlet-{index}")
        peers: Any = None if destination.peers is None else Peers(destination.peers)
        return Outlet(
            str(index),
            made,
            when_full=destination.when_full,
            payload=destination.payload,
            prefix=destination.prefix,
            repeated=destination.repeated,
            peers=peers,
            gate=gate_of(destination),
            otherwise=otherwise,
            on_dropped=None if destination is tap else lambda: made_rig[0].note_dropped(),
        )

    gates: list[Gate] = []
    made_rig: list[Rig] = []

    def gate_of(destination: Destination) -> Gate | None:
        if destination.permits is None:
            return None
        gates.append(Gate(destination.permits, of_requests=destination.of_requests))
        return gates[-1]

    try:
        source, feeder = socket(source_type, RelaySocket), socket(FEEDER_OF[source_type])
        source.bind("inproc://source")
        feeder.connect("inproc://source")
        ends = [*destinations, *([] if tap is None else [tap])]
        outlets = []
        for index, destination in enumerate(destinations):
            other = None
            if destination.otherwise is not None:
                other = outlet(len(ends), destination.otherwise)
                ends.append(destination.otherwise)
            outlets.append(outlet(index, destination, other))
        tap_outlet = None if tap is None else outlet(len(outlets), tap)
        readers = [reader(destination) for destination in ends]
        burst = make_burst(source.readiness, outlets)
        made = Rig(context, burst, feeder, source, outlets, readers, tap_outlet, gates)
        made_rig.append(made)
        for index, destination in enumerate(ends):
            if destination.connected:
                made.connect(index)
        yield made
    finally:
        for open_socket in sockets:
            open_socket.close()
        context.term()


def assert_both_do_the_same(
    script: Callable[[Rig], None],
    *destinations: Destination,
    source_type: int = zmq.PULL,
    tap: Destination | None = None,
) -> list[Any]:
    """Put each burst through `script`; return what both of them did."""
    logs = []
    for make_burst in BURSTS:
        with rig(make_burst, source_type, *destinations, tap=tap) as made:
            script(made)
            logs.append(made.log)
    python, native = logs
    assert native == python
    return python


# Generated traffic --------------------------------------------------------------------------------------------

# 33 and 34 bytes: the last size that libzmq keeps inside a zmq_msg_t, and the first that it does not. 8192
# and what is around it: where the native burst begins to share the body of a payload. No 65536 and more: from there
# on pyzmq shares bytes, which takes a thread and a context of its own, and these are never closed.
SIZES = (0, 1, 29, 33, 34, 8191, 8192, 8193, 8198, 60_000)

PARTS = st.one_of(
    st.sampled_from([KNOWN_ID, b"stranger", b"", b" ", b"topic payload", b"a b c", b" leading", b"trailing ", *TOPICS]),
    st.builds(lambda head, size: head + b"x" * size, st.sampled_from([b"", b"topic "]), st.sampled_from(SIZES)),
    st.binary(max_size=40),
    # To an XPUB the last three are subscriptions.
    st.sampled_from([b"\2hello", b"\1A", b"\0A", b"\1B"]),
)

MESSAGES = st.one_of(PARTS.map(lambda part: [part]), st.lists(PARTS, min_size=1, max_size=12))

# A run ends at the message with which a limit is reached: most limits are what messages add up to.
LIMITS = st.one_of(st.just(1 << 40), st.sampled_from([0, 1, 5, 9, 13, 18, 5000]))
BUDGETS = st.builds(
    Budget,
    messages=st.integers(0, 6),
    bytes=LIMITS,
    parts=st.one_of(st.just(1 << 40), st.integers(0, 12)),
    # A time in between would depend on the machine.
    time_s=st.sampled_from([math.inf, math.inf, 0]),
    skip_s=st.sampled_from([math.inf, 0]),
)

STEPS = st.one_of(
    st.tuples(st.just("feed"), st.lists(MESSAGES, min_size=1, max_size=4)),
    st.tuples(st.just("run"), BUDGETS),
    st.tuples(st.just("read"), st.integers(0, 4), st.integers(1, 5)),
    st.tuples(st.just("add_permits"), st.integers(0, 3), st.integers(-1, 5)),
    st.tuples(st.just("set_tap"), st.booleans()),
    st.tuples(st.just("set_max_parts"), st.sampled_from([0, 1, 2, 5])),
    st.tuples(st.just("finish")),
    st.tuples(st.just("pass_over")),
)

PLAIN_DESTINATIONS = st.builds(
    Destination,
    socket_type=st.sampled_from(sorted(PEER_OF)),
    when_full=st.sampled_from(WhenFull),
    payload=st.sampled_from(Payload),
    prefix=st.sampled_from([None, None, b"", b"in", b"x" * 40]),
    hwm=st.integers(1, 3),
    peers=st.sampled_from([None, 0, 1]),
    connected=st.sampled_from([True, True, True, False]),
    repeated=st.booleans(),
    permits=st.sampled_from([None, None, 0, 2]),
    of_requests=st.booleans(),
)

# Only sockets that balance loads, and a ROUTER, are given another place.
OTHERS = st.builds(
    Destination,
    socket_type=st.sampled_from([zmq.PUSH, zmq.DEALER, zmq.ROUTER]),
    hwm=st.integers(1, 3),
    connected=st.booleans(),
    permits=st.sampled_from([None, 0, 2]),
    of_requests=st.booleans(),
)

DESTINATIONS = st.one_of(
    PLAIN_DESTINATIONS,
    st.builds(
        lambda one, other, kind: dataclasses.replace(one, otherwise=other, socket_type=kind),
        PLAIN_DESTINATIONS,
        OTHERS,
        st.sampled_from([zmq.PUSH, zmq.DEALER, zmq.ROUTER]),
    ),
)


@pytest.mark.slow
@settings(max_examples=500)
@given(
    st.sampled_from([zmq.PULL, *sorted(FEEDER_OF)]),
    st.lists(DESTINATIONS, min_size=1, max_size=2),
    PLAIN_DESTINATIONS.map(lambda destination: dataclasses.replace(destination, when_full=WhenFull.DROP, permits=None)),
    st.lists(STEPS, min_size=4, max_size=40),
)
def test_any_traffic_leaves_both_bursts_in_the_same_state(
    source_type: int, destinations: list[Destination], tap: Destination, steps: list[tuple[Any, ...]]
) -> None:
    def script(made: Rig) -> None:
        for name, *arguments in steps:
            if name == "read":
                arguments[0] %= len(made.readers)
            getattr(made, name)(*arguments)
        made.drain()

    assert_both_do_the_same(script, *destinations, source_type=source_type, tap=tap)


# Traffic that chance does not hit upon ------------------------------------------------------------------------


def received(log: list[Any], index: int = 0) -> list[Any]:
    return [entry[1] for entry in log if len(entry) == 2 and entry[0] == index and entry[1] is not None]


def test_a_message_of_very_many_parts_arrives_whole_and_so_does_the_next() -> None:
    message = [b"%d" % number for number in range(5000)]

    def script(made: Rig) -> None:
        made.feed([message, [b"next"], message])
        made.drain()

    assert received(assert_both_do_the_same(script, Destination())) == [message, [b"next"], message]


@pytest.mark.parametrize(
    ("budget", "in_each_run"),
    [
        (dataclasses.replace(PLENTY, messages=3), [3, 3, 3, 1]),
        (dataclasses.replace(PLENTY, bytes=4), [2, 2, 2, 2, 2]),
        (dataclasses.replace(PLENTY, parts=5), [2, 2, 2, 2, 2]),
        (dataclasses.replace(PLENTY, parts=6), [2, 2, 2, 2, 2]),
        (dataclasses.replace(PLENTY, messages=0), [0, 0]),
        (dataclasses.replace(PLENTY, bytes=0), [0, 0]),
        (dataclasses.replace(PLENTY, parts=0), [0, 0]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_a_run_ends_with_the_message_that_reaches_a_limit(budget: Budget, in_each_run: list[int]) -> None:
    def script(made: Rig) -> None:
        made.feed([[b"", b"12", b""] for _ in range(10)])
        for _ in in_each_run:
            made.run(budget)

    counts = [0, *(entry[3]["received"] for entry in assert_both_do_the_same(script, Destination()))]
    assert [later - before for before, later in itertools.pairwise(counts)] == in_each_run


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("payload", [Payload.WHOLE, Payload.SWAP], ids=["the short way", "the long way"])
def test_the_clock_is_looked_at_after_so_many_parts_and_time_that_is_over_ends_the_run(
    parts: int, payload: Payload
) -> None:
    def script(made: Rig) -> None:
        made.feed([[b"part"] * parts for _ in range(200)])
        made.run(dataclasses.replace(PLENTY, time_s=0))
        made.run(dataclasses.replace(PLENTY, time_s=0))
        assert made.run(PLENTY) is Status.SOURCE_EMPTY

    log = assert_both_do_the_same(script, Destination(payload=payload))
    messages_until_look = -(-CLOCK_INTERVAL_PARTS // parts)
    assert [entry[0] for entry in log[:2]] == [Status.BUDGET_SPENT] * 2
    assert [entry[3]["received"] for entry in log] == [messages_until_look, 2 * messages_until_look, 200]


@pytest.mark.slow
@pytest.mark.parametrize("socket_type", [zmq.PUSH, zmq.DEALER])
@pytest.mark.parametrize("payload", [Payload.WHOLE, Payload.PARTS, Payload.SWAP])
def test_a_message_whose_peer_goes_in_the_middle_of_it_reaches_the_next_peer_whole(
    socket_type: int, payload: Payload
) -> None:
    message = [b"%d" % number for number in range(60_000)]

    def script(made: Rig) -> None:
        made.feed([message])
        assert made.run(PLENTY) is Status.OUTLET_FULL
        made.connect(0)
        outlet: Any = made.outlets[0].socket.raw
        zmq.Socket.get(outlet, zmq.EVENTS)
        # This send looks for news. The next to do so is one about a millisecond later, with the message half
        # sent; it then finds that the peer has gone.
        time.sleep(0.005)
        zmq.backend.Socket.send(outlet, b"before", zmq.DONTWAIT)
        made.readers[0].disconnect("inproc://outlet-0")
        assert made.burst.run(PLENTY) is Status.OUTLET_FULL
        made.connect(0)
        made.feed([[b"last", b"message"]])
        made.drain()

    log = assert_both_do_the_same(script, Destination(socket_type, payload=payload, connected=False))
    assert [len(parts) for parts in received(log)] == (
        [len(message) - 1, 1] if payload is Payload.PARTS else [len(message), 2]
    )


HELLO, A, B = b"\2hello", b"\1A", b"\1B"


@pytest.mark.parametrize("verbose", [None, zmq.XPUB_VERBOSE, zmq.XPUB_VERBOSER])
@pytest.mark.parametrize(
    "broken",
    [[HELLO, A], [b"", A], [HELLO, HELLO, A], [A, HELLO, A], [HELLO, b"\0unknown"], [HELLO, b"\1new"]],
    ids=lambda parts: " ".join(part.hex() for part in parts),
)
@pytest.mark.parametrize("payload", [Payload.WHOLE, Payload.PARTS], ids=["the short way", "the long way"])
def test_what_breaks_off_at_an_xpub_is_dropped_and_no_part_of_it_comes_with_another_message(
    broken: list[bytes], verbose: int | None, payload: Payload
) -> None:
    def script(made: Rig) -> None:
        if verbose is not None:
            made.source.setsockopt(verbose, 1)
        made.feed([[A]])
        made.drain()
        made.feed([broken])
        made.drain()
        made.feed([broken, [B], [b"\2next", b"last"]])
        made.drain()

    log = assert_both_do_the_same(script, Destination(payload=payload), source_type=zmq.XPUB)
    came = received(log)
    assert came[0] == [A]
    assert all(len(parts) == 1 and parts[0][:1] in (b"\0", b"\1") for parts in came[:-1])
    assert came[-2:] == [[B], [b"\2next", b"last"] if payload is Payload.WHOLE else [b"last"]]
    # An XSUB does not send the end of a subscription that it does not have: the next message goes on with this one.
    sent = 1 if b"\0unknown" in broken else 2
    assert log[-1][3]["outlets"][0]["dropped"] == {Drop.BROKEN_OFF: sent}


@pytest.mark.parametrize("payload", [Payload.WHOLE, Payload.AUTO])
def test_an_xsub_counts_one_subscription_where_the_source_repeats_it(payload: Payload) -> None:
    large = b"\1" + b"x" * 5000

    def script(made: Rig) -> None:
        made.source.setsockopt(zmq.XPUB_VERBOSE, 1)
        for round_number in range(2):
            made.feed([[A]] * 3 + [[B], [large], [large], [b"\2user"], [b"\1"], [b"\1"], [b""]])
            made.feed([[b"\0A"]] * (3 + round_number) + [[b"\0" + large[1:]]] * 2 + [[b"\0"]] * 2)
            made.drain()

    log = assert_both_do_the_same(script, Destination(zmq.XSUB, repeated=True, payload=payload), source_type=zmq.XPUB)
    first = [[A]] * 3 + [[B], [large], [large], [b"\2user"], [b"\1"], [b"\1"], [b""]]
    ends = [[b"\0A"], [b"\0" + large[1:]], [b"\0"]]
    assert received(log) == (first + ends) * 2


@pytest.mark.parametrize("payload", [Payload.WHOLE, Payload.SWAP], ids=["the short way", "the long way"])
def test_a_message_of_too_many_parts_is_dropped_and_the_budget_holds_within_it(payload: Payload) -> None:
    def script(made: Rig) -> None:
        made.set_max_parts(10)
        made.feed([[b"before"], [b"x"] * 1000, [b"y"] * 10, [b"z"] * 11, [b"after"]])
        while made.run(dataclasses.replace(PLENTY, parts=100)) is Status.BUDGET_SPENT:
            continue
        made.drain()

    log = assert_both_do_the_same(script, Destination(payload=payload))
    assert received(log) == [[b"before"], [b"y"] * 10, [b"after"]]
    runs = [entry[3] for entry in log if len(entry) == 5]
    assert runs[-1]["outlets"][0]["dropped"] == {Drop.TOO_MANY_PARTS: 2}
    assert runs[-1]["received_parts"] == 1 + 1000 + 10 + 11 + 1
    read = [0, *(one["received_parts"] for one in runs)]
    assert max(later - before for before, later in itertools.pairwise(read)) <= 100 + CLOCK_INTERVAL_PARTS


def test_time_that_is_over_ends_a_run_within_a_message_that_is_thrown_away() -> None:
    def script(made: Rig) -> None:
        made.set_max_parts(10)
        made.feed([[b"x"] * 1000])
        made.run(dataclasses.replace(PLENTY, time_s=0))
        made.finish()
        assert made.run(PLENTY) is Status.SOURCE_EMPTY

    log = assert_both_do_the_same(script, Destination())
    assert log[0][0] is Status.BUDGET_SPENT
    assert log[0][3]["received_parts"] < 200
    assert log[1][3]["received_parts"] == 1000


def test_a_message_that_is_thrown_away_is_thrown_away_in_one_run_where_there_is_time() -> None:
    def script(made: Rig) -> None:
        made.set_max_parts(10)
        made.feed([[b"x"] * 1000, [b"after"]])
        made.run(dataclasses.replace(PLENTY, messages=1, skip_s=math.inf))
        made.drain()

    log = assert_both_do_the_same(script, Destination())
    assert log[0][0] is Status.BUDGET_SPENT
    assert log[0][3]["received_parts"] == 1000
    assert received(log) == [[b"after"]]


def test_a_tap_gets_each_message_once_from_when_it_is_on_until_it_is_off() -> None:
    def script(made: Rig) -> None:
        made.feed([[b"before"]])
        made.run(PLENTY)
        made.set_tap(True)
        # The outlet takes one of these, so that the second waits with its copy made already.
        made.feed([[b"%d" % number, b"body"] for number in range(4)])
        made.run(PLENTY)
        made.drain()
        made.set_tap(False)
        made.feed([[b"after"]])
        made.drain()

    log = assert_both_do_the_same(script, Destination(hwm=1), tap=Destination(zmq.PUB, WhenFull.DROP, prefix=b"in"))
    assert received(log, 1) == [[b"in", b"%d" % number, b"body"] for number in range(4)]
    assert len(received(log, 0)) == 6


@pytest.mark.parametrize("taken", ["full", "closed"])
def test_a_tap_that_takes_nothing_is_not_felt(taken: str) -> None:
    def script(made: Rig) -> None:
        made.set_tap(True)
        made.feed([[b"1"]])
        made.drain()
        if taken == "closed":
            assert made.tap is not None
            made.tap.socket.raw.close()
        made.feed([[b"%d" % number] for number in range(2, 20)])
        made.drain()

    tap = Destination(zmq.PUSH, WhenFull.DROP, hwm=1, connected=taken == "closed")
    log = assert_both_do_the_same(script, Destination(), tap=tap)
    assert received(log, 0) == [[b"%d" % number] for number in range(1, 20)]
    assert len(received(log, 1)) == (1 if taken == "closed" else 0)


def test_what_is_passed_over_for_one_outlet_goes_to_the_others_and_is_counted() -> None:
    def script(made: Rig) -> None:
        made.feed([[b"1", b"body"], [b"2", b"body"], [b"3", b"body"]])
        for _ in range(3):
            made.run(Budget(messages=1, bytes=1 << 40, parts=1 << 40, time_s=math.inf, skip_s=0))
            made.pass_over()
        made.connect(1)
        made.drain()

    log = assert_both_do_the_same(script, Destination(), Destination(connected=False), Destination())
    assert received(log, 0) == received(log, 2) == [[b"%d" % number, b"body"] for number in (1, 2, 3)]
    assert received(log, 1) == []
    assert log[-1][3]["outlets"][1]["dropped"] == {Drop.NOT_READY: 3}


def test_what_is_passed_over_for_the_last_outlet_is_not_in_hand_any_more() -> None:
    def script(made: Rig) -> None:
        made.feed([[b"1"]])
        made.run(PLENTY)
        made.pass_over()
        assert made.burst.waiting_for is None
        made.connect(0)
        made.feed([[b"2"]])
        made.drain()

    assert received(assert_both_do_the_same(script, Destination(connected=False))) == [[b"2"]]


def elsewhere(log: list[Any]) -> dict[str, Any]:
    """What the last run says of the first outlet."""
    counters = next(entry[3] for entry in reversed(log) if len(entry) == 5)["outlets"][0]
    return {key: counters[key] for key in ("sent", "elsewhere", "dropped")}


@pytest.mark.parametrize("when_full", WhenFull)
@pytest.mark.parametrize("parts", [1, 3])
def test_what_finds_no_room_goes_to_the_other_place_as_far_as_its_gate_lets_it(when_full: WhenFull, parts: int) -> None:
    messages = [[b"%d" % number] * parts for number in range(7)]

    def script(made: Rig) -> None:
        made.feed(messages)
        made.run(PLENTY)
        made.add_permits(0, 2)
        made.run(PLENTY)
        assert made.gates[0].take_all() == (0 if when_full is WhenFull.BLOCK else 2)
        made.drain()

    other = Destination(connected=True, permits=2)
    first = Destination(hwm=1, when_full=when_full, otherwise=other)
    log = assert_both_do_the_same(script, first)
    assert sorted(received(log, 0) + received(log, 1)) == (messages if when_full is WhenFull.BLOCK else messages[:4])
    told = [entry[2] for entry in log if entry[0] == "permits"]
    if when_full is WhenFull.BLOCK:
        assert received(log, 1) == messages[2:6]
        assert elsewhere(log) == {"sent": 3, "elsewhere": 4, "dropped": {}}
        assert not any(told)
    else:
        assert elsewhere(log) == {"sent": 2, "elsewhere": 2, "dropped": {Drop.NOT_READY: 3}}
        assert told[0]
        assert not any(told[1:])


def test_a_closed_gate_is_as_a_full_socket_and_what_it_keeps_is_offered_again() -> None:
    def script(made: Rig) -> None:
        made.feed([[b"%d" % number] for number in range(5)])
        assert made.run(PLENTY) is Status.OUTLET_FULL
        for count in (2, -1, 1, 1):
            made.add_permits(0, count)
            made.run(PLENTY)
        made.drain()

    log = assert_both_do_the_same(script, Destination(permits=0))
    assert received(log) == [[b"0"], [b"1"], [b"2"]][: len(received(log))]
    assert elsewhere(log) == {"sent": 3, "elsewhere": 0, "dropped": {}}


def test_what_a_router_has_no_peer_for_goes_to_the_other_router_and_what_it_has_no_room_for_does_not() -> None:
    def script(made: Rig) -> None:
        made.feed([[KNOWN_ID, b"1"], [KNOWN_ID, b"2"]])
        made.run(PLENTY)
        made.connect(0)
        made.feed([[KNOWN_ID, b"%d" % number] for number in range(3, 9)] + [[b"stranger", b"x"], [b"alone"]])
        made.drain()

    log = assert_both_do_the_same(
        script, Destination(zmq.ROUTER, hwm=1, connected=False, otherwise=Destination(zmq.ROUTER))
    )
    assert received(log, 1) == [[b"1"], [b"2"]]
    assert received(log, 0) == [[b"3"], [b"4"]]
    assert elsewhere(log) == {
        "sent": 2, "elsewhere": 2, "dropped": {Drop.FULL: 4, Drop.UNROUTABLE: 1, Drop.MALFORMED: 1},
    }  # fmt: skip


def test_the_other_place_gets_what_was_cut_for_the_first() -> None:
    def script(made: Rig) -> None:
        made.feed([[b"topic body"], [b"topic", b"in", b"parts"], [b'{"no": topic}']])
        made.drain()

    first = Destination(connected=False, payload=Payload.AUTO, otherwise=Destination(permits=9))
    log = assert_both_do_the_same(script, first, Destination())
    assert received(log, 2) == [[b"body"], [b"in", b"parts"], [b'{"no": topic}']]
    assert received(log, 1) == [[b"topic body"], [b"topic", b"in", b"parts"], [b'{"no": topic}']]


def test_a_payload_keeps_its_bytes_whether_it_is_copied_or_shared() -> None:
    payloads = [bytes([size % 251]) * size + b"end" for size in SIZES]

    def script(made: Rig) -> None:
        made.feed([[b"topic " + payload] for payload in payloads])
        made.drain()

    log = assert_both_do_the_same(script, *[Destination(payload=Payload.SPACE)] * 2)
    assert received(log, 0) == received(log, 1) == [[payload] for payload in payloads]


def test_a_router_is_given_no_message_that_its_take_leaves_too_short() -> None:
    def script(made: Rig) -> None:
        made.feed([[KNOWN_ID], [b"first", KNOWN_ID], [b"first", KNOWN_ID, b"body"]])
        made.drain()

    log = assert_both_do_the_same(script, Destination(zmq.ROUTER, payload=Payload.PARTS))
    assert received(log) == [[b"body"]]


@pytest.mark.parametrize("closed", ["source", "first outlet", "second outlet"])
def test_a_closed_socket_raises_enotsock_and_loses_no_message(closed: str) -> None:
    def script(made: Rig) -> None:
        made.feed([[b"one"]])
        made.run(PLENTY)
        made.feed([[b"two"]])
        sockets = [made.source, *(outlet.socket.raw for outlet in made.outlets)]
        sockets[["source", "first outlet", "second outlet"].index(closed)].close()
        for _ in range(2):
            made.run(PLENTY)

    log = assert_both_do_the_same(script, Destination(), Destination())
    assert [entry[1] for entry in log[1:]] == [(zmq.ZMQError, zmq.ENOTSOCK)] * 2


@pytest.mark.parametrize("in_hand", [False, True])
def test_the_end_of_the_context_raises_eterm_and_keeps_what_is_in_hand(in_hand: bool) -> None:
    def script(made: Rig) -> None:
        if in_hand:
            made.feed([[b"held"]])
            made.run(PLENTY)
        ender = threading.Thread(target=made.context.term)
        ender.start()
        # The end has come when a socket says so.
        outlet: Any = made.outlets[0].socket.raw
        for socket in (made.source, outlet):
            with pytest.raises(zmq.ContextTerminated):
                while True:
                    zmq.Socket.get(socket, zmq.EVENTS)
        with pytest.raises(zmq.ContextTerminated):
            made.burst.run(PLENTY)
        made.log.append((made.burst.waiting_for, dataclasses.asdict(made.burst.counters)))
        for socket in (made.feeder, made.source, outlet, made.readers[0]):
            socket.close()
        ender.join()

    log = assert_both_do_the_same(script, Destination(connected=False))
    assert log[-1][0] == (0 if in_hand else None)


@pytest.mark.parametrize("make_burst", BURSTS)
def test_a_pub_takes_note_of_the_room_that_its_subscriber_makes(make_burst: Any) -> None:
    """libzmq looks for it in a send once in a millisecond or so, and a PUB drops what finds no room meanwhile."""
    with rig(make_burst, zmq.PULL, Destination(zmq.PUB, hwm=100)) as made:
        reader, taken = made.readers[0], []
        for _ in range(40):
            made.feed([[b"%d" % (len(taken) + number)] for number in range(50)])
            # Not the rig's own, which reads EVENTS first.
            made.burst.run(PLENTY)
            taken += [reader.recv(zmq.DONTWAIT) for _ in range(50)]
    assert taken == [b"%d" % number for number in range(2000)]


@given(texts=st.lists(st.one_of(st.binary(max_size=5), st.sampled_from(TOPICS)), min_size=1, max_size=30))
def test_both_take_the_same_for_a_topic(texts: list[bytes]) -> None:
    def script(made: Rig) -> None:
        made.feed([[text + b" p"] for text in texts])
        made.run(PLENTY)

    assert_both_do_the_same(script, Destination(payload=Payload.AUTO))
