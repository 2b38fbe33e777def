"""ZMTP without sockets: each exchange whole, byte by byte and with more behind it gives the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.zmtp import commands, frames, greeting, metadata
from geventrelay.zmtp.bounds import Bounds
from geventrelay.zmtp.commands import Command
from geventrelay.zmtp.connection import Connection, State
from geventrelay.zmtp.errors import Fault, ProtocolError
from geventrelay.zmtp.events import Cancel, Message, Ping, Pong, Ready, Subscribe
from geventrelay.zmtp.frames import Frame, FrameReader
from geventrelay.zmtp.greeting import Version
from geventrelay.zmtp.socket_types import FITTING, NUMBERS

SMALL = Bounds(frame_bytes=300, message_bytes=400, parts=3, command_bytes=200, topic_bytes=20)


def hello(minor: int = 1, mechanism: bytes = b"NULL") -> bytes:
    return b"\xff" + bytes(7) + b"\1\x7f\3" + bytes([minor]) + mechanism.ljust(20, b"\0") + bytes(32)


def ready(socket_type: str, **properties: bytes) -> bytes:
    found = {"Socket-Type": socket_type.encode(), **properties}
    return command(commands.READY, metadata.encode(found))


def command(name: bytes, data: bytes = b"") -> bytes:
    return frames.encode(Command(name, data).body, command=True)


def outcome(pieces, socket_type="PULL", **options):
    """What a connection makes of `pieces`: events and the fault, what it sends, and its state."""
    connection = Connection(socket_type, **options)
    found, sent = [], connection.to_send()
    for piece in pieces:
        connection.receive(piece)
        try:
            while (event := connection.next_event()) is not None:
                found.append(event)
        except ProtocolError as error:
            found.append(error.fault)
        sent += connection.to_send()
    return found, sent, connection.state


def every_way(data: bytes, socket_type="PULL", **options):
    """The same, which must not depend on how the bytes are cut; without the handshake's event."""
    whole = outcome([data], socket_type, **options)
    assert outcome([data[at : at + 1] for at in range(len(data))], socket_type, **options) == whole
    for at in (1, 9, 10, 11, 12, 63, 64, 65, len(data) - 1):
        assert outcome([data[:at], data[at:]], socket_type, **options) == whole
    return whole


def events(data: bytes, socket_type="PULL", peer="PUSH", minor=1, **options):
    """What follows a good handshake."""
    found, _, _ = every_way(hello(minor) + ready(peer) + data, socket_type, **options)
    assert isinstance(found[0], Ready)
    return found[1:]


# Greeting and handshake


@pytest.mark.parametrize(("minor", "version"), [(0, Version.V3_0), (1, Version.V3_1), (2, Version.V3_1)])
def test_a_handshake_of_null_tells_who_is_there(minor, version):
    (found,), sent, state = every_way(hello(minor) + ready("PUSH", Identity=b"me", Other=b"x"))
    assert found.peer.version is version
    assert (found.peer.socket_type, found.peer.routing_id) == ("PUSH", b"me")
    assert found.peer.metadata == {"socket-type": b"PUSH", "identity": b"me", "other": b"x"}
    assert sent == hello() + ready("PULL")
    assert state is State.TRAFFIC


def test_a_router_tells_what_it_calls_itself_and_a_pull_does_not():
    assert outcome([hello()], "ROUTER", routing_id=b"me")[1] == (
        b"\xff" + bytes(7) + b"\3\x7f" + hello()[10:] + ready("ROUTER", Identity=b"me")
    )
    assert outcome([hello()], "PULL", routing_id=b"me")[1] == hello() + ready("PULL")


def test_the_greeting_is_sent_at_once_where_no_legacy_peer_may_come():
    assert Connection("PULL").to_send() == hello()
    assert Connection("PULL", legacy_peers=True).to_send() == hello()[:10]


@pytest.mark.parametrize("mine", FITTING)
@pytest.mark.parametrize("theirs", FITTING)
def test_types_that_do_not_fit_are_refused(mine, theirs):
    found, _, state = outcome([hello() + ready(theirs)], mine)
    if theirs in FITTING[mine]:
        assert state is State.TRAFFIC
    else:
        assert (found, state) == ([Fault.WRONG_TYPE], State.FAILED)
    assert (theirs in FITTING[mine]) == (mine in FITTING[theirs])


def test_of_a_long_type_that_does_not_fit_the_beginning_is_told():
    connection = Connection("PULL")
    connection.receive(hello() + ready("x" * 60_000))
    with pytest.raises(ProtocolError) as raised:
        connection.next_event()
    assert raised.value.fault is Fault.WRONG_TYPE
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Fault.NOT_ZMTP),
        (b"\1\0", Fault.NOT_ZMTP),
        (b"\xff" + bytes(9) + bytes(60), Fault.NOT_ZMTP),
        (hello()[:10] + b"\0", Fault.NOT_ZMTP),
        (hello()[:10] + b"\1\7\0\0", Fault.NOT_ZMTP),
        (hello(mechanism=b"PLAIN"), Fault.WRONG_MECHANISM),
        (hello(mechanism=b""), Fault.NOT_ZMTP),
        (hello(mechanism=b"A\0B"), Fault.NOT_ZMTP),
        (hello(mechanism=b"\xff\xff"), Fault.NOT_ZMTP),
        (hello() + frames.encode(b"a message"), Fault.BAD_HANDSHAKE),
        (hello() + command(b"HELLO"), Fault.BAD_HANDSHAKE),
        (hello() + command(commands.ERROR, b"\2no"), Fault.REFUSED),
        (hello() + command(commands.ERROR, b"\3no"), Fault.BAD_HANDSHAKE),
        (hello() + command(commands.READY, b"\0"), Fault.BAD_HANDSHAKE),
        (hello() + command(commands.READY, b"\x0bSocket-Type\0\0\0\5PUSH"), Fault.BAD_HANDSHAKE),
        (hello() + command(commands.READY, b"\4Name\0\0"), Fault.BAD_HANDSHAKE),
        (hello() + command(commands.READY), Fault.WRONG_TYPE),
        (hello() + ready("PUSH", Identity=bytes(256)), Fault.BAD_HANDSHAKE),
        (hello() + frames.encode(b"", command=True), Fault.BAD_FRAME),
        (hello() + frames.encode(b"\6READY", command=True), Fault.BAD_FRAME),
        (hello() + b"\x08\0", Fault.BAD_FRAME),
        (hello() + b"\5\0", Fault.BAD_FRAME),
        (hello() + b"\6" + (1 << 63).to_bytes(8, "big"), Fault.TOO_LARGE),
    ],
)
def test_a_handshake_that_is_wrong_ends_with_its_reason(data, fault):
    found, _, state = every_way(data)
    assert (found, state) == ([fault], State.FAILED)


def test_an_error_says_what_was_expected_and_what_came():
    connection = Connection("PULL")
    connection.receive(b"GET /")
    with pytest.raises(ProtocolError, match=r"^expected a greeting of ZMTP, which begins with ff, got 47 45 54 20 2f$"):
        connection.next_event()
    connection.receive(hello())
    assert connection.next_event() is None


# Peers of old versions


def test_a_peer_of_version_2_0_is_answered_in_its_version():
    found, sent, state = every_way(
        hello()[:10] + b"\1\x08" + frames.encode(b"me") + frames.encode(b"a", more=True) + frames.encode(b"b"),
        legacy_peers=True,
    )
    assert found[0].peer.version is Version.V2_0
    assert (found[0].peer.socket_type, found[0].peer.routing_id) == ("PUSH", b"me")
    assert found[1:] == [Message((b"a", b"b"))]
    assert sent == hello()[:10] + b"\3" + b"\x07" + frames.encode(b"")
    assert state is State.TRAFFIC


def test_a_peer_of_version_1_0_is_answered_in_its_version():
    long = bytes(300)
    found, sent, _ = every_way(
        frames.encode_1_0(b"me") + frames.encode_1_0(b"a", more=True) + frames.encode_1_0(long),
        "ROUTER",
        routing_id=b"router",
        legacy_peers=True,
    )
    assert found[0].peer.version is Version.V1_0
    assert (found[0].peer.socket_type, found[0].peer.routing_id) == (None, b"me")
    assert found[1:] == [Message((b"a", long))]
    assert sent == b"\xff" + (7).to_bytes(8, "big") + b"\x7f" + b"router"


def test_a_subscriber_of_version_1_0_gets_everything_since_it_sends_no_subscriptions():
    found, _, _ = every_way(frames.encode_1_0(b"") + frames.encode_1_0(b"\1a"), "PUB", legacy_peers=True)
    assert found[1:] == [Subscribe(b""), Subscribe(b"a")]


def test_a_new_peer_is_answered_in_the_new_version_where_legacy_ones_may_come():
    (found,), sent, _ = every_way(hello() + ready("PUSH"), legacy_peers=True)
    assert found.peer.version is Version.V3_1
    assert sent == hello() + ready("PULL")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (hello()[:10] + b"\1\x07", Fault.WRONG_TYPE),
        (hello()[:10] + b"\1\x40", Fault.WRONG_TYPE),
        (hello()[:10] + b"\1\x08" + frames.encode(b"me", more=True), Fault.BAD_HANDSHAKE),
        (hello()[:10] + b"\1\x08" + frames.encode(bytes(256)), Fault.BAD_HANDSHAKE),
        (hello()[:10] + b"\1\x08" + frames.encode(b"") + frames.encode(b"\4PING", command=True), Fault.BAD_FRAME),
        (b"\1\0\0", Fault.BAD_FRAME),
        (hello()[:10] + b"\0", Fault.NOT_ZMTP),
    ],
)
def test_a_legacy_peer_that_is_wrong_ends_with_its_reason(data, fault):
    found, _, state = every_way(data, legacy_peers=True)
    assert (found[-1], state) == (fault, State.FAILED)


# Messages


def test_messages_come_whole_and_in_their_order():
    parts = [(b"one",), (b"", b"", b"x"), (bytes(256),), (bytes(255),), (b"",)]
    assert events(b"".join(map(frames.encode_message, parts))) == list(map(Message, parts))


def test_what_is_sent_is_what_another_connection_receives():
    ends = [Connection("DEALER", b"left"), Connection("ROUTER", b"right")]
    found = [[], []]

    def exchange():
        for here, there, events in ((0, 1, found[1]), (1, 0, found[0])):
            ends[there].receive(ends[here].to_send())
            while (event := ends[there].next_event()) is not None:
                events.append(event)

    for _ in range(2):
        exchange()
    ends[0].send([b"to", bytes(1000)])
    ends[1].send([b"fro"])
    ends[1].ping(10, b"there?")
    for _ in range(2):
        exchange()
    assert [event for event in found[0] if not isinstance(event, Ready)] == [Message((b"fro",)), Ping(10, b"there?")]
    assert [event for event in found[1] if not isinstance(event, Ready)] == [
        Message((b"to", bytes(1000))),
        Pong(b"there?"),
    ]
    assert [ends[0].peer.routing_id, ends[1].peer.routing_id] == [b"right", b"left"]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (frames.encode(bytes(301)), Fault.TOO_LARGE),
        (frames.encode(bytes(300), more=True) + frames.encode(bytes(101)), Fault.UNFINISHED),
        (frames.encode(b"", more=True) * 3 + frames.encode(b""), Fault.TOO_MANY_PARTS),
        (command(b"SUBSCRIBE", bytes(191)), Fault.TOO_LARGE),
        (b"\2\xff" + bytes(7), Fault.TOO_LARGE),
        (b"\x10\0", Fault.BAD_FRAME),
        (b"\4\0", Fault.BAD_FRAME),
        (command(commands.PING, b"\0"), Fault.BAD_FRAME),
    ],
)
def test_what_is_beyond_a_bound_ends_the_connection_with_its_reason(data, fault):
    before = frames.encode_message([bytes(300), bytes(50), bytes(50)])
    assert events(before + data, bounds=SMALL) == [Message((bytes(300), bytes(50), bytes(50))), fault]


def test_a_frame_that_is_too_large_is_refused_by_its_head():
    reader = FrameReader(10, 10)
    reader.feed(b"\0\x0b")
    with pytest.raises(ProtocolError, match=r"^a frame: expected at most 10 bytes, got 11$"):
        reader.next()


# Subscriptions and signs of life


@pytest.mark.parametrize("socket_type", ["PUB", "XPUB"])
def test_subscriptions_come_as_commands_or_as_messages(socket_type):
    data = (
        command(commands.SUBSCRIBE, b"a")
        + command(commands.CANCEL, b"a")
        + frames.encode(b"\1b")
        + frames.encode(b"\0b")
    )
    assert events(data, socket_type, "SUB") == [Subscribe(b"a"), Cancel(b"a"), Subscribe(b"b"), Cancel(b"b")]


def test_a_message_upstream_is_a_subscription_only_if_it_is_nothing_else():
    parts = [(b"\1a", b"b"), (b"a", b"\1b"), (b"\2",), (b"",)]
    assert events(b"".join(map(frames.encode_message, parts)), "XPUB", "XSUB") == list(map(Message, parts))
    assert events(frames.encode(b"\1a")) == [Message((b"\1a",))]
    assert events(command(commands.SUBSCRIBE, b"a")) == []


def test_a_topic_that_is_too_long_ends_the_connection():
    for data in (
        command(commands.SUBSCRIBE, bytes(21)),
        command(commands.CANCEL, bytes(21)),
        frames.encode(b"\1" + bytes(21)),
    ):
        assert events(data, "PUB", "SUB", bounds=SMALL) == [Fault.TOPIC_TOO_LONG]


@pytest.mark.parametrize(
    ("minor", "expected"),
    [(1, command(b"SUBSCRIBE", b"a") + command(b"CANCEL", b"a")), (0, frames.encode(b"\1a") + frames.encode(b"\0a"))],
)
def test_subscriptions_go_out_as_the_other_end_takes_them(minor, expected):
    connection = Connection("SUB")
    connection.receive(hello(minor) + ready("PUB"))
    assert isinstance(connection.next_event(), Ready)
    connection.to_send()
    connection.subscribe(b"a")
    connection.cancel(b"a")
    assert connection.to_send() == expected


def test_a_ping_is_answered_also_within_a_message_and_what_is_not_known_means_nothing():
    data = (
        frames.encode(b"a", more=True)
        + command(commands.PING, b"\1\0" + bytes(20))
        + frames.encode(b"b")
        + command(b"NEW")
    )
    found, sent, _ = every_way(hello() + ready("PUSH") + data)
    assert found[1:] == [Ping(256, bytes(16)), Message((b"a", b"b"))]
    assert sent == hello() + ready("PULL") + command(commands.PONG, bytes(16))


# The end


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the greeting"),
        (hello()[:30], "the greeting"),
        (hello(), "the handshake"),
        (hello() + ready("PUSH") + b"\0", "a message"),
        (hello() + ready("PUSH") + frames.encode(b"a", more=True), "a message"),
    ],
)
def test_an_end_in_between_is_a_fault(data, what):
    connection = Connection("PULL")
    connection.receive(data)
    while connection.next_event() is not None:
        pass
    with pytest.raises(ProtocolError, match=f"^the connection has ended within {what}$") as raised:
        connection.end()
    assert raised.value.fault is Fault.CUT


def test_an_end_between_messages_is_none_and_another_reader_can_go_on_there():
    connection = Connection("PULL")
    connection.receive(hello() + ready("PUSH") + frames.encode(b"a") + b"\0\5he")
    with pytest.raises(ValueError, match="got state GREETING"):
        connection.take_rest()
    assert isinstance(connection.next_event(), Ready)
    assert connection.next_event() == Message((b"a",))
    assert connection.next_event() is None
    assert connection.take_rest() == b"\0\5he"
    connection.end()


def test_wrong_use_is_told():
    with pytest.raises(ValueError, match=r"^socket type: expected one of PAIR, PUB.*, got 'PUSH-PULL'$"):
        Connection("PUSH-PULL")
    with pytest.raises(ValueError, match=r"^routing id: expected at most 255 bytes, got 256$"):
        Connection("ROUTER", bytes(256))
    connection = Connection("PUSH")
    for call in (lambda: connection.send([b""]), lambda: connection.subscribe(b""), lambda: connection.ping(1)):
        with pytest.raises(ValueError, match=r"^expected a connection whose handshake is done, got state GREETING$"):
            call()
    connection.receive(hello(0) + ready("PULL"))
    assert isinstance(connection.next_event(), Ready)
    with pytest.raises(ValueError, match=r"^PING: expected a peer with ZMTP 3.1, got one with 3.0$"):
        connection.ping(1)
    with pytest.raises(ValueError, match="expected at least one part"):
        connection.send([])
    with pytest.raises(ValueError, match="expected at most 16 bytes, got 17"):
        commands.ping(1, bytes(17))
    for name in ("", "n" * 256):
        with pytest.raises(ValueError, match="expected 1 to 255 characters"):
            metadata.encode({name: b""})


# Properties


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans())), st.booleans(), st.data())
def test_frames_are_read_as_they_were_written_however_they_are_cut(bodies, v1_0, data):
    encode = frames.encode_1_0 if v1_0 else frames.encode
    written = b"".join(encode(body, more=more) for body, more in bodies)
    reader, found, at = FrameReader(300, 300, v1_0=v1_0), [], 0
    while at < len(written):
        size = data.draw(st.integers(1, len(written) - at))
        reader.feed(written[at : at + size])
        at += size
        while (frame := reader.next()) is not None:
            found.append(frame)
    assert found == [Frame(body, more) for body, more in bodies]
    assert reader.unread == 0


@given(st.dictionaries(st.text("abcdefghi-", min_size=1, max_size=20), st.binary(max_size=40)))
def test_metadata_is_read_as_it_was_written(properties):
    assert metadata.parse(metadata.encode(properties)) == properties


@given(
    st.sampled_from(NUMBERS),
    st.sampled_from([b"", hello()[:10], hello(), hello(0), hello() + ready("PUSH"), hello() + ready("SUB")]),
    st.binary(max_size=200),
    st.booleans(),
    st.integers(1, 20),
)
def test_whatever_comes_is_events_or_one_fault_and_does_not_depend_on_how_it_is_cut(
    socket_type, before, data, legacy, step
):
    received = before + data
    options = {"legacy_peers": legacy, "bounds": SMALL}
    whole = outcome([received], socket_type, **options)
    assert outcome([received[at : at + step] for at in range(0, len(received), step)], socket_type, **options) == whole
    assert sum(isinstance(one, Fault) for one in whole[0]) == (whole[2] is State.FAILED)


@given(st.binary(max_size=80))
def test_a_greeting_once_known_stays_what_it_is_however_much_follows(data):
    received = hello()[:10] + data

    def parsed(some):
        try:
            return greeting.parse(some)
        except ProtocolError as error:
            return error.fault

    found = next((at for at in range(len(received) + 1) if parsed(received[:at]) is not None), None)
    if found is not None:
        assert {parsed(received[:at]) for at in range(found, len(received) + 1)} == {parsed(received[:found])}
