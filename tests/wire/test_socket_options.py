"""Options of single sockets: libzmq takes each of them, and they win over what a device sets by itself."""

from __future__ import annotations

import time

import pytest
import zmq
from support.engines import libzmq_only
from support.samples import PUBLIC, SAMPLES, SECRET

from geventrelay import Device, Forwarder, Queue, StartError, Streamer
from geventrelay.settings.socket_options import OPTIONS
from geventrelay.testing import LOCAL, eventually

TYPES = ("PUB", "SUB", "XPUB", "XSUB", "PUSH", "PULL", "PAIR", "DEALER", "ROUTER", "REP")


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


@pytest.mark.parametrize("name", OPTIONS)
def test_libzmq_takes_each_option_for_each_type_that_it_is_said_to_be_for(context, name):
    option = OPTIONS[name]
    value = option.read(name, SAMPLES.get(name, 1))
    for kind in option.types or TYPES:
        with context.socket(zmq.SocketType[kind]) as socket:
            socket.linger = 0
            socket.setsockopt(option.number, value)


def options_of(device, key):
    return lambda option: device._assembly.sockets[key].get(option)


@libzmq_only("it reads the options of the sockets")
def test_an_option_of_a_socket_wins_over_the_devices_own(run):
    device = run(
        Streamer,
        sndhwm=5,
        rcvhwm=6,
        linger_ms=7,
        max_message_size_bytes=8000,
        heartbeat_ms=9_000,
        socket_options={
            "backend": {zmq.SNDHWM: 50, zmq.LINGER: 70, zmq.IMMEDIATE: 0, zmq.TCP_KEEPALIVE_IDLE: 90, zmq.TOS: 8},
            "frontend": {zmq.RCVHWM: 60, zmq.MAXMSGSIZE: -1, zmq.BACKLOG: 5},
        },
    )
    backend, frontend = options_of(device, "backend"), options_of(device, "frontend")
    assert [backend(one) for one in (zmq.SNDHWM, zmq.LINGER, zmq.IMMEDIATE, zmq.TCP_KEEPALIVE_IDLE, zmq.TOS)] == [
        50, 70, 0, 90, 8
    ]  # fmt: skip
    assert [frontend(one) for one in (zmq.RCVHWM, zmq.MAXMSGSIZE, zmq.BACKLOG)] == [60, -1, 5]
    # And nothing else has changed.
    assert [backend(one) for one in (zmq.RCVHWM, zmq.MAXMSGSIZE, zmq.TCP_KEEPALIVE_INTVL)] == [6, 8000, 9]
    assert [frontend(one) for one in (zmq.LINGER, zmq.TCP_KEEPALIVE_IDLE)] == [7, 9]


def test_a_linger_of_one_socket_holds_when_the_device_stops(run, peers):
    # With nobody at the other end, what is queued lingers: for as long as that socket is to, and not the device's 20 s.
    device = run(
        Streamer, backend=">tcp://127.0.0.1:1", linger_ms=20_000,
        socket_options={"backend": {zmq.LINGER: 100, zmq.IMMEDIATE: 0}},
    )  # fmt: skip
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"task")
    eventually(lambda: device.snapshot().pumps[0].outlets[0].sent, "the task to be queued")
    began = time.monotonic()
    device.stop()
    assert time.monotonic() - began < 10


@libzmq_only("the options are those of libzmq")
def test_an_option_that_libzmq_refuses_is_a_failure_to_start_that_names_it():
    settings = Streamer(name="s", frontend=LOCAL, backend=LOCAL)
    # The settings' own rules are as strict as libzmq's, so they are gone round here.
    object.__setattr__(settings, "socket_options", {"backend": {zmq.HANDSHAKE_IVL: -5}})
    with pytest.raises(StartError, match=r"cannot set handshake_ivl \(s backend\): Invalid argument"):
        Device(settings).start()


def test_messages_pass_under_curve(run, peers):
    server_public, server_secret = zmq.curve_keypair()
    device = run(
        Queue,
        socket_options={"frontend": {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: server_secret}},
        curve_clients="any",
    )
    keys = {"curve_publickey": PUBLIC, "curve_secretkey": SECRET, "curve_serverkey": server_public}
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"], **keys)
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    client.send(b"question")
    assert worker.recv() == [b"question"]
    worker.send(b"answer")
    assert client.recv() == [b"answer"]


# What a kernel or libzmq itself refuses, it refuses at each connection, and no peer gets in.
EXTREMES = {
    "backlog": (1, 2**31 - 1), "handshake_ivl": (2**31 - 1,), "heartbeat_ivl": (2**31 - 1,),
    "heartbeat_timeout": (0, 2**31 - 1), "heartbeat_ttl": (6_553_599,), "maxmsgsize": (1024, 2**63 - 1),
    "rcvbuf": (0, 2**31 - 1), "rcvhwm": (0, 1, 2**31 - 1), "sndbuf": (0, 2**31 - 1), "tcp_keepalive_cnt": (1, 127),
    "tcp_keepalive_idle": (1, 32_767), "tcp_keepalive_intvl": (1, 32_767), "tcp_maxrt": (0, 1, 2**31 - 1),
    "tos": (0, 255),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTREMES)
def test_peers_get_in_at_both_ends_of_the_range_of_an_option(run, peers, name):
    for value in EXTREMES[name]:
        options = {OPTIONS[name].number: value, zmq.TCP_KEEPALIVE: 1}
        device = run(Streamer, socket_options={"frontend": options})
        pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
        puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
        pusher.send(b"in")
        assert puller.recv() == [b"in"]
        device.stop(0)


def test_peers_get_in_with_the_longest_heartbeat_of_a_device(run, peers):
    device = run(Streamer, heartbeat_ms=32_767_000)
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher.send(b"in")
    assert puller.recv() == [b"in"]


@pytest.mark.parametrize("limit", [0, 1024])
def test_the_largest_handshake_fits_into_the_smallest_message_limit(run, peers, limit):
    server_public, server_secret = zmq.curve_keypair()
    device = run(
        Queue,
        max_message_size_bytes=limit,
        socket_options={"frontend": {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: server_secret}},
        curve_clients="any",
    )
    keys = {"curve_publickey": PUBLIC, "curve_secretkey": SECRET, "curve_serverkey": server_public}
    client = peers.connect(zmq.DEALER, *device.endpoints["frontend"], routing_id=b"r" * 255, **keys)
    worker = peers.connect(zmq.DEALER, *device.endpoints["backend"], routing_id=b"w" * 255)
    client.send(b"question")
    assert worker.recv()[-1] == b"question"


def test_a_subscriber_gets_the_welcome_message_of_an_xpub(run, peers):
    device = run(Forwarder, socket_options={"backend": {zmq.XPUB_WELCOME_MSG: b"hello"}})
    subscriber = peers.connect(zmq.SUB, *device.endpoints["backend"], subscribe=b"")
    assert subscriber.recv() == [b"hello"]
