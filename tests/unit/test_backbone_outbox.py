"""What waits for other devices: in order, numbered as it goes, bounded, and all of it accounted for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.backbone.pack import HEAD_BYTES, head_of
from geventrelay.backbone.topics.outbox import PACK_BYTES, Outbox, OutPack, OutServed, OutTurn
from geventrelay.backbone.values import BackboneDrop
from geventrelay.backbone.whole import split
from geventrelay.backbone.words.mesh import Mark, Served
from geventrelay.backbone.words.trace import Probe, Traced

ME, RELAY = b"me345678", b"other678"
A, B = b"a" * 16, b"b" * 16
LARGE = 1 << 20


def message(body: bytes) -> bytes:
    return bytes([0, len(body)]) + body if len(body) < 256 else b"\2" + len(body).to_bytes(8, "big") + body


def taken(outbox: Outbox, most_bytes: int = LARGE) -> list[OutPack | OutServed]:
    found = []
    while (one := outbox.take(most_bytes)) is not None:
        found.append(one)
    return found


def bodies(pack: OutPack) -> list[bytes]:
    return [parts[0] for parts in split(pack.data[HEAD_BYTES:])]


def test_messages_of_one_stream_travel_together_and_the_head_says_where_they_stand():
    outbox = Outbox(ME, LARGE)
    outbox.put((A,), message(b"1") + message(b"2"), 2)
    outbox.put((A, B), message(b"3"), 1)
    assert outbox.take(LARGE) is None
    outbox.close()
    one, other = taken(outbox)
    assert (bodies(one), bodies(other)) == ([b"1", b"2", b"3"], [b"3"])
    head = head_of(one.data)
    assert (head.relay, head.stream, head.number, head.first, head.count) == (ME, A, 0, 0, 3)
    outbox.put((A,), message(b"4"), 1)
    outbox.close()
    head = head_of(taken(outbox)[0].data)
    assert (head.number, head.first, head.count) == (1, 3, 1)
    assert (outbox.waiting, outbox.waiting_bytes) == (0, 0)


def test_a_pack_that_is_large_enough_goes_at_once():
    outbox = Outbox(ME, LARGE)
    outbox.put((A,), message(b"x" * PACK_BYTES), 1)
    outbox.put((A,), message(b"y"), 1)
    assert outbox and outbox.has_open
    (pack,) = taken(outbox)
    assert pack.count == 1
    assert outbox.waiting == 1


def test_a_word_stands_between_what_was_put_before_and_after():
    outbox = Outbox(ME, LARGE)
    outbox.put((A,), message(b"1"), 1)
    outbox.put((B,), message(b"2"), 1)
    outbox.serve(RELAY, 7, B, A)
    outbox.put((A, B), message(b"3"), 1)
    outbox.close()
    found = taken(outbox)
    assert {one.stream: bodies(one) for one in found[:2]} == {A: [b"1"], B: [b"2"]}
    assert found[2] == OutServed(RELAY, Served(ME, 7, Mark(B, 1, 1), Mark(A, 1, 1)))
    assert {one.stream: bodies(one) for one in found[3:]} == {A: [b"3"], B: [b"3"]}


def test_the_first_and_the_last_word_say_that_there_is_no_stream():
    outbox = Outbox(ME, LARGE)
    outbox.serve(RELAY, 1, A, None)
    outbox.serve(RELAY, 2, None, A)
    outbox.serve(RELAY, 3, B, Mark(A, 5, 6))
    assert [one.word for one in taken(outbox)] == [
        Served(ME, 1, Mark(A, 0, 0), None),
        Served(ME, 2, None, Mark(A, 0, 0)),
        Served(ME, 3, Mark(B, 0, 0), Mark(A, 5, 6)),
    ]


def test_what_is_too_much_is_dropped_and_leaves_no_hole():
    outbox = Outbox(ME, 100)
    outbox.put((A,), message(b"x" * 80), 1)
    assert not outbox.is_full
    outbox.put((A, B), message(b"y" * 30), 1)
    outbox.put((A,), message(b"z" * 16), 1)
    assert outbox.is_full
    outbox.close()
    (pack,) = taken(outbox)
    assert [body[:1] for body in bodies(pack)] == [b"x", b"z"]
    assert outbox.dropped == {BackboneDrop.BACKBONE: 2}
    # A single one has room whatever the limit is.
    outbox.put((A,), message(b"x" * 300), 1)
    outbox.close()
    assert head_of(taken(outbox)[0].data).first == 2


def test_where_nothing_is_dropped_it_is_full_until_enough_has_gone():
    outbox = Outbox(ME, 100, drops=False)
    outbox.put((A, B), message(b"x" * 98), 1)
    outbox.put((A,), message(b"y"), 1)
    assert outbox.is_full
    outbox.close()
    assert [one.count for one in taken(outbox)] == [2, 1]
    assert not outbox.is_full and not outbox.dropped


def test_what_waits_in_a_forgotten_stream_is_dropped_and_words_stay():
    outbox = Outbox(ME, LARGE)
    outbox.put((A, B), message(b"1"), 1)
    outbox.serve(RELAY, 1, B, A)
    outbox.put((A,), message(b"2"), 1)
    outbox.forget(A)
    found = taken(outbox)
    assert [one.stream for one in found if isinstance(one, OutPack)] == [B]
    assert len(found) == 2
    assert outbox.dropped == {BackboneDrop.LEFT: 2}
    assert (outbox.waiting, outbox.waiting_bytes) == (0, 0)
    assert outbox.mark(A) == Mark(A, 0, 0)


def test_what_waits_at_the_end_is_dropped():
    outbox = Outbox(ME, LARGE)
    outbox.put((A, B), message(b"1"), 1)
    outbox.serve(RELAY, 1, B, A)
    outbox.put((A,), message(b"2"), 1)
    outbox.drop_all()
    assert outbox.take(LARGE) is None
    assert outbox.dropped == {BackboneDrop.STOPPED: 3}
    assert (outbox.waiting, outbox.waiting_bytes) == (0, 0)


def test_what_is_larger_than_the_server_takes_is_cut_or_dropped():
    outbox = Outbox(ME, LARGE)
    outbox.put((A,), b"".join(message(body) for body in (b"x" * 60, b"y" * 101, b"z" * 40, b"1" * 60)), 4)
    outbox.close()
    packs = taken(outbox, HEAD_BYTES + 102)
    assert [[body[:1] for body in bodies(one)] for one in packs] == [[b"x"], [b"z"], [b"1"]]
    assert [head_of(one.data).first for one in packs] == [0, 1, 2]
    assert outbox.dropped == {BackboneDrop.TOO_LARGE: 1}
    assert (outbox.waiting, outbox.waiting_bytes) == (0, 0)


def test_parts_of_a_message_stay_together_where_a_pack_is_cut():
    parts = b"\1\1a" + b"\3" + (3).to_bytes(8, "big") + b"bcd" + b"\0\1e"
    outbox = Outbox(ME, LARGE)
    outbox.put((A,), parts * 3, 3)
    outbox.close()
    packs = taken(outbox, HEAD_BYTES + len(parts))
    assert [one.data[HEAD_BYTES:] for one in packs] == [parts] * 3


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.sets(st.sampled_from([A, B])), st.lists(st.integers(0, 300), min_size=1, max_size=4)
        ),
        st.tuples(st.just("close"), st.none(), st.none()),
        st.tuples(st.just("take"), st.integers(100, 500), st.none()),
        st.tuples(st.just("forget"), st.sampled_from([A, B]), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_each_message_goes_or_is_counted(steps):
    outbox = Outbox(ME, 2000)
    put = {A: 0, B: 0}
    gone: dict[bytes, list[OutPack]] = {A: [], B: []}
    for kind, which, sizes in steps:
        if kind == "put":
            outbox.put(tuple(sorted(which)), b"".join(message(b"x" * size) for size in sizes), len(sizes))
            for stream in which:
                put[stream] += len(sizes)
        elif kind == "close":
            outbox.close()
        elif kind == "take":
            one = outbox.take(which)
            if one is not None:
                assert len(one.data) <= which
                gone[one.stream].append(one)
        else:
            outbox.forget(which)
        sent = sum(one.count for packs in gone.values() for one in packs)
        assert sum(put.values()) == sent + sum(outbox.dropped.values()) + outbox.waiting
        assert outbox.waiting_bytes <= 2000 + 4 * 309
    for stream, packs in gone.items():
        first = 0
        for number, one in enumerate(packs):
            head = head_of(one.data)
            assert (head.number, head.first, head.count) == (number, first, len(bodies(one)))
            first += head.count
        assert outbox.mark(stream) == Mark(stream, len(packs), first)


def test_of_many_streams_the_latest_places_are_known():
    outbox = Outbox(ME, LARGE)
    for number in range(5000):
        outbox.put((number.to_bytes(16, "big"),), message(b"x"), 1)
        outbox.close()
        taken(outbox)
    assert outbox.mark((4999).to_bytes(16, "big")).message == 1
    assert outbox.mark((0).to_bytes(16, "big")).message == 0


def test_a_word_follows_all_that_waited_and_goes_before_what_came_later():
    outbox = Outbox(ME, LARGE)
    outbox.put((A,), message(b"1"), 1)
    outbox.follow(RELAY, Probe)
    outbox.put((A,), message(b"2"), 1)
    outbox.follow(RELAY, Traced)
    outbox.close()
    found = taken(outbox)
    assert [bodies(one) if isinstance(one, OutPack) else one for one in found] == [
        [b"1"], OutTurn(RELAY, Probe), [b"2"], OutTurn(RELAY, Traced),
    ]  # fmt: skip
    assert not outbox


def test_of_one_kind_one_word_waits_for_each_device_and_a_later_one_waits_longer():
    outbox = Outbox(ME, LARGE)
    outbox.follow(RELAY, Probe)
    outbox.follow(b"third678", Probe)
    outbox.put((A,), message(b"1"), 1)
    outbox.follow(RELAY, Probe)
    first, pack, last = taken(outbox)
    assert (first, last) == (OutTurn(b"third678", Probe), OutTurn(RELAY, Probe))
    assert isinstance(pack, OutPack)
    outbox.follow(RELAY, Probe)
    assert outbox
    outbox.forget_word(RELAY, Probe)
    outbox.forget_word(RELAY, Traced)
    assert not outbox and outbox.take(LARGE) is None


def test_a_word_follows_also_where_what_waited_is_forgotten_or_cut():
    outbox = Outbox(ME, LARGE)
    outbox.put((A,), message(b"1"), 1)
    outbox.follow(RELAY, Probe)
    outbox.put((B,), message(b"2" * 100) + message(b"3" * 100), 2)
    outbox.follow(RELAY, Traced)
    outbox.forget(A)
    turn, *packs, last = taken(outbox, HEAD_BYTES + 150)
    assert turn == OutTurn(RELAY, Probe)
    assert [bodies(one) for one in packs] == [[b"2" * 100], [b"3" * 100]]
    assert last == OutTurn(RELAY, Traced)


def test_no_word_follows_once_the_device_stops():
    outbox = Outbox(ME, LARGE)
    outbox.follow(RELAY, Probe)
    outbox.drop_all()
    assert not outbox and taken(outbox) == []
