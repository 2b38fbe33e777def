"""Subscribers without gaps at real devices: whatever is cut, started again, too small or too slow on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import random

import pytest
import zmq
import zmq.green
from support.subscribers import KINDS, Reader, hash_of
from zmq.utils import z85

from geventrelay import Endpoint, Forwarder, Relay
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.client import GaplessError, GaplessSubscriber, Lost, Message, Position
from geventrelay.testing import LOCAL, eventually, within

SIDES = {"frontend": LOCAL, "backend": LOCAL, "replay": LOCAL}
SOON = {"quiet_s": 0.1, "answer_s": 0.3, "reconnect_ivl": 10}


def forwarder(**options):
    return Forwarder(**{**SIDES, "replay_size": 1_000_000, "stamp": True, **options})


@pytest.fixture
def read():
    """Starts a reader, which has started and closes in the end."""
    with contextlib.ExitStack() as stack:

        def start(device, *prefixes, kind="green", side="backend", **options):
            ends = options.pop("ends", None) or ends_of(device, side)
            return stack.enter_context(Reader(kind, *ends, *prefixes, **{**SOON, **options}))

        yield start


def ends_of(device, side="backend"):
    return device.endpoints[side][0], device.endpoints["replay"][0]


class Source:
    """A publisher of a device, which knows what it has published.

    :ivar sent: all its messages.
    """

    def __init__(self, device, peers, key="frontend"):
        self._peer = peers.connect(zmq.XPUB, *device.endpoints[key], sndhwm=0, reconnect_ivl=10)
        self._device = device
        assert self._peer.recv() == [b"\1"]
        self.sent = []
        self.first = self.log.log_next

    @property
    def log(self):
        return next(one for one in self._device.snapshot().pumps[0].outlets if one.log_next)

    def publish(self, *parts):
        self._peer.send(*parts)
        self.sent.append(list(parts))

    def logged(self):
        """Wait until all of it is in the log; returns the number of the last one."""
        last = self.first + len(self.sent) - 1
        eventually(lambda: self.log.log_next == last + 1, "all messages in the log")
        return last

    def burst(self, count, size=100):
        for _ in range(count):
            self.publish(b"topic %d" % (len(self.sent) % 10), b"%d" % len(self.sent), b"x" * size)


@pytest.mark.parametrize("kind", KINDS)
def test_the_hash_of_what_comes_is_that_of_what_was_sent_though_links_are_cut(either, peers, read, faulty_link, kind):
    device = either(forwarder())
    source = Source(device, peers)
    links = [faulty_link(endpoint) for endpoint in ends_of(device)]
    reader = read(device, kind=kind, ends=[link.endpoint for link in links])
    for turn in range(20):
        source.burst(200)
        links[turn % 2].cut()
        source.burst(50)
        source.logged()
        links[turn % 2].restore()
        # Now and then it comes so far that the next cut finds it anywhere.
        if turn % 5 == 4:
            reader.until_number(source.first + turn * 200)
    reader.until_number(source.logged(), 20)
    assert reader.hash == hash_of(source.sent)
    assert source.log.log_oldest == source.first


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_is_too_slow_for_live_traffic_gets_everything(either, peers, read, kind):
    device = either(forwarder(sndhwm=10))
    source = Source(device, peers)
    reader = read(device, kind=kind, rcvhwm=10)
    source.burst(20_000)
    reader.until_number(source.logged(), 30)
    assert reader.hash == hash_of(source.sent)


def test_with_prefixes_it_gets_what_begins_with_one_of_them(either, peers, read):
    device = either(forwarder(sndhwm=100))
    source = Source(device, peers)
    reader = read(device, "topic 3", b"topic 7")
    source.burst(5000)
    last = source.logged()
    reader.until_number(last - 2)
    assert reader.hash == hash_of([parts for parts in source.sent if parts[0] in (b"topic 3", b"topic 7")])


def test_what_a_log_that_is_too_small_has_lost_is_told_with_its_numbers(either, peers, read, faulty_link):
    device = either(forwarder(replay_size=100))
    source = Source(device, peers)
    links = [faulty_link(endpoint) for endpoint in ends_of(device)]
    reader = read(device, ends=[link.endpoint for link in links])
    source.burst(10)
    reader.until_number(source.logged())
    for link in links:
        link.cut()
    source.burst(1000)
    last = source.logged()
    for link in links:
        link.restore()
    reader.until_number(last)
    assert reader.events[10] == Lost(source.first + 10, last - 99)
    assert reader.numbers[11:] == list(range(last - 99, last + 1))
    assert reader.hash == hash_of(source.sent[:10] + source.sent[-100:])


def again(either, device, **options):
    """The device stopped, and another at the same addresses."""
    ends = {key: Endpoint.parse(end, name=key) for key, (end,) in device.endpoints.items()}
    device.stop()
    return either(dataclasses.replace(device.settings, **ends, **options))


def test_a_device_that_is_started_again_is_told_and_read_from_its_oldest(either, peers, read):
    device = either(forwarder())
    source = Source(device, peers)
    reader = read(device)
    for life in range(3):
        source.burst(100)
        last = source.logged()
        reader.until_number(last)
        device = again(either, device)
        source = Source(device, peers)
        source.burst(50)
        reader.until_number(source.logged())
        losses = [event for event in reader.events if isinstance(event, Lost)]
        assert losses[life] == Lost(last + 1, source.first, epoch_changed=True)
        assert len(losses) == life + 1
    numbers = [event.number for event in reader.events if isinstance(event, Message)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 3 * 150


def test_a_position_goes_on_where_it_was_and_in_another_life_with_the_oldest(either, peers, read):
    device = either(forwarder())
    source = Source(device, peers)
    source.burst(10)
    source.logged()
    with GaplessSubscriber(*ends_of(device), context=zmq.green, start="oldest") as subscriber, within("five messages"):
        assert [subscriber.recv().number for _ in range(5)] == list(range(source.first, source.first + 5))
        position = subscriber.position
    assert position == Position(position.epoch, source.first + 5)
    reader = read(device, start=position)
    reader.until_number(source.first + 9)
    assert reader.hash == hash_of(source.sent[5:])
    device = again(either, device)
    source = Source(device, peers)
    source.burst(10)
    reader = read(device, start=position)
    reader.until_number(source.logged())
    assert reader.events[0] == Lost(position.number, source.first, epoch_changed=True)
    assert reader.hash == hash_of(source.sent)


def test_it_waits_for_a_device_that_is_away_and_gets_what_came_meanwhile(either, peers, read):
    device = either(forwarder())
    source = Source(device, peers)
    source.burst(10)
    source.logged()
    reader = read(device, start="oldest")
    reader.until_number(source.first + 9)
    ends = {key: Endpoint.parse(end, name=key) for key, (end,) in device.endpoints.items()}
    device.stop()
    eventually(lambda: reader.unanswered >= 2, "requests and new connections in vain")
    device = either(dataclasses.replace(device.settings, **ends))
    source = Source(device, peers)
    source.burst(10)
    reader.until_number(source.logged(), 20)
    assert [event.number for event in reader.events[-10:]] == list(range(source.first, source.first + 10))


def test_last_values_that_come_with_each_connection_are_not_handed_out_again(either, peers, read, faulty_link):
    device = either(forwarder(last_value=True))
    source = Source(device, peers)
    source.burst(50)
    source.logged()
    link = faulty_link(device.endpoints["backend"][0])
    reader = read(device, ends=[link.endpoint, device.endpoints["replay"][0]], start="oldest")
    reader.until_number(source.first + 49)
    for _ in range(3):
        link.cut()
        source.burst(20)
        link.restore()
        source.burst(20)
        reader.until_number(source.logged())
    assert reader.hash == hash_of(source.sent)


def test_while_the_device_is_paused_it_gets_what_is_missing(either, peers, read, faulty_link):
    device = either(forwarder())
    source = Source(device, peers)
    link = faulty_link(device.endpoints["backend"][0])
    reader = read(device, ends=[link.endpoint, device.endpoints["replay"][0]])
    link.cut()
    source.burst(100)
    last = source.logged()
    device.pause()
    reader.until_number(last)
    assert reader.hash == hash_of(source.sent)


def test_a_relay_is_read_at_its_pub_side(either, peers, read):
    device = either(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, replay=LOCAL, replay_size=1000, stamp=True, sndhwm=10))
    source = Source(device, peers, "sub")
    sink = peers.connect(zmq.PULL, *device.endpoints["push"])
    reader = read(device, side="pub", rcvhwm=10)
    for number in range(1000):
        source.publish(b"topic %d" % number)
        sink.recv()
    reader.until_number(source.logged())
    assert reader.hash == hash_of(source.sent)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_let_it_in_at_both_sockets(either, peers, read, kind, tmp_path):
    clients = tmp_path / "clients"
    relay, me = new_pair(), new_pair()
    write_pair("DIR", tmp_path, "relay", relay)
    public, _ = write_pair("DIR", tmp_path, "me", me)
    clients.mkdir()
    public.rename(clients / "me.key")
    device = either(forwarder(curve_secret=tmp_path / "relay.key_secret", curve_clients=clients))
    server_key, public_key, secret_key = (z85.encode(key) for key in (relay.public, me.public, me.secret))
    keys = {"curve_serverkey": server_key, "curve_publickey": public_key, "curve_secretkey": secret_key}
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"], sndhwm=0, **keys)
    assert publisher.recv() == [b"\1"]
    for number in range(100):
        publisher.send(b"%d" % number)
    reader = read(device, kind=kind, start="oldest", **keys)
    reader.until(lambda: len(reader.events) == 100, "100 messages")
    assert reader.hash == hash_of([[b"%d" % number] for number in range(100)])
    with pytest.raises(GaplessError, match="got no answer within"):
        read(device, kind=kind, start_s=0.3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stamp": False}, "sub_endpoint: expected a relay with --stamp, got one that does not number its messages"),
        (
            {"stamp": False, "replay_protocol": "vllm"},
            "replay_endpoint: expected a relay with --replay-port, got no answer within 0.5 s",
        ),
    ],
)
def test_a_device_that_is_not_meant_for_it_is_one_clear_error(either, read, options, text):
    with pytest.raises(GaplessError) as error:
        read(either(forwarder(**options)), start_s=0.5)
    assert str(error.value) == text


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_through_a_storm_each_message_comes_once_or_is_told_to_be_lost(either, peers, read, faulty_link, seed):
    """Bursts, cuts, stalls, starts, a log that is too small now and then, several readers with prefixes."""
    chance = random.Random(seed)
    device = either(forwarder(replay_size=2000, sndhwm=100))
    links = [faulty_link(endpoint) for endpoint in ends_of(device)]
    ends = [link.endpoint for link in links]
    prefixes = [(), ("topic 1",), ("topic 2", "topic 3")]
    sources = [Source(device, peers)]
    readers = [read(device, *wanted, ends=ends, rcvhwm=50) for wanted in prefixes]
    for _ in range(60):
        sources[-1].burst(chance.choice([1, 50, 500]))
        what = chance.random()
        link = chance.choice(links)
        if what < 0.2:
            link.cut()
            sources[-1].burst(chance.choice([1, 100, 3000]))
            sources[-1].logged()
            link.restore()
        elif what < 0.4:
            link.stall()
            sources[-1].burst(chance.choice([1, 100, 3000]))
            sources[-1].logged()
            link.resume()
        elif what < 0.45:
            sources[-1].logged()
            device = again(either, device)
            sources.append(Source(device, peers))
    # Of each topic one that all have to get.
    for topic in range(10):
        sources[-1].publish(b"topic %d" % topic, b"last")
    last = sources[-1].logged()
    for reader, wanted in zip(readers, prefixes, strict=True):
        end = {(): last, ("topic 1",): last - 8, ("topic 2", "topic 3"): last - 6}[wanted]
        reader.until_number(end, 30)
        check(reader.events, sources, tuple(prefix.encode() for prefix in wanted))


def check(events, sources, prefixes):
    """Every message of each life that it knew of was handed out once, or is among what it said is lost."""
    lives = {source.first: source for source in sources}
    source = sources[0]
    due = source.first
    for event in events:
        first = event.number if isinstance(event, Message) else event.first
        skipped = source.sent[due - source.first : first - source.first]
        assert first >= due
        assert not [parts for parts in skipped if not prefixes or parts[0].startswith(prefixes)]
        if isinstance(event, Message):
            assert event.parts == source.sent[event.number - source.first]
            due = event.number + 1
        else:
            due = event.end
            if event.epoch_changed:
                source = lives[max(one for one in lives if one <= event.end)]
