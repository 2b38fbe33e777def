"""Subscribers without gaps over real sockets: threads, greenlets and asyncio, at a relay written from the wire."""

from __future__ import annotations

import asyncio
import contextlib

import gevent
import pytest
import zmq
import zmq.asyncio
import zmq.green
from support.subscribers import KINDS, FakeRelay, Reader, hash_of

from geventrelay.client import AsyncGaplessSubscriber, GaplessError, GaplessSubscriber, Lost, Message, Position
from geventrelay.errors import SettingsError
from geventrelay.testing import LOCAL, let_run, within

# So that nothing here takes longer than it has to.
SOON = {"quiet_s": 0.1, "answer_s": 0.2}


@pytest.fixture
def relay():
    with FakeRelay() as made:
        yield made


@pytest.fixture(params=KINDS)
def read(request):
    """Starts a reader of either kind, which has started and closes in the end."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **options):
            return stack.enter_context(Reader(request.param, *arguments, **{**SOON, **options}))

        yield start


def at(relay):
    return relay.sub_endpoint, relay.replay_endpoint


def test_each_message_comes_once_in_order_whatever_is_lost_on_the_way(relay, read):
    reader = read(*at(relay))
    for number in range(3000):
        relay.publish(b"topic", b"%d" % number, arrives=number % 7 and not 1000 <= number < 2000)
        if number % 100 == 0:
            let_run(1)
    reader.until_number(3999)
    assert reader.numbers == list(range(1000, 4000))
    assert reader.hash == hash_of(relay.log.published)


def test_a_lost_tail_comes_when_it_is_quiet(relay, read):
    reader = read(*at(relay))
    relay.publish(b"lost", arrives=False)
    reader.until_number(1000)
    assert reader.events == [Message(1000, [b"lost"])]


def test_with_prefixes_it_gets_what_begins_with_one_of_them(relay, read):
    reader = read(*at(relay), "a", b"b")
    relay.subscribed()
    for number in range(500):
        relay.publish(b"abcd"[number % 4 :][:1], b"%d" % number, arrives=number % 3 > 0)
    reader.until_number(1497)
    assert reader.numbers == [1000 + number for number in range(500) if number % 4 in (0, 1)]


def test_it_begins_with_the_oldest_and_says_what_is_lost(relay, read):
    for number in range(10):
        relay.publish(b"%d" % number)
    relay.log.forget_before(1004)
    reader = read(*at(relay), start="oldest")
    reader.until_number(1009)
    again = read(*at(relay), start=Position(relay.log.epoch, 1002))
    again.until_number(1009)
    assert reader.events == [Message(n, [b"%d" % (n - 1000)]) for n in range(1004, 1010)]
    assert again.events == [Lost(1002, 1004), *reader.events]


def test_a_device_that_begins_anew_is_told_and_read_from_its_oldest(relay, read):
    reader = read(*at(relay))
    relay.subscribed()
    relay.publish(b"old")
    reader.until_number(1000)
    relay.begin_anew(5000)
    for _ in range(3):
        relay.publish(b"new")
    reader.until_number(5002)
    assert reader.events == [
        Message(1000, [b"old"]), Lost(1001, 5000, epoch_changed=True),
        *(Message(number, [b"new"]) for number in range(5000, 5003)),
    ]  # fmt: skip


def test_a_clock_that_was_set_back_is_told_too(relay, read):
    reader = read(*at(relay))
    relay.subscribed()
    relay.publish(b"old")
    reader.until_number(1000)
    relay.begin_anew(10)
    relay.publish(b"new")
    reader.until(lambda: len(reader.events) == 3, "three events")
    relay.subscribed()
    relay.publish(b"live")
    reader.until(lambda: len(reader.events) == 4, "four events")
    assert reader.events[1:] == [Lost(1001, 10, epoch_changed=True), Message(10, [b"new"]), Message(11, [b"live"])]


@pytest.mark.parametrize("answers", [0, 1, 50, 51])
def test_an_answer_that_is_lost_is_asked_for_again_from_where_it_broke_off(relay, read, answers):
    reader = read(*at(relay))
    relay.subscribed()
    for number in range(51):
        relay.publish(b"%d" % number, arrives=False)
    relay.break_off_after(answers)
    relay.publish(b"heard")
    reader.until_number(1051)
    assert reader.numbers == list(range(1000, 1052))


def test_through_links_that_are_cut_everything_comes(relay, read, faulty_link):
    sub, replay = (faulty_link(endpoint) for endpoint in at(relay))
    reader = read(sub.endpoint, replay.endpoint, reconnect_ivl=10)
    for number in range(5000):
        relay.publish(b"topic", b"%d" % number)
        if number % 100 == 0:
            link = (sub, replay)[number // 100 % 2]
            link.cut()
            let_run()
            link.restore()
    reader.until_number(5999, 20)
    assert relay.fetches
    assert reader.hash == hash_of(relay.log.published)


@pytest.mark.slow
def test_a_reader_that_is_too_slow_for_live_traffic_gets_everything_from_the_log(read):
    """What its queues do not hold is dropped on its way, and fetched."""
    with FakeRelay(live_hwm=10) as relay:
        reader = read(*at(relay), rcvhwm=10)
        relay.subscribed()
        for number in range(20_000):
            relay.publish(b"x" * 100, b"%d" % number)
            if number % 1000 == 0:
                let_run(1)
        reader.until_number(20_999, 20)
        assert relay.fetches
        assert reader.hash == hash_of(relay.log.published)
        reader.close()


def test_both_sockets_have_the_keys(read):
    public, secret = zmq.curve_keypair()
    mine, my_secret = zmq.curve_keypair()
    with FakeRelay(curve_server=True, curve_secretkey=secret, curve_publickey=public) as relay:
        reader = read(
            *at(relay), curve_serverkey=public.decode(), curve_publickey=mine, curve_secretkey=my_secret
        )  # fmt: skip
        relay.subscribed()
        relay.publish(b"lost", arrives=False)
        relay.publish(b"heard")
        reader.until_number(1001)
        assert reader.numbers == [1000, 1001]


# What cannot go on


def test_a_request_waits_for_its_connection_whatever_the_options_say(relay, read):
    reader = read(*at(relay), immediate=1)
    relay.publish(b"one", arrives=False)
    reader.until_number(1000)
    assert reader.events == [Message(1000, [b"one"])]


def test_a_relay_without_stamps_is_one_clear_error(read):
    with FakeRelay(stamped=False) as relay, pytest.raises(GaplessError) as error:
        read(*at(relay))
    assert str(error.value) == (
        "sub_endpoint: expected a relay with --stamp, got one that does not number its messages"
    )


def test_a_relay_without_a_replay_port_is_one_clear_error(relay, read):
    with pytest.raises(GaplessError) as error:
        read(relay.sub_endpoint, relay.sub_endpoint, start_s=0.3)
    assert str(error.value) == ("replay_endpoint: expected a relay with --replay-port, got no answer within 0.3 s")


def test_something_else_at_the_replay_endpoint_is_one_clear_error(relay, read, peers):
    other = peers.bind(zmq.ROUTER, LOCAL)

    def echo():
        while True:
            other.socket.send_multipart([other.socket.recv_multipart()[0], b"hello"])

    greenlet = gevent.spawn(echo)
    with pytest.raises(GaplessError, match="expected the answer of a replay port, got another: version: expected GR01"):
        read(relay.sub_endpoint, other.endpoint)
    greenlet.kill()


WRONG = [
    (("x", "tcp://127.0.0.1:1"), {}, "sub_endpoint: expected an endpoint to connect to"),
    (("tcp://127.0.0.1:1", "x"), {}, "replay_endpoint: expected an endpoint to connect to"),
    (("tcp://127.0.0.1:1", 5), {}, "replay_endpoint: expected an endpoint to connect to"),
    (
        ("tcp://127.0.0.1:1",) * 2,
        {"rcvhvm": 1},
        "expected an argument or a socket option of ZeroMQ .did you mean rcvhwm",
    ),
    (("tcp://127.0.0.1:1",) * 2, {"curve_serverkey": "secret"}, "curve_serverkey: expected a value .* got 6 bytes"),
    (("tcp://127.0.0.1:1",) * 2, {"rcvhwm": "many"}, "rcvhwm: expected a value"),
    (("tcp://127.0.0.1:1",) * 2, {"start": "later"}, "start: expected"),
    (("tcp://127.0.0.1:1",) * 2, {"quiet_s": 0}, "quiet_s: expected a number above 0"),
    (("tcp://127.0.0.1:1",) * 2, {"answer_s": -1}, "answer_s: expected a number above 0"),
    (("tcp://127.0.0.1:1",) * 2, {"start_s": "x"}, "start_s: expected a number above 0"),
    (("tcp://127.0.0.1:1",) * 2, {"context": 5}, "context: expected a context of zmq"),
    (("tcp://127.0.0.1:1",) * 2, {"context": asyncio}, "context: expected a context of zmq"),
]


@pytest.mark.parametrize("kind", [GaplessSubscriber, AsyncGaplessSubscriber])
@pytest.mark.parametrize(("arguments", "options", "text"), WRONG)
def test_what_is_wrong_is_said_and_leaves_nothing_open(kind, arguments, options, text):
    with pytest.raises(SettingsError, match=text):
        kind(*arguments, **options)


def test_each_kind_has_its_own_contexts():
    ends = ("tcp://127.0.0.1:1",) * 2
    with zmq.asyncio.Context() as context, pytest.raises(SettingsError, match=r"AsyncGaplessSubscriber takes"):
        GaplessSubscriber(*ends, context=context)
    for wrong in (zmq, zmq.green):
        with pytest.raises(SettingsError, match=r"expected a context of zmq\.asyncio"):
            AsyncGaplessSubscriber(*ends, context=wrong)


# What belongs to one kind


def test_a_context_that_is_given_is_not_closed(relay):
    context = zmq.green.Context()
    with GaplessSubscriber(*at(relay), context=context) as subscriber, within("the start"):
        assert subscriber.wait_started()
        assert subscriber.recv(0) is None
        subscriber.close()
    assert not context.closed
    context.term()


def test_time_limits_hold(relay):
    with GaplessSubscriber(*at(relay), context=zmq.green, **SOON) as subscriber, within("time limits"):
        assert not subscriber.wait_started(0)
        assert subscriber.wait_started(5)
        assert subscriber.recv(0.05) is None
        relay.publish(b"one")
        assert subscriber.recv(5) == Message(1000, [b"one"])
        assert subscriber.position == Position(relay.log.epoch, 1001)


def test_other_greenlets_run_while_messages_are_handed_out(relay):
    turns = []

    def other():
        while True:
            turns.append(1)
            gevent.sleep(0)

    with GaplessSubscriber(*at(relay), context=zmq.green, start="oldest") as subscriber, within("messages"):
        assert subscriber.wait_started()
        relay.subscribed()
        for _ in range(1000):
            relay.publish(b"x")
        assert subscriber.recv()
        greenlet = gevent.spawn(other)
        for _ in range(999):
            assert subscriber.recv()
        assert len(turns) > 5
        greenlet.kill()


def in_thread(work):
    """Run something in a thread, while greenlets go on."""
    return gevent.get_hub().threadpool.apply(lambda: asyncio.run(work()))


def test_a_receive_that_is_cancelled_loses_nothing(relay):
    async def work():
        found = []
        async with AsyncGaplessSubscriber(*at(relay), start="oldest", **SOON) as subscriber:
            for _ in range(200):
                receiving = asyncio.ensure_future(subscriber.recv())
                await asyncio.sleep(0)
                receiving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    found.append((await receiving).number)
            async for event in subscriber:
                found.append(event.number)
                if event.number == 1999:
                    return found

    for number in range(1000):
        relay.publish(b"%d" % number)
    assert in_thread(work) == list(range(1000, 2000))


def test_other_tasks_run_while_messages_are_handed_out(relay):
    async def work():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with AsyncGaplessSubscriber(*at(relay), start="oldest", **SOON) as subscriber:
            await subscriber.recv()
            task = asyncio.ensure_future(other())
            for _ in range(999):
                await subscriber.recv()
            task.cancel()
        return turns

    for number in range(1000):
        relay.publish(b"%d" % number)
    assert in_thread(work) > 5


def test_an_asyncio_context_that_is_given_is_not_closed(relay):
    async def work():
        context = zmq.asyncio.Context()
        async with AsyncGaplessSubscriber(*at(relay), context=context) as subscriber:
            assert await subscriber.wait_started(5)
            assert await subscriber.recv(0) is None
        closed = context.closed
        context.term()
        return closed

    assert in_thread(work) is False
