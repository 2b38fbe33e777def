"""What both bursts do with stages, and the first of them: what the ZAP handler says that a sender may send."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import zmq
import zmq.green
from hypothesis import given, settings
from hypothesis import strategies as st

from geventrelay.engine.burst import Budget, Status
from geventrelay.engine.burst_python import PythonBurst
from geventrelay.engine.counters import Drop
from geventrelay.engine.grant import Prefixes, allows
from geventrelay.engine.native.choose import native_module
from geventrelay.engine.outlet import Outlet
from geventrelay.engine.socket import RelaySocket
from geventrelay.engine.stages import senders
from geventrelay.engine.stages.senders import PROPERTY, Senders
from geventrelay.testing import eventually, within

BURSTS = {"python": PythonBurst}
if (native := native_module()) is not None:
    BURSTS["native"] = native.NativeBurst
SENDER_OF = {
    zmq.PULL: zmq.PUSH,
    zmq.SUB: zmq.XPUB,
    zmq.XSUB: zmq.XPUB,
    zmq.ROUTER: zmq.DEALER,
    zmq.DEALER: zmq.DEALER,
    zmq.REP: zmq.DEALER,
    zmq.PAIR: zmq.PAIR,
    zmq.XPUB: zmq.XSUB,
}
# ZMQ_METADATA: what a peer says of itself. It is a draft, and there in libzmq all the same.
METADATA = 95
LIMIT_MS = 10_000
Rights = Prefixes | None
# Few letters, so that they often stand in each other, and bytes whose digits are letters.
TEXTS = st.text(alphabet="ab\0\xff", max_size=3).map(lambda text: text.encode("latin-1"))


def metadata(properties: dict[str, str]) -> bytes:
    """RFC 23: names with a length of one byte, values with one of four."""
    pairs = ((name.encode(), value.encode()) for name, value in properties.items())
    return b"".join(bytes([len(name)]) + name + struct.pack(">I", len(value)) + value for name, value in pairs)


@dataclass
class Rig:
    """A socket with a ZAP handler, a burst that reads from it, and what comes out."""

    context: Any
    source: Any
    burst: Any
    outlet: Any
    sink: Any
    handler: Any
    peers: list[Any] = field(default_factory=list)

    def sender(self, properties: dict[str, str] | None, **options: Any) -> Any:
        """A peer that the handler lets in with `properties`; over inproc, where it is not asked, with None."""
        made = self.context.socket(SENDER_OF[self.source.type], socket_class=zmq.Socket)
        self.peers.append(made)
        made.linger = 0
        for name, value in options.items():
            made.setsockopt(getattr(zmq, name, METADATA), value)
        made.connect("inproc://source" if properties is None else self.source.get_string(zmq.LAST_ENDPOINT))
        if properties is not None:
            assert self.handler.poll(LIMIT_MS), "libzmq does not ask the handler"
            request = self.handler.recv_multipart()
            end = request.index(b"") + 1
            answer = [b"1.0", request[end + 1], b"200", b"", b"", metadata(properties)]
            self.handler.send_multipart([*request[:end], *answer])
        if self.source.type in (zmq.SUB, zmq.XSUB):
            # The source takes notice of the connection, and tells what it wants.
            while not made.poll(1):
                self.source.get(zmq.EVENTS)
            made.recv()
        return made

    def move(self, messages: int) -> None:
        """Run until so many messages were received."""
        with within(lambda: f"{messages} messages, of which {self.burst.counters.received} have come"):
            while self.burst.counters.received < messages:
                # Not `poll`: zmq.green's own waits do harm on libuv.
                self.source.wait_readable()
                self.burst.run(Budget())

    def got(self) -> list[list[bytes]]:
        found = []
        while self.sink.poll(0):
            found.append(self.sink.recv_multipart())
        return found


@contextmanager
def new_rig(make_burst: Callable[..., Any], source_type: int = zmq.PULL) -> Iterator[Rig]:
    context = zmq.green.Context()
    sockets = []

    def socket(type: int, socket_class: type = zmq.Socket) -> Any:
        made = context.socket(type, socket_class=socket_class)
        made.linger = 0
        sockets.append(made)
        return made

    try:
        handler = socket(zmq.ROUTER)
        handler.bind("inproc://zeromq.zap.01")
        source = socket(source_type, RelaySocket)
        source.zap_domain = b"device.frontend"
        if source_type == zmq.SUB:
            source.subscribe(b"")
        if source_type == zmq.XSUB:
            zmq.Socket.send(source, b"\1")
        source.bind("inproc://source")
        source.bind("tcp://127.0.0.1:*")
        outlet, sink = socket(zmq.PUSH, RelaySocket), socket(zmq.PULL)
        outlet.bind("inproc://outlet")
        sink.connect("inproc://outlet")
        made = Outlet("outlet", outlet)
        yield Rig(context, source, make_burst(source.readiness, [made]), made, sink, handler)
    finally:
        # The handler, which is the first, after those that ask it: as devices do.
        for one in reversed(sockets):
            one.close(0)
        context.destroy(linger=0)


@pytest.fixture(params=BURSTS)
def make_burst(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return BURSTS[request.param]


def rights(send: Rights) -> dict[str, str]:
    return {PROPERTY: senders.written(send)}


@pytest.mark.parametrize(
    "source_type", [one for one in SENDER_OF if one != zmq.XPUB], ids=lambda type: zmq.SocketType(type).name
)
def test_a_sender_has_through_what_it_may_send(make_burst, source_type):
    with new_rig(make_burst, source_type) as rig:
        # Of a message to a ROUTER, the first part is the routing id; one of a REP begins with an empty part.
        allowed = (b"r.",) if source_type == zmq.ROUTER else (b"news.", b"prices")
        rig.burst.set_stages((Senders(),))
        sender = rig.sender(rights(allowed), ROUTING_ID=b"r.1")
        envelope = [b""] if source_type == zmq.REP else []
        sender.send_multipart([*envelope, b"news.a", b"x"])
        if source_type == zmq.REP:
            rig.move(1)
            assert rig.got() == [[b"news.a", b"x"]]
            return
        sender.send(b"new")
        sender.send_multipart([b"private", b"news.b"])
        sender.send(b"prices")
        rig.move(4)
        if source_type == zmq.ROUTER:
            assert len(rig.got()) == 4
            return
        assert rig.got() == [[b"news.a", b"x"], [b"prices"]]
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 2}
        assert (rig.burst.counters.received, rig.burst.counters.outlets[0].sent) == (4, 2)


@pytest.mark.parametrize("source_type", [zmq.ROUTER, zmq.REP], ids=["ROUTER", "REP"])
def test_a_client_without_the_right_to_request_is_not_heard(make_burst, source_type):
    with new_rig(make_burst, source_type) as rig:
        rig.burst.set_stages((Senders(),))
        good, bad = rig.sender(rights(None)), rig.sender(rights(()))
        bad.send_multipart([b"", b"bad"])
        rig.move(1)
        assert rig.got() == []
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 1}
        if source_type == zmq.ROUTER:
            good.send_multipart([b"", b"good"])
            rig.move(2)
            assert [parts[1:] for parts in rig.got()] == [[b"", b"good"]]


def test_each_sender_has_its_own_rights(make_burst):
    with new_rig(make_burst) as rig:
        rig.burst.set_stages((Senders(),))
        one, other, everything = rig.sender(rights((b"a",))), rig.sender(rights((b"b",))), rig.sender(rights(None))
        for count, sender in enumerate((one, other, everything)):
            sender.send(b"a%d" % count)
            sender.send(b"b%d" % count)
        rig.move(6)
        assert sorted(sum(rig.got(), [])) == [b"a0", b"a2", b"b1", b"b2"]  # noqa: RUF017


@pytest.mark.parametrize("properties", [None, {}, {"User-Id": "a"}], ids=["inproc", "none", "others"])
def test_what_comes_without_a_word_about_rights_may_not_be_sent(make_burst, properties):
    with new_rig(make_burst) as rig:
        rig.burst.set_stages((Senders(),))
        rig.sender(properties).send(b"a")
        rig.move(1)
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 1}


def test_what_a_subscriber_says_passes_if_it_is_a_subscription_or_may_be_sent(make_burst):
    with new_rig(make_burst, zmq.XPUB) as rig:
        rig.burst.set_stages((Senders(subscriptions=True),))
        subscriber = rig.sender(rights((b"news.",)))
        for message in ([b"\1a"], [b"news.a", b"x"], [b"prices"], [b""], [b"\2"], [b"\0a"]):
            subscriber.send_multipart(message)
        rig.move(6)
        subscriber.send(b"\1b")
        rig.move(7)
        subscriber.close()
        # What is cancelled for a peer that has left comes without a word about it.
        rig.move(8)
        assert rig.got() == [[b"\1a"], [b"news.a", b"x"], [b"\0a"], [b"\1b"], [b"\0b"]]
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 3}


def test_a_peer_cannot_give_itself_rights(make_burst):
    with new_rig(make_burst) as rig:
        rig.burst.set_stages((Senders(),))
        # Even if it knew the name.
        word = f"{PROPERTY}:{senders.written(None)}".encode()
        rig.sender(rights(()), METADATA=word).send(b"a")
        rig.move(1)
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 1}


@given(send=st.one_of(st.none(), st.lists(TEXTS, max_size=4).map(tuple)), firsts=st.lists(TEXTS, max_size=8))
@settings(max_examples=20, deadline=None)
def test_exactly_what_begins_with_a_prefix_passes(make_burst, send, firsts):
    with new_rig(make_burst) as rig:
        rig.burst.set_stages((Senders(),))
        sender = rig.sender(rights(send))
        for first in firsts:
            sender.send(first)
        rig.move(len(firsts))
        assert rig.got() == [[first] for first in firsts if send is None or allows(send, first)]


@given(prefixes=st.lists(st.binary(max_size=5), max_size=5).map(tuple))
def test_rights_come_back_as_they_were_written(prefixes):
    assert senders.read(senders.written(prefixes)) == prefixes
    assert senders.read(senders.written(None)) == (b"",)


def test_the_tap_does_not_see_what_is_dropped(make_burst):
    with new_rig(make_burst) as rig:
        rig.burst.set_stages((Senders(),))
        tap = Outlet("tap", rig.outlet.socket, prefix=b"seen")
        rig.burst.set_tap(tap)
        sender = rig.sender(rights((b"a",)))
        for text in (b"b", b"a", b"c"):
            sender.send(text)
        rig.move(3)
        assert rig.got() == [[b"seen", b"a"], [b"a"]]


def test_what_is_dropped_counts_against_the_budget_and_needs_no_room(make_burst):
    with new_rig(make_burst) as rig:
        rig.sink.close()
        # libzmq's reaper closes it later, and until then a message would find room.
        eventually(lambda: not zmq.Socket.get(rig.outlet.socket.raw, zmq.EVENTS) & zmq.POLLOUT, "its end")
        rig.burst.set_stages((Senders(),))
        sender = rig.sender(rights((b"a",)))
        for text in (b"b", b"c", b"d", b"a"):
            sender.send(text)
        eventually(lambda: rig.source.readable, "a message")
        while rig.burst.counters.received < 3:
            before = rig.burst.counters.received
            assert rig.burst.run(Budget(messages=1)) in (Status.BUDGET_SPENT, Status.SOURCE_EMPTY)
            assert rig.burst.counters.received <= before + 1
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 3}
        while rig.burst.waiting_for is None:
            rig.burst.run(Budget())
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 3}


def test_stages_may_be_taken_away(make_burst):
    with new_rig(make_burst) as rig:
        rig.burst.set_stages((Senders(),))
        sender = rig.sender(rights(()))
        sender.send(b"a")
        rig.move(1)
        rig.burst.set_stages(())
        sender.send(b"b")
        rig.move(2)
        assert rig.got() == [[b"b"]]
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 1}


def test_the_first_stage_that_a_message_does_not_pass_counts_it(make_burst):
    with new_rig(make_burst) as rig:
        rig.burst.set_stages((Senders(), Senders()))
        rig.sender(rights(())).send(b"a")
        rig.move(1)
        assert rig.burst.counters.outlets[0].dropped == {Drop.FORBIDDEN: 1}


@pytest.mark.skipif("native" not in BURSTS, reason="the native burst is not built")
def test_the_native_burst_refuses_a_stage_that_it_does_not_have():
    class Other:
        reason = Drop.FORBIDDEN

    with new_rig(BURSTS["native"]) as rig, pytest.raises(TypeError, match="Senders or Allowance, got <"):
        rig.burst.set_stages((Other(),))
