"""What the cores of the switch do with connections of CURVE: frames are opened when they come, and sealed."""

from __future__ import annotations

import pytest
from support.switch import NEVER, SMALL, check, many, wire

from geventrelay.switch.contract import Progress
from geventrelay.terms import SlowSubscriber
from geventrelay.zmtp import frames
from geventrelay.zmtp.errors import Fault
from geventrelay.zmtp.session import SEALED_BYTES

MESSAGES = [
    [b"one"],
    [b"", b"two", b"x" * 300],
    [b""],
    [b"y" * 254],
    [b"z" * 255, b"z" * 256],
    [b"w" * 221],
    [b"w" * 222],
]


def streamer(world, **options):
    """A sender and a receiver, both of CURVE, and the way between them."""
    push = world.side("PUSH", **options)
    pull, way = world.way("PULL", push)
    return world.far(pull, sealed=True), world.far(push, sealed=True), way


def test_messages_of_all_shapes_go_from_one_peer_to_the_other(world):
    source, sink, way = streamer(world)
    data = b"".join(wire(*parts) for parts in MESSAGES)
    assert source.send(data) is Progress.NOT_READY
    assert sink.got() == MESSAGES
    assert sink.peer.counts().delivered == source.peer.counts().received == len(MESSAGES)
    assert source.peer.counts().received_bytes == sum(len(part) for parts in MESSAGES for part in parts)
    check(way, source, sink)


def test_nothing_of_a_message_can_be_read_on_either_connection(world):
    source, sink, _ = streamer(world)
    sealed = source.sealed(wire(b"a secret word", b"more of it"))
    source.theirs.sendall(sealed)
    source.read()
    found = sink.raw()
    assert found
    for said in (sealed, found):
        assert not any(word in said for word in (b"secret", b"more"))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_it_does_not_matter_how_bytes_are_cut(world, size):
    source, sink, _ = streamer(world)
    sealed = source.sealed(b"".join(wire(*parts) for parts in MESSAGES))
    for at in range(0, len(sealed), size):
        source.theirs.sendall(sealed[at : at + size])
        source.read()
    assert sink.got() == MESSAGES


def test_what_came_with_the_handshake_is_understood(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    sink = world.far(push, sealed=True)
    source = world.far(pull, sealed=True, rest=wire(b"early"))
    source.read()
    assert sink.singles() == [b"early"]


def test_peers_of_all_kinds_are_served_together(world):
    xpub = world.side("XPUB")
    sub, _ = world.way("SUB", xpub)
    sub.subscribe(b"")
    sources = [world.far(sub, sealed=sealed) for sealed in (False, True)]
    sinks = [world.far(xpub, sealed=sealed) for sealed in (False, True, True)]
    for sink in sinks:
        sink.send(wire(b"\1m"))
    for source in sources:
        assert source.send(wire(b"mine") + wire(b"other") + wire(b"more")) is Progress.NOT_READY
    assert [sink.singles() for sink in sinks] == [[b"mine", b"more"] * 2] * 3


def test_a_large_message_passes_in_pieces_and_leaves_no_memory(world):
    source, sink, way = streamer(world)
    large = [b"l" * 3_000_000, b"end"]
    found = bytearray()
    sealed = source.sealed(wire(*large) + wire(b"next"))
    for at in range(0, len(sealed), 50_000):
        source.theirs.sendall(sealed[at : at + 50_000])
        source.read()
        found += sink.raw()
    while sink.peer.wants_write:
        sink.peer.write(NEVER)
        found += sink.raw()
    sink.feed(bytes(found))
    assert sink.got() == [large, [b"next"]]
    check(way, source, sink)


def test_messages_that_the_kernel_does_not_take_are_written_once_it_does(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull, sealed=True), world.far(push, sealed=True, small=True)
    sent = many(400, 200)
    source.send(b"".join(map(wire, sent)))
    assert 0 < sink.peer.counts().delivered < 400
    assert sink.all_singles() == sent
    assert sink.peer.counts().delivered == 400
    check(way, source, sink)


def test_a_message_sealed_in_half_goes_whole_to_the_next_connection_and_none_twice(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source = world.far(pull, sealed=True)
    peer = push.new_peer(queues_before=True)
    sink = world.connect(peer, sealed=True, small=True)
    sent = many(300, 300)
    source.send(b"".join(map(wire, sent)))
    before = sink.singles()
    delivered = peer.counts().delivered
    assert 0 < delivered < 300
    peer.detach()
    again = world.connect(peer, sealed=True)
    peer.write(NEVER)
    # What the kernel had taken wholly is not sent again.
    assert before == sent[:delivered]
    assert again.all_singles() == sent[delivered:]
    check(way, source)


def test_the_oldest_make_way_though_they_were_sealed(world):
    pub = world.side("PUB", sndhwm=10, slow_subscriber=SlowSubscriber.DROP_OLDEST)
    pull, way = world.way("PULL", pub)
    source, slow = world.far(pull, sealed=True), world.far(pub, sealed=True, small=True)
    slow.send(wire(b"\1"))
    sent = many(500, 100)
    for one in sent:
        source.send(wire(one))
    found = slow.all_singles()
    assert found[-9:] == sent[-9:]
    assert len(found) < 500
    check(way, source, slow)


def ended(far) -> Fault | None:
    assert far.read() is Progress.ENDED
    return far.peer.ended.fault


@pytest.mark.parametrize("at", [0, 2, 9, 17, 20, -1])
def test_a_frame_that_is_changed_on_its_way_ends_the_connection(world, at):
    source, sink, _ = streamer(world)
    good = source.sealed(wire(b"good"))
    bad = bytearray(source.sealed(wire(b"bad")))
    bad[at] ^= 0x88
    source.theirs.sendall(good + bad)
    assert ended(source) in (Fault.FORGED, Fault.REPLAYED, Fault.BAD_FRAME)
    assert sink.got() == [[b"good"]]


def test_a_frame_that_comes_again_ends_the_connection(world):
    source, sink, _ = streamer(world)
    sealed = source.sealed(wire(b"once"))
    source.theirs.sendall(sealed + sealed)
    assert ended(source) is Fault.REPLAYED
    assert sink.got() == [[b"once"]]


@pytest.mark.parametrize(
    "frame",
    [
        wire(b"not sealed"),
        wire(b"\7MESSAGE" + bytes(SEALED_BYTES - 9)),
        frames.encode(b"\7MESSAGE" + bytes(SEALED_BYTES), more=True),
        frames.encode(b"\4PING" + bytes(SEALED_BYTES), command=True),
        b"\x88\0",
    ],
)
def test_what_is_not_sealed_ends_the_connection(world, frame):
    source, _, _ = streamer(world)
    source.theirs.sendall(frame)
    assert ended(source) is Fault.BAD_FRAME


@pytest.mark.parametrize(
    ("parts", "fault"),
    [([b"x" * 301], Fault.TOO_LARGE), ([b"x"] * 4, Fault.TOO_MANY_PARTS), ([b"x" * 250] * 2, Fault.UNFINISHED)],
)
def test_bounds_hold_for_what_is_within(world, parts, fault):
    push = world.side("PUSH")
    pull = world.side("PULL", bounds=SMALL)
    world.way(pull, push)
    source = world.far(pull, sealed=True)
    source.put(wire(*parts))
    assert ended(source) is fault


def test_a_frame_that_is_announced_too_large_is_refused_by_its_head(world):
    pull = world.side("PULL", bounds=SMALL)
    world.way(pull, world.side("PUSH"))
    source = world.far(pull, sealed=True)
    source.theirs.sendall(b"\2" + (SMALL.frame_bytes + SEALED_BYTES + 1).to_bytes(8, "big"))
    assert ended(source) is Fault.TOO_LARGE


def test_a_connection_that_ends_within_a_sealed_frame_was_cut(world):
    source, _, _ = streamer(world)
    source.theirs.sendall(source.sealed(wire(b"whole")) + source.sealed(wire(b"cut"))[:-1])
    source.theirs.close()
    assert ended(source) is Fault.CUT


def test_a_ping_is_answered_and_asked_in_a_sealed_frame(world):
    source, _, _ = streamer(world)
    source.send(frames.encode(b"\4PING\0\0ctx", command=True))
    source.peer.ping(10)
    source.peer.write(NEVER)
    assert source.frames() == [
        frames.Frame(b"\4PONGctx", command=True),
        frames.Frame(b"\4PING\0\n", command=True),
    ]
