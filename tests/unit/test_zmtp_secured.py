"""PLAIN and CURVE without sockets: whole, byte by byte, cut, replayed and changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.secured import (
    CLIENT_KEY,
    PAIRS,
    Talk,
    curve_client,
    curve_server,
    joined,
    plain_client,
    plain_server,
)

from geventrelay.zmtp import frames, sodium
from geventrelay.zmtp.bounds import Bounds
from geventrelay.zmtp.connection import State
from geventrelay.zmtp.errors import Fault, ProtocolError
from geventrelay.zmtp.events import Cancel, Credentials, Message, Ping, Pong, Ready, Subscribe
from geventrelay.zmtp.frames import FrameReader
from geventrelay.zmtp.greeting import GREETING_BYTES
from geventrelay.zmtp.session import SEALED_BYTES

SHOWN = {
    "PLAIN": Credentials("PLAIN", b"user", b"secret"),
    "CURVE": Credentials("CURVE", public_key=CLIENT_KEY),
}
BOTH = pytest.mark.parametrize("name", PAIRS)


def refused(end, data: bytes) -> ProtocolError:
    """What `end` says of `data`."""
    end.receive(data)
    with pytest.raises(ProtocolError) as raised:
        while end.next_event() is not None:
            pass
    assert end.state is State.FAILED
    assert end.next_event() is None
    return raised.value


def waiting(name: str):
    """A server that waits for a verdict, and its client."""
    client, server = PAIRS[name][0](), PAIRS[name][1]()
    for _ in range(3):
        server.receive(client.to_send())
        if (event := server.next_event()) is not None:
            assert event == SHOWN[name]
            return client, server
        client.receive(server.to_send())
        assert client.next_event() is None
    raise AssertionError("no credentials")


@BOTH
@pytest.mark.parametrize("size", [1, 2, 63, 10_000])
def test_both_ends_get_through_whatever_the_pieces(name, size):
    talk = joined(name, size=size)
    (ready,), (credentials, other) = talk.found
    assert credentials == SHOWN[name]
    assert (ready.peer.socket_type, other.peer.socket_type) == ("PULL", "PUSH")
    talk.ends[0].send([b"first", b"", b"x" * 300])
    talk.go()
    assert talk.found[1][2:] == [Message((b"first", b"", b"x" * 300))]


@BOTH
def test_messages_right_behind_the_handshake_are_understood(name):
    talk = Talk(*(make() for make in PAIRS[name]))
    client = talk.ends[0]
    found = []
    while not found:
        server_said, client_said = talk.ends[1].to_send(), client.to_send()
        talk._take(1, client_said)
        talk._take(0, server_said)
        found = talk.found[0]
    client.send([b"one"])
    client.send([b"two"])
    talk.go()
    assert talk.found[1][-2:] == [Message((b"one",)), Message((b"two",))]


@BOTH
@pytest.mark.parametrize("status", [300, 400])
def test_a_firm_no_is_told_and_a_no_for_now_is_not(name, status):
    client, server = (make() for make in PAIRS[name])
    talk = Talk(client, server, status=status)
    if status == 300:
        talk.go()
        assert client.state is State.HANDSHAKE
    else:
        with pytest.raises(ProtocolError, match=r"^the other end has refused: '400'$") as raised:
            talk.go()
        assert raised.value.fault is Fault.REFUSED
    assert server.state is State.FAILED
    assert talk.found[1] == [SHOWN[name]]


@BOTH
def test_a_verdict_is_given_once_and_only_where_it_is_waited_for(name):
    client, server = waiting(name)
    for end in (client, PAIRS[name][1]()):
        for decide in (end.allow, lambda end=end: end.deny(400)):
            with pytest.raises(ValueError, match=rf"^{name}: no verdict is waited for$"):
                decide()
    server.allow()
    with pytest.raises(ValueError, match=rf"^{name}: no verdict is waited for$"):
        server.allow()


@BOTH
def test_a_client_that_does_not_wait_for_the_verdict_is_refused(name):
    _, server = waiting(name)
    error = refused(server, frames.encode(b"\5READY", command=True))
    assert (error.fault, str(error)) == (
        Fault.BAD_HANDSHAKE,
        f"a handshake of {name}: expected nothing, got b'READY'",
    )


@BOTH
def test_types_that_do_not_fit_are_refused_by_both_ends(name):
    client, server = PAIRS[name]
    with pytest.raises(ProtocolError) as raised:
        Talk(client("PUSH"), server("SUB")).go()
    assert raised.value.fault is Fault.WRONG_TYPE


@BOTH
def test_two_servers_are_told_apart(name):
    one, other = PAIRS[name][1](), PAIRS[name][1]()
    error = refused(one, other.to_send())
    assert (error.fault, str(error)) == (Fault.WRONG_MECHANISM, f"{name}: expected a client, got another server")


@BOTH
@given(data=st.binary(max_size=400), step=st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_garbage_at_any_step_of_a_handshake_is_refused(name, data, step):
    for side in (0, 1):
        ends = [make() for make in PAIRS[name]]
        for _ in range(step):
            said = [end.to_send() for end in ends]
            ends[1].receive(said[0])
            ends[0].receive(said[1])
            for end in ends:
                end.next_event()
        if step == 0:
            ends[side].receive(ends[1 - side].to_send()[:GREETING_BYTES])
        assert refused(ends[side], frames.encode(b"\5WRONG" + data, command=True)).fault is Fault.BAD_HANDSHAKE


def test_a_password_is_in_no_text():
    assert "secret" not in repr(SHOWN["PLAIN"])
    server = plain_server()
    server.receive(plain_client().to_send())
    assert server.next_event() is None
    assert "secret" not in str(refused(server, frames.encode(b"\5HELLO\4user\7secret", command=True)))


@pytest.mark.parametrize("data", [b"", b"\4user", b"\4use", b"\4user\6secre", b"\4user\5secret"])
def test_a_hello_of_plain_has_a_name_and_a_password(data):
    server = plain_server()
    server.receive(plain_client().to_send())
    server.next_event()
    assert refused(server, frames.encode(b"\5HELLO" + data, command=True)).fault is Fault.BAD_HANDSHAKE


def test_a_name_of_plain_has_at_most_255_bytes():
    with pytest.raises(ValueError, match=r"^password: expected at most 255 bytes, got 256$"):
        plain_client(password=b"x" * 256)


def test_an_error_of_plain_as_libzmq_writes_it_is_understood():
    client, server = plain_client(), plain_server()
    client.receive(server.to_send())
    assert client.next_event() is None
    error = refused(client, frames.encode(b"^RROR\x03400", command=True))
    assert (error.fault, str(error)) == (Fault.REFUSED, "the other end has refused: '400'")


# CURVE


def test_subscriptions_and_signs_of_life_are_sealed_too():
    talk = joined("CURVE", "SUB", "PUB")
    sub, pub = talk.ends
    sub.subscribe(b"topic")
    sub.cancel(b"topic")
    sub.ping(7, b"context")
    pub.send([b"topic", b"body"])
    talk.go()
    assert talk.found[1][2:] == [Subscribe(b"topic"), Cancel(b"topic"), Ping(7, b"context")]
    assert talk.found[0][1:] == [Message((b"topic", b"body")), Pong(b"context")]
    for said in talk.said:
        assert not any(word in said for word in (b"topic", b"SUBSCRIBE", b"PING", b"context", b"body"))


@given(st.lists(st.lists(st.binary(max_size=600), min_size=1, max_size=4), max_size=5), st.integers(1, 700))
@settings(max_examples=50, deadline=None)
def test_messages_of_all_shapes_arrive_and_nothing_of_them_can_be_read(messages, size):
    talk = joined("CURVE", size=size)
    for parts in messages:
        talk.ends[0].send(parts)
    talk.go()
    assert talk.found[1][2:] == [Message(tuple(parts)) for parts in messages]
    assert not any(len(part) >= 8 and part in talk.said[0] for parts in messages for part in parts)


def test_the_wrong_key_of_a_server_is_refused_by_it():
    with pytest.raises(ProtocolError, match=r"^HELLO: expected a box of the right keys") as raised:
        Talk(curve_client(server=CLIENT_KEY), curve_server()).go()
    assert raised.value.fault is Fault.FORGED


def test_a_server_that_does_not_have_the_secret_key_is_refused():
    client, server = curve_client(), curve_server(secret=sodium.new_pair()[1])
    client.receive(server.to_send())
    assert client.next_event() is None
    said = frames.encode(b"\7WELCOME" + bytes(160), command=True)
    assert refused(client, said).fault is Fault.FORGED


def test_a_key_that_none_can_use_is_refused():
    with pytest.raises(ValueError, match=r"^a box that cannot be opened with these keys$"):
        curve_client(server=bytes(32))


def test_a_recorded_handshake_opens_no_other_connection():
    talk = joined("CURVE")
    again = curve_server()
    # Its WELCOME has another short-term key and another cookie.
    error = refused(again, bytes(talk.said[0]))
    assert (error.fault, str(error)[:9]) == (Fault.FORGED, "INITIATE:")


@pytest.mark.parametrize("step", [0, 1])
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_handshake_that_is_changed_on_its_way_is_refused(step, data):
    """In each bit of what the client says, but for the padding and the nonce of HELLO."""
    client, server = curve_client(), curve_server()
    server.receive(client.to_send())
    client.receive(server.to_send())
    assert (client.next_event(), server.next_event()) == (None, None)
    said = bytearray(client.to_send())
    if step:
        server.receive(bytes(said))
        assert server.next_event() is None
        client.receive(server.to_send())
        assert client.next_event() is None
        said = bytearray(client.to_send())
    # The head of a frame and the name are not what is tried here.
    first = 2 + 6 + 2 + 72 if not step else 9 + 9
    at = data.draw(st.integers(first, len(said) - 1))
    said[at] ^= 1 << data.draw(st.integers(0, 7))
    assert refused(server, bytes(said)).fault in (Fault.FORGED, Fault.REPLAYED, Fault.BAD_HANDSHAKE, Fault.TOO_LARGE)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_frame_that_is_changed_on_its_way_ends_the_connection(data):
    talk = joined("CURVE")
    talk.ends[0].send([b"body of the message"])
    said = bytearray(talk.ends[0].to_send())
    at = data.draw(st.integers(2, len(said) - 1))
    said[at] ^= 1 << data.draw(st.integers(0, 7))
    assert refused(talk.ends[1], bytes(said)).fault in (Fault.FORGED, Fault.REPLAYED, Fault.BAD_FRAME)


def test_a_frame_that_comes_again_or_out_of_order_ends_the_connection():
    for order in ((0, 0), (1, 0)):
        talk = joined("CURVE")
        said = []
        for word in (b"one", b"two"):
            talk.ends[0].send([word])
            said.append(talk.ends[0].to_send())
        talk.ends[1].receive(said[order[0]])
        assert isinstance(talk.ends[1].next_event(), Message)
        assert refused(talk.ends[1], said[order[1]]).fault is Fault.REPLAYED


@pytest.mark.parametrize(
    "frame",
    [
        frames.encode(b"not sealed" * 10),
        frames.encode(b"\7MESSAGE" + bytes(SEALED_BYTES - 9)),
        frames.encode(b"\7MESSAGE" + bytes(SEALED_BYTES), more=True),
        frames.encode(b"\5READY" + bytes(SEALED_BYTES), command=True),
    ],
)
def test_what_is_not_sealed_ends_a_connection_of_curve(frame):
    assert refused(joined("CURVE").ends[1], frame).fault is Fault.BAD_FRAME


def test_flags_of_a_message_and_of_a_command_together_are_refused():
    talk = joined("CURVE")
    session = talk.ends[0].peer.session
    assert refused(talk.ends[1], frames.encode(session.seal(b"\1x", more=True, command=True))).fault is Fault.BAD_FRAME


def test_a_sealed_frame_may_be_marked_as_a_command_as_the_specification_has_it():
    talk = joined("CURVE")
    sealed = talk.ends[0].peer.session.seal(b"body")
    talk.ends[1].receive(frames.encode(sealed, command=True))
    assert talk.ends[1].next_event() == Message((b"body",))


@pytest.mark.parametrize(
    ("body", "command", "fault"),
    [
        (b"x" * 300, False, None),
        (b"x" * 301, False, Fault.TOO_LARGE),
        (b"\4PING" + b"x" * 196, True, Fault.TOO_LARGE),
        (b"\x09SUBSCRIBE" + b"x" * 21, True, Fault.TOPIC_TOO_LONG),
    ],
)
def test_bounds_count_what_is_within_a_sealed_frame(body, command, fault):
    # A handshake needs larger commands than these.
    bounds = Bounds(frame_bytes=300, message_bytes=400, parts=3, command_bytes=200, topic_bytes=20)
    client, server = curve_client("SUB"), curve_server("XPUB", bounds=Bounds(topic_bytes=20))
    talk = Talk(client, server).go()
    server._reader = FrameReader(bounds.frame_bytes, bounds.command_bytes)
    server._reader.expect_sealed(SEALED_BYTES)
    sealed = frames.encode(client.peer.session.seal(body, command=command))
    if fault is None:
        server.receive(sealed)
        talk.go()
        assert server.next_event() == Message((body,))
    else:
        assert refused(server, sealed).fault is fault


def test_ready_tells_the_session_to_no_repr():
    ready = joined("CURVE").found[0][0]
    assert isinstance(ready, Ready)
    assert "session" not in repr(ready)


def test_a_public_key_is_found_from_its_secret_key():
    public, secret = sodium.new_pair()
    assert sodium.public_of(secret) == public
