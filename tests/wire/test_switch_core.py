"""What every core of the switch does: messages from one peer to another, and what ends that."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.switch import NEVER, SMALL, check, command, many, new_world, subscribe, wire

from geventrelay.engine.counters import Drop
from geventrelay.switch.contract import Destination, Progress, SidePlan
from geventrelay.terms import WhenFull
from geventrelay.zmtp import commands, frames
from geventrelay.zmtp.errors import Fault
from geventrelay.zmtp.greeting import Version

MESSAGES = st.lists(
    st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * 255, b"y" * 256, b"z" * 70_000])), min_size=1),
    max_size=20,
)  # fmt: skip


# From one peer to another


def test_a_message_goes_from_one_peer_to_the_other_byte_for_byte(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    data = wire(b"one") + wire(b"", b"two", b"x" * 300) + wire(b"")
    assert source.send(data) is Progress.NOT_READY
    assert sink.bytes() == data
    assert (way.counters.received, way.counters.received_parts, way.counters.received_bytes) == (3, 5, 306)
    outlet = way.counters.outlets[0]
    assert (outlet.sent, outlet.sent_parts, outlet.sent_bytes) == (3, 5, 306)
    assert (source.peer.counts().received, source.peer.counts().received_bytes) == (3, 306)
    assert (sink.peer.counts().matched, sink.peer.counts().delivered) == (3, 3)
    assert source.peer.heard == len(data)
    check(way, source, sink)


@given(messages=MESSAGES, data=st.data())
@settings(max_examples=40)
def test_it_does_not_matter_how_bytes_are_cut(make_core, messages, data):
    whole = b"".join(wire(*parts) for parts in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    with new_world(make_core) as world:
        push = world.side("PUSH", sndhwm=0)
        pull, way = world.way("PULL", push)
        source, sink = world.far(pull), world.far(push)
        found = []
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            for at in range(start, end, 100_000):
                source.send(whole[at : min(at + 100_000, end)])
                found.append(sink.bytes())
        while sink.peer.wants_write:
            sink.peer.write(NEVER)
            found.append(sink.bytes())
        assert b"".join(found) == whole
        check(way, source, sink)


def test_bytes_may_come_one_by_one(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    data = wire(b"one") + wire(b"two", b"", b"x" * 300) + command(b"PING", b"\0\0hi") + wire(b"three")
    for at in range(len(data)):
        assert source.send(data[at : at + 1]) is Progress.NOT_READY
    assert sink.got() == [[b"one"], [b"two", b"", b"x" * 300], [b"three"]]
    assert source.bytes() == command(b"PONG", b"hi")
    check(way, source, sink)


def test_what_came_with_the_handshake_comes_first(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull, rest=wire(b"one") + wire(b"two")[:3]), world.far(push)
    source.send(wire(b"two")[3:])
    assert sink.singles() == [b"one", b"two"]


def test_a_message_larger_than_every_buffer_passes(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    data = wire(b"a") + wire(b"x" * 1_000_000, b"y" * 300_000) + wire(b"b")
    found = b""
    for at in range(0, len(data), 50_000):
        source.send(data[at : at + 50_000])
        found += sink.bytes()
    while sink.peer.wants_write:
        sink.peer.write(NEVER)
        found += sink.bytes()
    assert found == data
    check(way, source, sink)


# Taking turns, and waiting


def test_push_gives_each_message_to_one_peer_in_turn(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sinks = world.far(pull), [world.far(push) for _ in range(3)]
    source.send(b"".join(map(wire, many(8))))
    assert [sink.singles() for sink in sinks] == [many(8)[0::3], many(8)[1::3], many(8)[2::3]]
    check(way, source, *sinks)


def test_push_passes_over_peers_that_are_full(world):
    push = world.side("PUSH", sndhwm=2)
    pull, way = world.way("PULL", push)
    source, slow, sink = world.far(pull), world.far(push, small=True), world.far(push)
    large = b"x" * 300_000
    for _ in range(4):
        for at in range(0, len(wire(large)), 60_000):
            source.send(wire(large)[at : at + 60_000])
            sink.frames()
    assert slow.peer.counts().waiting == 2
    source.send(b"".join(map(wire, many(50))))
    assert slow.peer.counts().waiting == 2
    check(way, source, slow, sink)


def test_a_way_waits_while_every_peer_is_full_and_goes_on_then(world):
    push = world.side("PUSH", sndhwm=5)
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push, small=True)
    sent = many(600, 100)
    assert source.send(b"".join(map(wire, sent))) is Progress.NO_ROOM
    assert not way.has_room
    assert sink.peer.counts().waiting == 5
    assert world.core.take_stalled() == [sink.peer]
    assert world.core.take_stalled() == []
    received = way.counters.received
    assert source.read() is Progress.NO_ROOM
    assert way.counters.received == received
    found = sink.singles()
    while len(found) < len(sent):
        sink.peer.write(NEVER)
        assert way.has_room
        source.read()
        found += sink.singles()
        check(way, source, sink)
    assert found == sent


def test_a_way_waits_for_the_first_peer(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source = world.far(pull)
    assert source.send(wire(b"one") + wire(b"two")) is Progress.NO_ROOM
    assert (way.counters.received, way.has_room) == (0, False)
    sink = world.far(push)
    assert way.has_room
    assert source.read() is Progress.NOT_READY
    assert sink.singles() == [b"one", b"two"]


def test_a_destination_that_drops_counts_why(world):
    push = world.side("PUSH", sndhwm=3)
    pull, way = world.way("PULL", Destination(push, WhenFull.DROP))
    source = world.far(pull)
    assert source.send(b"".join(map(wire, many(10)))) is Progress.NOT_READY
    assert way.counters.outlets[0].dropped == {Drop.NO_PEER: 10}
    sink = world.far(push, small=True)
    source.send(b"".join(map(wire, many(600, 100))))
    dropped = way.counters.outlets[0].dropped
    assert dropped[Drop.NO_PEER] == 10
    assert dropped[Drop.FULL] == 600 - way.counters.outlets[0].sent
    assert sink.all_singles() == many(600, 100)[: way.counters.outlets[0].sent]
    check(way, source, sink)


def test_after_its_stop_a_way_only_counts(world):
    push = world.side("PUSH", sndhwm=3)
    pull, way = world.way("PULL", push)
    source = world.far(pull)
    assert source.send(wire(b"one", b"two") * 10 + wire(b"half")[:3]) is Progress.NO_ROOM
    sink = world.far(push)
    way.stop()
    assert way.has_room
    assert source.read() is Progress.NOT_READY
    assert (way.counters.received, way.counters.received_parts, way.counters.received_bytes) == (10, 20, 60)
    assert way.counters.outlets[0].dropped == {Drop.STOPPED: 10}
    assert sink.singles() == []
    check(way, source, sink)


def test_a_high_water_mark_below_a_burst_loses_nothing_while_the_kernel_takes_all(world):
    push = world.side("PUSH", sndhwm=1)
    pull, way = world.way("PULL", Destination(push, WhenFull.DROP))
    source, sink = world.far(pull), world.far(push)
    source.send(b"".join(map(wire, many(100))))
    assert sink.singles() == many(100)
    check(way, source, sink)


def test_a_high_water_mark_may_be_in_bytes(world):
    push = world.side("PUSH", sndhwm=0, sndhwm_bytes=1000)
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push, small=True)
    assert source.send(b"".join(map(wire, many(600, 100)))) is Progress.NO_ROOM
    counts = sink.peer.counts()
    assert 1000 <= counts.waiting_bytes < 1200
    check(way, source, sink)


# Turns


def test_a_turn_that_is_over_moves_one_run_at_least_and_says_so(world):
    push = world.side("PUSH", sndhwm=0)
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    sent = many(2000, 0)
    source.put(b"".join(map(wire, sent)))
    turns, before = 0, 0
    while source.read(time.monotonic()) is Progress.TURN_OVER:
        turns += 1
        assert way.counters.received > before
        before = way.counters.received
    assert turns > 1
    assert world.core.take_stalled() == [sink.peer]
    assert sink.peer.write(NEVER) is Progress.NOT_READY
    assert sink.singles() == sent


# Ends


def test_a_message_that_comes_in_half_is_dropped_with_its_connection(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    source.send(wire(b"one") + wire(b"never", b"whole")[:-1])
    source.theirs.close()
    assert source.read() is Progress.ENDED
    assert source.peer.ended.fault is Fault.CUT
    assert world.core.take_ended() == []
    source.peer.detach()
    again = world.connect(source.peer)
    again.send(wire(b"two"))
    assert sink.singles() == [b"one", b"two"]
    check(way, source, sink)


def test_a_connection_that_ends_between_messages_is_no_fault(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    source.send(wire(b"one"))
    source.theirs.close()
    assert source.read() is Progress.ENDED
    assert source.peer.ended.fault is None
    assert sink.singles() == [b"one"]


def test_a_peer_whose_connection_ends_in_a_write_gets_no_more(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, gone, sink = world.far(pull), world.far(push), world.far(push)
    gone.theirs.close()
    source.send(wire(b"one"))
    assert world.core.take_ended() == [gone.peer]
    assert gone.peer.ended is not None
    source.send(wire(b"two") + wire(b"three"))
    assert sink.singles() == [b"two", b"three"]
    gone.peer.detach()
    push.remove(gone.peer)
    assert gone.peer.counts().dropped == {Drop.LEFT: 1}
    check(way, source, gone, sink)


def test_a_message_written_in_half_goes_whole_to_the_next_connection(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, peer = world.far(pull), push.new_peer(queues_before=True)
    sink = world.connect(peer, small=True)
    sent = [b"%d" % number * 30_000 for number in range(4)]
    for message in sent:
        source.send(wire(message))
    assert sink.peer.counts().waiting == 4
    assert 0 < len(sink.bytes()) < 30_000
    sink.hang_up()
    source.send(wire(b"later"))
    again = world.connect(peer)
    assert peer.wants_write
    assert again.all_singles() == [*sent, b"later"]
    check(way, source, again)


def test_what_waits_for_a_peer_that_is_removed_is_dropped(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source, peer = world.far(pull), push.new_peer(queues_before=True)
    source.send(wire(b"one") + wire(b"two"))
    push.remove(peer)
    counts = peer.counts()
    assert (counts.matched, counts.delivered, counts.waiting, counts.dropped) == (2, 0, 0, {Drop.LEFT: 2})
    assert not way.has_room


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x80\0", Fault.BAD_FRAME),
        (b"\5\0", Fault.BAD_FRAME),
        (b"\2" + (301).to_bytes(8, "big"), Fault.TOO_LARGE),
        (b"\1\xff" + bytes(255) + b"\0\xff", Fault.UNFINISHED),
        (b"\1\0" * 4, Fault.TOO_MANY_PARTS),
        (b"\4\xff", Fault.TOO_LARGE),
        (b"\4\0", Fault.BAD_FRAME),
        (command(b"PING", b"\0"), Fault.BAD_FRAME),
    ],
)
def test_a_peer_that_sends_what_it_must_not_is_ended_and_what_came_before_counts(world, data, fault):
    push = world.side("PUSH")
    pull, way = world.way(world.side("PULL", bounds=SMALL), push)
    source, sink = world.far(pull), world.far(push)
    assert source.send(wire(b"one") + data) is Progress.ENDED
    assert source.peer.ended.fault is fault
    assert sink.singles() == [b"one"]
    assert source.read() is Progress.ENDED
    check(way, source, sink)


# Commands


def test_a_ping_is_answered_also_within_a_message(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    first, last = frames.encode(b"one", more=True), frames.encode(b"two")
    source.send(first + command(b"PING", b"\0\1abc") + last + command(b"UNKNOWN", b"?") + wire(b"three"))
    assert sink.got() == [[b"one", b"two"], [b"three"]]
    assert source.bytes() == command(b"PONG", b"abc")


def test_a_command_within_a_message_that_has_to_wait_is_found_again(world):
    push, xpub = world.side("PUSH", sndhwm=1), world.side("XPUB")
    world.way(xpub, Destination(push))
    source = world.far(xpub)
    first, last = frames.encode(b"2", more=True), frames.encode(b"3")
    assert source.send(first + subscribe(b"a") + command(b"PING", b"\0\0") + last) is Progress.NO_ROOM
    sink = world.far(push)
    found = []
    for _ in range(4):
        source.read()
        sink.peer.write(NEVER)
        found += sink.got()
    assert found == [[b"\1a"], [b"2", b"3"]]
    assert source.bytes() == command(b"PONG")


def test_commands_within_a_large_message_cost_no_copy_of_it(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push)
    large = frames.encode(bytes(4 << 20), more=True)
    for at in range(0, len(large), 100_000):
        source.send(large[at : at + 100_000])
    tracemalloc.start()
    try:
        source.send(command(b"PING", b"\0\0") * 200)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 1 << 20
    source.send(frames.encode(b"end"))
    found = sink.frames()
    while sink.peer.wants_write:
        sink.peer.write(NEVER)
        found += sink.frames()
    assert [len(frame.body) for frame in found] == [4 << 20, 3]


def test_of_a_ping_its_time_to_live_is_told(world):
    pull, _ = world.way("PULL", world.side("PUSH"))
    source, found = world.far(pull), []
    source.send(command(b"PING", b"\0\1"))
    source.peer.on_ping = found.append
    source.send(command(b"PING", b"\0\0") + command(b"PING", b"\1\2a"))
    assert found == [258]
    source.peer.on_ping = None
    source.send(command(b"PING", b"\0\1"))
    assert source.frames()[-1].body == b"\4PONG"


def test_a_ping_of_ours_goes_between_messages(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, sink = world.far(pull), world.far(push, small=True)
    sent = [b"%d" % number * 30_000 for number in range(3)]
    for message in sent:
        source.send(wire(message))
    sink.peer.ping(5)
    found = sink.frames()
    while sink.peer.wants_write:
        sink.peer.write(NEVER)
        found += sink.frames()
    assert [frame.body for frame in found] == [sent[0], commands.ping(5).body, *sent[1:]]


def test_a_peer_that_pings_and_reads_nothing_costs_no_memory(world):
    pull, _ = world.way("PULL", world.side("PUSH"))
    source = world.far(pull, small=True)
    for _ in range(200):
        source.send(command(b"PING", b"\0\0" + b"c" * 16) * 100)
    waiting = source.bytes()
    source.peer.write(NEVER)
    assert len(source.bytes()) < 10_000 + len(waiting)


# Versions


@pytest.mark.parametrize("version", Version)
def test_peers_of_all_versions_understand_each_other(world, version):
    old = version is Version.V1_0
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    sources = [world.far(pull, version=version), world.far(pull)]
    sinks = [world.far(push, version=version), world.far(push)]
    messages = [[b"a"], [b"b", b"", b"c"], [b"d" * 253], [b"e" * 254, b"f" * 255], [b"g" * 300]]
    for parts in messages:
        sources[0].send(frames.encode_message(parts, v1_0=old) * 2)
        sources[1].send(frames.encode_message(parts) * 2)
    for sink in sinks:
        assert sink.got() == [parts for parts in messages for _ in range(2)]
    check(way, *sources, *sinks)


def test_old_versions_have_no_commands(world):
    pull, _ = world.way("PULL", world.side("PUSH"))
    source = world.far(pull, version=Version.V2_0)
    assert source.send(command(b"PING", b"\0\0")) is Progress.ENDED
    assert source.peer.ended.fault is Fault.BAD_FRAME
    with pytest.raises(ValueError, match=r"3\.1"):
        source.peer.ping(1)


def test_a_peer_that_was_detached_is_not_reported_as_ended(world):
    push = world.side("PUSH")
    pull, _ = world.way("PULL", push)
    source, gone = world.far(pull), world.far(push)
    gone.theirs.close()
    source.send(wire(b"one"))
    gone.hang_up()
    assert gone.peer.ended is None
    assert world.core.take_ended() == []
    assert world.core.take_stalled() == []


def test_a_type_that_no_core_speaks_is_refused(make_core):
    with pytest.raises(ValueError, match="PAIR"):
        make_core().side(SidePlan("frontend", "PAIR"))


def test_a_tap_sees_the_parts_of_what_is_moved(world):
    push = world.side("PUSH")
    pull, way = world.way("PULL", push)
    source = world.far(pull)
    seen: list[Sequence[bytes]] = []
    way.set_tap(lambda parts: seen.append(list(parts)))
    source.send(wire(b"one", b"two") + wire(b"three"))
    assert seen == []
    world.far(push)
    source.read()
    way.set_tap(None)
    source.send(wire(b"four"))
    assert seen == [[b"one", b"two"], [b"three"]]


@given(data=st.data())
@settings(max_examples=25)
def test_pull_to_push_loses_and_repeats_nothing_whatever_happens(make_core, data):
    with new_world(make_core) as world:
        push = world.side("PUSH", sndhwm=data.draw(st.sampled_from([1, 3, 1000])))
        pull, way = world.way("PULL", push)
        sources = [world.far(pull) for _ in range(2)]
        sinks = [world.far(push, small=True) for _ in range(data.draw(st.integers(1, 3)))]
        sent: list[list[bytes]] = [[] for _ in sources]
        found: list[bytes] = []
        for _ in range(data.draw(st.integers(1, 15))):
            match data.draw(st.sampled_from(["send", "read", "take"])):
                case "send":
                    which = data.draw(st.integers(0, 1))
                    count, size = data.draw(st.sampled_from([(1, 1), (50, 100), (3, 9000)]))
                    more = [b"%d:" % which + one for one in many(count, size, len(sent[which]))]
                    with contextlib.suppress(BlockingIOError):
                        sources[which].theirs.send(b"")
                        if len(sent[which]) < 200:
                            sources[which].put(b"".join(map(wire, more)))
                            sent[which] += more
                case "read":
                    for source in sources:
                        source.read(data.draw(st.sampled_from([0.0, NEVER])))
                case "take":
                    sink = data.draw(st.sampled_from(sinks))
                    found += [frame.body for frame in sink.frames()]
                    sink.peer.write(NEVER)
            check(way, *sources, *sinks)
        for _ in range(2000):
            if len(found) == sum(map(len, sent)):
                break
            for source in sources:
                source.read()
            for sink in sinks:
                sink.peer.write(NEVER)
                found += [frame.body for frame in sink.frames()]
        assert sorted(found) == sorted(sent[0] + sent[1])
        check(way, *sources, *sinks)
