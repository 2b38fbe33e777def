"""Devices that answer at a replay port from what they have published, with libzmq's sockets as their peers."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import random

import gevent
import pytest
import zmq
from support.strangers import frame, stranger
from support.switch import wire

from geventrelay import Forwarder, Relay
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.retention.replay_wire import (
    EndAnswer,
    EpochAnswer,
    ErrorAnswer,
    Fetch,
    Head,
    HeadAnswer,
    LostAnswer,
    MessageAnswer,
    number_bytes,
    read_answer,
)
from geventrelay.switch.budget import used_bytes
from geventrelay.testing import LOCAL, eventually, within

SIDES = {"frontend": LOCAL, "backend": LOCAL, "replay": LOCAL}
END = b"\xff" * 8


def publisher_of(device, peers, key="frontend"):
    """A publisher whose messages are taken from the first one on."""
    publisher = peers.connect(zmq.XPUB, *device.endpoints[key], sndhwm=0)
    assert publisher.recv() == [b"\1"]
    return publisher


def outlet(device, socket="backend"):
    return next(one for one in device.snapshot().pumps[0].outlets if one.socket == socket)


def publish(device, publisher, *messages, socket="backend"):
    """Send messages, and wait until they are in the log; returns the number of the first one."""
    first = outlet(device, socket).log_next
    for parts in messages:
        publisher.send(*parts)
    eventually(lambda: outlet(device, socket).log_next == first + len(messages), "all messages in the log")
    return first


def asker(device, peers, **options):
    return peers.connect(zmq.DEALER, *device.endpoints["replay"], **{"rcvhwm": 0, "sndhwm": 0, **options})


def answers(reader):
    """All answers up to the end of one."""
    found = []
    while not found or isinstance(found[-1], (MessageAnswer, LostAnswer)):
        found.append(read_answer(reader.recv()))
    return found


def ask(reader, request):
    reader.send(*request.frames())
    return answers(reader)


def head(reader):
    (found,) = ask(reader, Head(b"head"))
    assert isinstance(found, HeadAnswer)
    return found


def numbered(first, messages, tag=b""):
    return [MessageAnswer(tag, first + index, tuple(parts)) for index, parts in enumerate(messages)]


def test_what_was_published_is_given_again_in_its_order_with_its_numbers(either, peers):
    device = either(Forwarder(**SIDES, replay_size=100))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    messages = [(b"a %d" % number, b"part", b"") for number in range(50)]
    first = publish(device, publisher, *messages)
    about = head(reader)
    assert (about.oldest, about.next, about.stamped, len(about.epoch)) == (first, first + 50, False, 16)
    end = EndAnswer(b"x", about.epoch, first + 50)
    assert ask(reader, Fetch(b"x", about.epoch, first)) == [*numbered(first, messages, b"x"), end]
    some = numbered(first + 3, messages[3:6])
    assert ask(reader, Fetch(b"", b"", first + 3, first + 5)) == [*some, EndAnswer(b"", about.epoch, first + 6)]


def test_numbers_below_and_above_those_of_the_log_are_lost_or_yet_to_come(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    messages = [(b"%d" % number,) for number in range(30)]
    first = publish(device, publisher, *messages)
    epoch, end = head(reader).epoch, first + 30
    assert ask(reader, Fetch(b"", epoch, first)) == [
        LostAnswer(b"", first, first + 20),
        *numbered(first + 20, messages[20:]),
        EndAnswer(b"", epoch, end),
    ]
    assert ask(reader, Fetch(b"", epoch, first, first + 4)) == [
        LostAnswer(b"", first, first + 5),
        EndAnswer(b"", epoch, first + 5),
    ]
    assert ask(reader, Fetch(b"", epoch, end - 1, end + 100)) == [
        *numbered(end - 1, messages[29:]),
        EndAnswer(b"", epoch, end),
    ]
    assert ask(reader, Fetch(b"", epoch, end)) == [EndAnswer(b"", epoch, end)]
    assert ask(reader, Fetch(b"", epoch, end + 7)) == [EndAnswer(b"", epoch, end)]
    assert outlet(device).replay_lost == 25


def test_messages_that_there_never_were_are_not_lost(either, peers):
    device = either(Forwarder(**SIDES, replay_size=2))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    about = head(reader)
    assert ask(reader, Fetch(b"", b"", 0)) == [EndAnswer(b"", about.epoch, about.next)]
    first = publish(device, publisher, (b"a",), (b"b",), (b"c",))
    assert ask(reader, Fetch(b"", b"", 0)) == [
        LostAnswer(b"", first, first + 1),
        *numbered(first + 1, [(b"b",), (b"c",)]),
        EndAnswer(b"", about.epoch, first + 3),
    ]
    assert ask(reader, Fetch(b"", b"", 0, 7)) == [EndAnswer(b"", about.epoch, 8)]
    assert outlet(device).replay_lost == 1


def test_only_messages_with_the_prefixes_are_given(either, peers):
    device = either(Forwarder(**SIDES, replay_size="1MB"))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    first = publish(device, publisher, *[(b"%c %d" % (97 + number % 3, number),) for number in range(3_000)])
    epoch = head(reader).epoch
    found = ask(reader, Fetch(b"", epoch, first, None, (b"a", b"c")))
    assert [one.number - first for one in found[:-1]] == [number for number in range(3_000) if number % 3 != 1]
    assert ask(reader, Fetch(b"", epoch, first, None, (b"d",))) == [EndAnswer(b"", epoch, first + 3_000)]


def test_another_epoch_gets_the_one_that_is_and_nothing_else(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    first = publish(device, publisher, (b"a",))
    about = head(reader)
    assert ask(reader, Fetch(b"t", bytes(16), 1)) == [EpochAnswer(b"t", about.epoch, first, first + 1)]


def test_a_req_gets_answers_behind_an_empty_frame(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10))
    requester = peers.connect(zmq.REQ, *device.endpoints["replay"])
    assert head(requester).next == outlet(device).log_next
    dealer = asker(device, peers)
    dealer.send(b"", *Head(b"t").frames())
    delimiter, *rest = dealer.recv()
    assert delimiter == b""
    assert read_answer(rest).tag == b"t"


def test_peers_that_call_themselves_the_same_are_all_answered(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10))
    readers = [asker(device, peers, routing_id=b"same") for _ in range(3)]
    found = [head(reader) for reader in readers]
    assert found == [head(reader) for reader in reversed(readers)]
    assert device.peers()["replay"].cut_off == {}


def test_what_is_wrong_is_answered_with_one_line(either, peers, caplog):
    device = either(Forwarder(**SIDES, replay_size=10))
    reader = asker(device, peers)
    for frames, text in (
        ([b"GR99", b"t", b"HEAD"], "version: expected GR01, got b'GR99'"),
        ([b"x"], "version: expected GR01, got b'x'"),
        ([b"GR01", b"t", b"FETCH", b"", b"1", b""], "first: expected a number of 8 bytes, got 1 bytes"),
    ):
        reader.send(*frames)
        answer = read_answer(reader.recv())
        assert (type(answer), answer.text) == (ErrorAnswer, text)
    assert head(reader)
    assert outlet(device).replay_refused == {"malformed": 3, "too_many": 0}
    assert outlet(device).replay_requests == 4
    told = eventually(lambda: [one for one in caplog.messages if one.startswith("replay-refused")], "a line")
    assert len(told) == 1
    assert "version: expected GR01" in told[0]


def test_the_numbers_are_those_of_the_stamps_and_the_log_has_no_stamps(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10, stamp=True))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=b"")
    publisher.send(b"a", b"b")
    *parts, stamp = subscriber.recv()
    assert parts == [b"a", b"b"]
    assert head(reader).stamped
    (message, _) = ask(reader, Fetch(b"", b"", 0, int.from_bytes(stamp, "big")))[-2:]
    assert message.frames()[3:] == [stamp, b"a", b"b"]


def test_a_relay_has_the_log_of_what_it_publishes(either, peers):
    device = either(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, replay=LOCAL, replay_size="10min"))
    publisher, reader = publisher_of(device, peers, "sub"), asker(device, peers)
    first = publish(device, publisher, (b"a",), (b"b",), socket="pub")
    assert ask(reader, Fetch(b"", b"", first))[:-1] == numbered(first, [(b"a",), (b"b",)])
    assert outlet(device, "push").log_messages is None
    assert outlet(device, "push").replay_requests is None


def test_a_forwarder_with_a_log_asks_its_publishers_for_everything(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10, last_value=True, last_value_prefix="a"))
    publisher_of(device, peers)
    assert device.snapshot().pumps[0].outlets[0].log_messages == 0


def test_while_a_device_is_paused_the_port_goes_on(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    first = publish(device, publisher, (b"a",))
    device.pause()
    assert len(ask(reader, Fetch(b"", b"", first))) == 2
    device.resume()


def test_sixteen_requests_wait_and_each_further_one_is_refused(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10_000))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    publish(device, publisher, *[(b"%d" % number,) for number in range(100)])
    for number in range(1_000):
        reader.send(*Fetch(b"%d" % number, b"", 0).frames())
    ended, refused = [], []
    while len(ended) + len(refused) < 1_000:
        answer = read_answer(reader.recv())
        if isinstance(answer, EndAnswer):
            ended.append(int(answer.tag))
        elif isinstance(answer, ErrorAnswer):
            assert answer.text.startswith("requests: expected at most 16 of one peer that wait")
            refused.append(int(answer.tag))
    assert ended == sorted(ended)
    assert sorted(ended + refused) == list(range(1_000))
    assert len(ended) >= 16
    assert outlet(device).replay_refused == {"malformed": 0, "too_many": len(refused)}
    assert outlet(device).replay_readers == 0


def test_a_slow_reader_gets_all_and_holds_up_neither_live_messages_nor_other_readers(either, peers):
    device = either(Forwarder(**SIDES, replay_size="100MB"))
    publisher, slow = publisher_of(device, peers), asker(device, peers, rcvhwm=1)
    messages = [(b"%d" % number, bytes(10_000)) for number in range(3_000)]
    first = publish(device, publisher, *messages)
    slow.send(*Fetch(b"slow", b"", first).frames())
    # More than the kernel and libzmq take without being read.
    eventually(lambda: device.peers()["replay"].peers and outlet(device).replay_messages > 10, "the first answers")
    quick, subscriber = asker(device, peers), peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=b"live")
    publisher.send(b"live")
    assert subscriber.recv() == [b"live"]
    assert [one.number for one in ask(quick, Fetch(b"", b"", first, first + 2_999))[:-1]] == [
        first + number for number in range(3_000)
    ]
    assert outlet(device).replay_messages < 6_000
    assert outlet(device).replay_readers == 1
    found = answers(slow)
    assert [one.number - first for one in found[:-1]] == list(range(3_000))
    assert isinstance(found[-1], EndAnswer)
    assert outlet(device).replay_readers == 0


def test_what_the_log_forgets_while_a_reader_is_slow_is_told_as_lost(either, peers):
    device = either(Forwarder(**SIDES, replay_size=3_000))
    publisher, slow = publisher_of(device, peers), asker(device, peers, rcvhwm=1)
    messages = [(b"%d" % number, bytes(10_000)) for number in range(3_000)]
    first = publish(device, publisher, *messages)
    slow.send(*Fetch(b"", b"", first).frames())
    eventually(lambda: outlet(device).replay_messages > 10, "the first answers")
    publish(device, publisher, *[(b"new",)] * 2_900)
    found = answers(slow)
    lost, number = 0, first
    for one in found[:-1]:
        if isinstance(one, LostAnswer):
            assert one.first == number
            lost, number = lost + one.end - one.first, one.end
        else:
            assert (one.number, one.parts) == (number, messages[number - first])
            number += 1
    assert found[-1].next == number == first + 3_000
    assert outlet(device).replay_lost == lost > 0


def test_a_peer_that_goes_on_asking_and_reads_nothing_is_ended(either, peers, caplog):
    device = either(Forwarder(**SIDES, replay_size=10))
    publisher, reader = publisher_of(device, peers), asker(device, peers, rcvhwm=1)
    publish(device, publisher, *[(bytes(1_000_000),)] * 10)
    with within("its end"):
        while not any("reason=not_read" in one for one in caplog.messages):
            reader.send(*Fetch(b"", b"", 0).frames())
            gevent.sleep(0)
    other = asker(device, peers)
    assert head(other)
    assert device.peers()["replay"].cut_off == {"not_read": 1}


def test_a_request_that_is_too_large_ends_its_connection(either, peers, caplog):
    device = either(Forwarder(**SIDES, replay_size=10))
    reader = asker(device, peers)
    reader.send(*Fetch(b"", b"", 0, None, (bytes(70_000),)).frames())
    eventually(lambda: any("reason=too_large" in one for one in caplog.messages), "its end")
    assert head(asker(device, peers))


def test_a_thousand_readers_are_all_served(either, peers):
    device = either(Forwarder(**SIDES, replay_size=1_000))
    messages = [(b"%d" % number,) for number in range(3)]
    first = publish(device, publisher_of(device, peers), *messages)
    epoch = head(asker(device, peers)).epoch
    answers = [*numbered(first, messages), EndAnswer(b"", epoch, first + 3)]
    wanted = b"".join(wire(*one.frames()) for one in answers)
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(contextlib.closing(stranger(*device.endpoints["replay"], b"DEALER")))
            for _ in range(1_000)
        ]
        for reader in readers:
            reader.sendall(wire(*Fetch(b"", b"", first).frames()))
        for reader in readers:
            found = b""
            with within("the answer"):
                while len(found) < len(wanted):
                    found += reader.recv(len(wanted) - len(found))
            assert found == wanted


def test_bytes_that_are_no_requests_hurt_only_who_sends_them(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10))
    reader = asker(device, peers)
    for garbage in (
        random.Random(1).randbytes(100_000),
        wire(b"GR01") * 30 + b"\xff" * 100,
        frame(bytes(70_000)),
        frame(b"x", 8),
    ):
        connection = stranger(*device.endpoints["replay"], b"DEALER")
        with contextlib.suppress(OSError), within("its end"):
            connection.sendall(garbage)
            while connection.recv(65_536):
                pass
        connection.close()
        assert head(reader)


def test_nothing_is_left_of_readers_that_leave_or_of_a_device_that_stops(either, peers):
    gc.collect()
    before = used_bytes()
    device = either(Forwarder(**SIDES, replay_size=3_000, linger_ms=0))
    publisher, slow, other = publisher_of(device, peers), asker(device, peers, rcvhwm=1), asker(device, peers, rcvhwm=1)
    first = publish(device, publisher, *[(bytes(10_000),)] * 3_000)
    for reader in slow, other:
        for _ in range(3):
            reader.send(*Fetch(b"", b"", first).frames())
    eventually(lambda: outlet(device).replay_readers == 2, "two readers")
    slow.close()
    eventually(lambda: outlet(device).replay_readers == 1, "one reader")
    assert head(asker(device, peers))
    device.stop()
    assert used_bytes() == before
    assert outlet(device).log_messages == 0


def test_a_reload_that_changes_nothing_for_it_keeps_the_epoch_and_the_numbers(either, peers):
    settings = Forwarder(**SIDES, replay_size=10)
    device = either(settings)
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    publish(device, publisher, (b"a",))
    before = head(reader)
    device.adjust(dataclasses.replace(device.settings, drain_s=2.0))
    publish(device, publisher, (b"b",))
    after = head(reader)
    assert (after.epoch, after.oldest, after.next) == (before.epoch, before.oldest, before.next + 1)


def test_each_life_has_another_epoch_and_higher_numbers(either, peers):
    lives = []
    for _ in range(2):
        device = either(Forwarder(**SIDES, replay_size=10))
        publisher, reader = publisher_of(device, peers), asker(device, peers)
        publish(device, publisher, (b"a",))
        lives.append(head(reader))
        device.stop()
    assert lives[0].epoch != lives[1].epoch
    assert lives[0].next < lives[1].oldest < 2**53


def test_a_forked_child_answers_nothing(either, peers):
    device = either(Forwarder(**SIDES, replay_size=3_000))
    publisher, slow = publisher_of(device, peers), asker(device, peers, rcvhwm=1)
    first = publish(device, publisher, *[(bytes(10_000),)] * 3_000)
    slow.send(*Fetch(b"", b"", first).frames())
    eventually(lambda: outlet(device).replay_messages > 10, "the first answers")
    child = os.fork()
    if not child:
        # Without it, a loop of libuv takes the parent's watchers away: both have one epoll.
        gevent.reinit()
        gevent.sleep(0.05)
        os._exit(0)
    os.waitpid(child, 0)
    assert [one.number - first for one in answers(slow)[:-1]] == list(range(3_000))


@pytest.mark.parametrize("protocol", ["vllm", "sglang"])
def test_publishers_numbers_are_answered_as_their_consumers_have_them(either, peers, protocol):
    device = either(Forwarder(**SIDES, replay_size=100, replay_protocol=protocol))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    events = [(b"kv@a", number_bytes(number), b"event %d" % number) for number in range(5)]
    publish(device, publisher, (b"no event",), *events[:3], (b"a", b"b", b"c"), *events[3:])
    reader.send(b"", number_bytes(2))
    given = [list(one) if protocol == "vllm" else list(one[1:]) for one in events[2:]]
    end = [b"", END, b""] if protocol == "vllm" else [END, b""]
    assert reader.recv_all(4) == [[b"", *parts] for parts in [*given, end]]
    requester = peers.connect(zmq.REQ, *device.endpoints["replay"])
    requester.send(number_bytes(100))
    assert requester.recv() == end


@pytest.mark.parametrize("protocol", ["vllm", "sglang"])
def test_bad_requests_in_these_protocols_are_counted_and_not_answered(either, peers, protocol, caplog):
    device = either(Forwarder(**SIDES, replay_size=100, replay_protocol=protocol))
    reader = asker(device, peers)
    for frames in ([b"x"], [b"", b"short"], [b"x", number_bytes(0)], [b"", number_bytes(0), b""], Head().frames()):
        reader.send(*frames)
    reader.send(b"", number_bytes(0))
    assert reader.recv()[-2:] == [END, b""]
    assert outlet(device).replay_refused == {"malformed": 5, "too_many": 0}
    told = eventually(lambda: [one for one in caplog.messages if one.startswith("replay-refused")], "a line")
    assert len(told) == 1


def test_of_each_topic_the_run_after_its_publisher_was_started_again_is_given(either, peers):
    device = either(Forwarder(**SIDES, replay_size=100, replay_protocol="vllm"))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    rows = [(b"a", 0), (b"b", 5), (b"a", 1), (b"b", 6), (b"a", 0), (b"b", 7), (b"a", 1)]
    publish(device, publisher, *[(topic, number_bytes(number), b"%d" % at) for at, (topic, number) in enumerate(rows)])
    reader.send(b"", number_bytes(0))
    assert [parts[-1] for parts in reader.recv_all(6)] == [b"1", b"3", b"4", b"5", b"6", b""]


# Who may ask, and for what -------------------------------------------------------------------------------------------


@pytest.fixture
def rights(tmp_path):
    """Writes the file of rights, and says where it is."""

    def write(text):
        path = tmp_path / "rights.toml"
        path.with_suffix(".new").write_text(text)
        os.replace(path.with_suffix(".new"), path)
        return path

    return write


@pytest.fixture
def known(tmp_path):
    """Options of a device that knows alice and bob by their keys, and those of each of the two."""
    server, alice, bob = (new_pair() for _ in range(3))
    write_pair("test", tmp_path, "server", server)
    for name, pair in (("alice", alice), ("bob", bob)):
        write_pair("test", tmp_path / "clients", name, pair)
    own = {"curve_secret": tmp_path / "server.key_secret", "curve_clients": tmp_path / "clients"}
    shown = (
        {"curve_publickey": pair.public, "curve_secretkey": pair.secret, "curve_serverkey": server.public}
        for pair in (alice, bob)
    )
    return own, *shown


def test_a_peer_gets_what_it_may_subscribe_to_whatever_it_asks_for(either, peers, rights):
    path = rights('[others]\npublish = [""]\nsubscribe = ["a", "bc"]\n')
    device = either(Forwarder(**SIDES, replay_size=100, rights=path))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    first = publish(device, publisher, (b"a1",), (b"b1",), (b"bc1", b"part"), (b"c", b"a"), (b"",))

    def given(*prefixes):
        *messages, end = ask(reader, Fetch(b"", b"", first, None, prefixes))
        assert end.next == first + 5
        return [one.parts[0] for one in messages]

    assert given() == given(b"") == given(b"", b"c") == [b"a1", b"bc1"]
    assert given(b"b") == [b"bc1"]
    assert given(b"a1", b"c") == [b"a1"]
    assert given(b"c") == given(b"b1") == []


@pytest.mark.parametrize("protocol", ["vllm", "sglang"])
def test_rights_hold_in_the_other_protocols_too(either, peers, rights, protocol):
    path = rights('[others]\npublish = [""]\nsubscribe = ["a"]\n')
    device = either(Forwarder(**SIDES, replay_size=100, rights=path, replay_protocol=protocol))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    publish(device, publisher, *[(topic, number_bytes(1), topic) for topic in (b"a", b"b", b"ab")])
    reader.send(b"", number_bytes(0))
    assert [parts[-1] for parts in reader.recv_all(3)] == [b"a", b"ab", b""]


def test_a_peer_without_any_right_gets_no_message(either, peers, rights):
    device = either(Forwarder(**SIDES, replay_size=100, rights=rights('[others]\npublish = [""]\n')))
    publisher, reader = publisher_of(device, peers), asker(device, peers)
    first = publish(device, publisher, (b"a",))
    assert [type(one) for one in ask(reader, Fetch(b"", b"", first))] == [EndAnswer]


def test_each_key_gets_what_its_user_may_have_and_no_other_key_gets_in(either, peers, rights, known):
    keys, alice, bob = known
    path = rights('[others]\npublish = [""]\nsubscribe = ["users.${user}."]\n')
    device = either(Forwarder(**SIDES, replay_size=100, rights=path, **keys))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"], sndhwm=0, **alice)
    assert publisher.recv() == [b"\1"]
    first = publish(device, publisher, (b"users.alice.1",), (b"users.bob.1",))
    for name, shown in (b"alice", alice), (b"bob", bob):
        reader = asker(device, peers, **shown)
        messages = ask(reader, Fetch(b"", b"", first))[:-1]
        assert [one.parts for one in messages] == [(b"users.%s.1" % name,)]
    peers.connect(zmq.DEALER, *device.endpoints["replay"], wait=False)
    eventually(lambda: device.peers()["replay"].handshake_failures, "the refusal")


def test_the_socket_has_rules_of_its_own(either, peers):
    own = {"replay": {"deny": "127.0.0.0/8"}}
    device = either(Forwarder(**SIDES, replay_size=100, socket_access=own))
    peers.connect(zmq.DEALER, *device.endpoints["replay"], wait=False)
    eventually(lambda: device.peers()["replay"].denied.get("address"), "the refusal")
    publisher_of(device, peers)


def test_a_reader_whose_rights_are_revoked_is_ended_and_gets_no_more(either, peers, rights):
    path = rights('[others]\npublish = [""]\nsubscribe = [""]\n')
    settings = Forwarder(**SIDES, replay_size=3_000, rights=path, on_revoke="disconnect")
    device = either(settings)
    publisher, slow = publisher_of(device, peers), asker(device, peers, rcvhwm=1)
    first = publish(device, publisher, *[(bytes(10_000),)] * 3_000)
    slow.send(*Fetch(b"", b"", first).frames())
    eventually(lambda: outlet(device).replay_messages > 10, "the first answers")
    rights('[others]\npublish = [""]\nsubscribe = ["a"]\n')
    device.adjust(dataclasses.replace(device.settings, drain_s=2.0))
    eventually(lambda: device.peers()["replay"].cut_off.get("revoked") == 1, "its end")
    given = outlet(device).replay_messages
    # It comes again, with what it may have now.
    assert [type(one) for one in ask(asker(device, peers), Fetch(b"", b"", first))] == [EndAnswer]
    assert outlet(device).replay_messages == given < 3_000
    assert outlet(device).replay_readers == 0


def test_a_request_of_too_many_parts_ends_its_connection(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10))
    reader = asker(device, peers)
    reader.send(*Fetch(b"", b"", 0, None, (b"a",) * 600).frames())
    eventually(lambda: device.peers()["replay"].cut_off.get("too_many_parts") == 1, "its end")
    other = asker(device, peers)
    (answer,) = ask(other, Fetch(b"", b"", 0, None, (b"a",) * 501))
    assert (type(answer), answer.text) == (ErrorAnswer, "prefixes: expected at most 500, got 501")


def test_the_port_can_connect_to_those_that_ask(either, peers):
    reader = peers.bind(zmq.DEALER, rcvhwm=0)
    device = either(Forwarder(**{**SIDES, "replay": f">{reader.endpoint}"}, replay_size=10))
    publisher = publisher_of(device, peers)
    first = publish(device, publisher, (b"a",))
    assert ask(reader, Fetch(b"", b"", first))[:-1] == numbered(first, [(b"a",)])


def test_requests_count_for_no_rate(either, peers):
    device = either(Forwarder(**SIDES, replay_size=10, max_rate=1, when_over_rate="drop"))
    reader = asker(device, peers)
    assert len({head(reader).epoch for _ in range(20)}) == 1
