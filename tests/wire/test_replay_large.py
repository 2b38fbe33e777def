"""Large messages at a replay port: each reader has a copy of its own, and readers need not read."""

from __future__ import annotations

import gevent
import pytest
import zmq
from support.strangers import stranger
from support.switch import wire

from geventrelay import Forwarder
from geventrelay.retention import service
from geventrelay.retention.replay_wire import EndAnswer, Fetch, Head, MessageAnswer, read_answer
from geventrelay.switch import budget
from geventrelay.testing import LOCAL, eventually

MIB = 1 << 20
LARGE = bytes(8 * MIB)
"""More than the kernel takes for a connection."""
READERS = 20
FETCH = Fetch(b"", b"", 0).frames()


@pytest.fixture
def small_budget():
    budget.set_budget(8 * len(LARGE))
    yield
    budget.set_budget(budget.DEFAULT_BUDGET_BYTES)


@pytest.fixture
def device(small_budget, either, peers):
    """A device with one large message in its log."""
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL, replay=LOCAL, replay_size=1))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"], sndhwm=0)
    publisher.recv()
    publisher.send(LARGE)
    eventually(lambda: outlet(device).log_messages == 1, "the message in the log")
    return device


def outlet(device):
    return next(one for one in device.snapshot().pumps[0].outlets if one.socket == "backend")


def ask_for_all(device):
    """A reader that has asked, and reads nothing."""
    reader = stranger(*device.endpoints["replay"], b"DEALER")
    reader.sendall(wire(*FETCH))
    return reader


def head(device, peers):
    """Ask what the log has. All that asked before has had its turn then."""
    asker = peers.connect(zmq.DEALER, *device.endpoints["replay"])
    asker.send(*Head(b"").frames())
    return read_answer(asker.recv())


def read_all(reader, wanted):
    read = 0
    with reader:
        while read < len(wanted):
            data = reader.recv(MIB)
            assert data and data == wanted[read : read + len(data)]
            read += len(data)


def test_readers_that_do_not_read_take_no_memory_from_others_and_get_all_in_the_end(device, peers):
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=b"live")
    readers = [ask_for_all(device) for _ in range(READERS)]
    eventually(lambda: outlet(device).replay_readers == READERS, "all requests")
    about = head(device, peers)
    # The log has the message once, and one reader.
    assert budget.used_bytes() < 3 * len(LARGE)
    assert outlet(device).replay_messages == 1
    answers = (MessageAnswer(b"", about.oldest, (LARGE,)), EndAnswer(b"", about.epoch, about.next))
    wanted = b"".join(wire(*one.frames()) for one in answers)
    reading = [gevent.spawn(read_all, reader, wanted) for reader in readers]
    gevent.joinall(reading, raise_error=True)
    assert device.peers()["backend"].cut_off == {}
    assert subscriber.socket.poll(0) == 0
    eventually(lambda: outlet(device).replay_readers == 0, "all answers")
    assert budget.used_bytes() < 2 * len(LARGE)


def test_readers_that_leave_make_room_for_others(device, peers):
    readers = [ask_for_all(device) for _ in range(READERS)]
    eventually(lambda: outlet(device).replay_readers == READERS, "all requests")
    asker = peers.connect(zmq.DEALER, *device.endpoints["replay"])
    asker.send(*FETCH)
    for reader in readers:
        reader.close()
    assert read_answer(asker.recv()).parts == (LARGE,)
    assert isinstance(read_answer(asker.recv()), EndAnswer)


def test_one_that_does_not_read_is_ended_when_others_have_waited_for_long(device, peers, monkeypatch, caplog):
    monkeypatch.setattr(service, "LONGEST_UNREAD_S", 0.05)
    with ask_for_all(device):
        eventually(lambda: outlet(device).replay_messages == 1, "its answer")
        asker = peers.connect(zmq.DEALER, *device.endpoints["replay"])
        asker.send(*FETCH)
        assert read_answer(asker.recv()).parts == (LARGE,)
        assert isinstance(read_answer(asker.recv()), EndAnswer)
        assert device.peers()["replay"].cut_off == {"not_read": 1}
        assert any("reason=not_read" in one and "others wait" in one for one in caplog.messages)
