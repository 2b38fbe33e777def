"""Devices that give last values to late subscribers, with libzmq's sockets as their peers."""

from __future__ import annotations

import gc

import zmq

from geventrelay import Forwarder, Relay
from geventrelay.switch.budget import used_bytes
from geventrelay.testing import LOCAL, eventually


def kept(device):
    """How many last values it keeps."""
    return device.snapshot().pumps[0].outlets[0].last_values


def test_a_forwarder_asks_for_everything_and_gives_all_values_whatever_the_marks_are(either, peers):
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL, sndhwm=10, rcvhwm=10, last_value=True))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"], sndhwm=0)
    assert publisher.recv() == [b"\1"]
    for number in range(3_000):
        publisher.send(b"topic %d" % number, b"1")
    publisher.send(b"topic 0", b"2")
    eventually(lambda: kept(device) == 3_000 and device.snapshot().pumps[0].received == 3_001, "all values")
    late = peers.connect(zmq.SUB, *device.endpoints["backend"], rcvhwm=0, subscribe=b"")
    numbers = [*range(1, 3_000), 0]
    assert [late.recv() for _ in numbers] == [[b"topic %d" % one, b"2" if not one else b"1"] for one in numbers]
    publisher.send(b"live", b"3")
    assert late.recv() == [b"live", b"3"]
    outlet = device.snapshot().pumps[0].outlets[0]
    assert (outlet.last_values_given, outlet.last_values_forgotten) == (
        3_000, {"topics": 0, "bytes": 0, "age": 0, "memory": 0},
    )  # fmt: skip
    assert outlet.adds_up


def test_a_forwarder_asks_for_its_prefixes_and_still_for_what_subscribers_want(either, peers):
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL, last_value=True, last_value_prefix=["a", "b"]))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    assert sorted(publisher.recv_all(2)) == [[b"\1a"], [b"\1b"]]
    publisher.send(b"a 1")
    eventually(lambda: kept(device) == 1, "the value")
    first = peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=b"c")
    assert publisher.recv() == [b"\1c"]
    publisher.send(b"c 1")
    assert first.recv() == [b"c 1"]
    first.subscribe(b"")
    assert publisher.recv() == [b"\1"]
    assert first.recv() == [b"a 1"]
    assert kept(device) == 1


def test_a_relay_gives_them_to_its_subscribers(either, peers):
    device = either(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL, last_value=True, topic_until=":"))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["sub"])
    assert publisher.recv() == [b"\1"]
    for text in (b"a:1", b"b:1", b"a:2"):
        publisher.send(text)
    eventually(lambda: device.snapshot().pumps[0].received == 3, "all messages")
    late = peers.connect(zmq.SUB, *device.endpoints["pub"], subscribe=b"")
    assert [late.recv() for _ in range(2)] == [[b"b:1"], [b"a:2"]]
    assert device.snapshot().pumps[0].outlets[1].last_values is None


def test_where_a_device_connects_each_connection_begins_with_last_values(either, peers, tmp_path):
    address = f"ipc://{tmp_path}/sink"
    sink = peers.bind(zmq.SUB, address, subscribe=b"")
    options = {"backend": {zmq.RECONNECT_IVL: 10}}
    device = either(Forwarder(frontend=LOCAL, backend=f">{address}", last_value=True, socket_options=options))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"])
    assert publisher.recv() == [b"\1"]
    publisher.send(b"a 1")
    assert sink.recv() == [b"a 1"]
    sink.close()
    publisher.send(b"a 2")
    eventually(lambda: device.snapshot().pumps[0].received == 2, "the second message")
    again = peers.bind(zmq.SUB, address, subscribe=b"")
    assert again.recv() == [b"a 2"]


def test_what_a_device_has_kept_is_given_back_when_it_ends_even_if_it_is_held(either, peers):
    gc.collect()
    before = used_bytes()
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL, last_value=True))
    publisher = peers.connect(zmq.XPUB, *device.endpoints["frontend"], sndhwm=0)
    assert publisher.recv() == [b"\1"]
    for number in range(1_000):
        publisher.send(b"topic %d" % number, b"1")
    late = peers.connect(zmq.SUB, *device.endpoints["backend"], rcvhwm=0, sndhwm=0)
    for number in range(1_000):
        late.subscribe(b"topic %d" % number)
    assert late.recv_all(1_000)
    assert used_bytes() > before + 100_000
    device.stop()
    assert used_bytes() == before
    assert device.snapshot().pumps[0].outlets[0].last_values == 0
