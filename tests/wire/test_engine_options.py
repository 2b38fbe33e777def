"""What options do with engine zmtp, with libzmq's sockets at both ends."""

from __future__ import annotations

import os
import socket
import sys

import pytest
import zmq
from gevent import socket as green_socket
from support.switch import command, wire
from support.traffic import pump

from geventrelay import Custom, Device, Drop, Forwarder, Streamer
from geventrelay.components.switch import Switch
from geventrelay.switch.station import Station
from geventrelay.testing import LOCAL, Peers, eventually, within
from geventrelay.zmtp.connection import Connection


def within_limit(one: socket.socket, nbytes: int) -> bytes:
    """So many bytes from a connection, which come soon."""
    found = b""
    with within(f"{nbytes} bytes"):
        while len(found) < nbytes:
            more = one.recv(nbytes - len(found))
            assert more, "the connection has ended"
            found += more
    return found


def read_to_end(one: socket.socket) -> bytes:
    """All that comes from a connection, which ends soon."""
    found = b""
    with within("its end"):
        while more := one.recv(4096):
            found += more
    return found


# Little room in the kernel, so that messages soon wait in the device.
SMALL = {"sndbuf": 4096, "rcvbuf": 4096}


def station(device: Device, key: str) -> Station:
    """What engine zmtp makes of the socket `key`."""
    (switch,) = (one for one in device._assembly.components if isinstance(one, Switch))
    return switch._stations[key]


def accounts(device: Device, key: str):
    """What has been counted of each peer that is connected to the socket `key`."""
    return [link.peer.counts() for link in station(device, key)._links.values()]


def publishing(start, **options):
    """A device that publishes what a PUSH sends, which loses nothing on the way there."""
    small = {"backend": {int(zmq.SNDBUF): 4096}}
    settings = {"frontend": LOCAL, "backend": LOCAL, "socket_options": small} | options
    return start(Custom(frontend_type="PULL", backend_type="PUB", **settings))


def slow_subscriber(peers: Peers, device: Device, **options):
    """One that takes a message or two before it is read."""
    made = peers.subscriber(*device.endpoints["backend"], rcvhwm=1, **SMALL, **options)
    eventually(lambda: any(one.subscriptions for one in accounts(device, "backend")), "its subscription")
    return made


def numbered(peer, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        peer.send(b"%d" % number, b"x" * 10_000)


def numbers(messages) -> list[int]:
    return [int(number) for number, _ in messages]


@pytest.mark.parametrize("policy", ["drop", "drop-oldest", "disconnect", "block"])
def test_what_becomes_of_messages_for_a_slow_subscriber_is_chosen(either, peers: Peers, policy):
    device = publishing(either, slow_subscriber=policy, sndhwm=5)
    slow = slow_subscriber(peers, device)
    source, count = peers.connect(zmq.PUSH, *device.endpoints["frontend"]), 100
    numbered(source, count)
    received = lambda: pump(device, "frontend").received  # noqa: E731
    if policy == "block":
        eventually(lambda: any(one.waiting == 5 for one in accounts(device, "backend")), "it to be full")
        assert received() < count
        assert numbers(slow.recv_all(count)) == list(range(count))
        return
    eventually(lambda: received() == count, "all to be taken in")
    if policy == "disconnect":
        eventually(lambda: device.peers()["backend"].cut_off == {"slow": 1}, "it to be disconnected")
        return
    (counts,) = accounts(device, "backend")
    lost = counts.matched - counts.delivered - counts.waiting
    assert sum(counts.dropped.values()) == lost > 0
    got = numbers(slow.recv_all(count - lost))
    assert got == sorted(got)
    if policy == "drop":
        assert got[:5] == list(range(5))
    else:
        assert got[-4:] == list(range(count - 4, count))


@pytest.mark.parametrize("policy", ["drop", "block"])
def test_what_has_waited_too_long_for_a_subscriber_is_dropped_though_nothing_more_comes(either, peers: Peers, policy):
    device = publishing(either, slow_subscriber=policy, sndhwm=50, subscriber_max_age_s=0.05)
    slow = slow_subscriber(peers, device)
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    numbered(source, 20)
    # One may be written in half.
    eventually(lambda: (only := accounts(device, "backend")[0]).waiting <= 1 and only.dropped, "them to be dropped")
    (counts,) = accounts(device, "backend")
    assert counts.dropped == {Drop.TOO_OLD: 20 - counts.delivered - counts.waiting}
    got = numbers(slow.recv_all(counts.delivered + counts.waiting))
    # There may have been room for one again after others had waited too long.
    assert got == sorted(set(got)) and got[0] == 0


def test_a_high_water_mark_may_be_in_bytes_for_what_is_sent(either, peers: Peers):
    device = publishing(either, slow_subscriber="block", sndhwm=0, sndhwm_bytes=30_000)
    slow = slow_subscriber(peers, device)
    source, count = peers.connect(zmq.PUSH, *device.endpoints["frontend"]), 50
    numbered(source, count)
    eventually(lambda: accounts(device, "backend")[0].waiting_bytes >= 30_000, "it to be full")
    assert accounts(device, "backend")[0].waiting_bytes < 30_000 + 10_020
    assert pump(device, "frontend").received < count
    assert numbers(slow.recv_all(count)) == list(range(count))


def test_a_high_water_mark_may_be_in_bytes_for_what_comes_in(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp", rcvhwm_bytes=10_000))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    eventually(lambda: station(device, "frontend")._links, "the connection")
    (link,) = station(device, "frontend")._links.values()
    # The kernel takes the double, for what it needs itself; see socket(7).
    assert link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 20_000


@pytest.mark.parametrize("option", [zmq.XPUB_VERBOSE, zmq.XPUB_VERBOSER], ids=["verbose", "verboser"])
def test_every_subscription_goes_up_a_chain_and_the_end_of_the_last_does(either, peers: Peers, option):
    chosen = {"backend": {int(option): 1}}
    first = either(Forwarder(frontend=LOCAL, backend=LOCAL, socket_options=chosen))
    second = either(Forwarder(frontend=">" + first.endpoints["backend"][0], backend=LOCAL, socket_options=chosen))
    publisher = peers.connect(zmq.XPUB, *first.endpoints["frontend"], xpub_verbose=1)
    for _ in range(2):
        subscribers = [peers.subscriber(*second.endpoints["backend"], prefix=b"a") for _ in range(2)]
        subscribers[0].socket.subscribe(b"a")
        assert publisher.recv_all(3) == [[b"\1a"]] * 3
        subscribers.pop().close()
        subscribers[0].socket.unsubscribe(b"a")
        subscribers[0].socket.subscribe(b"fence")
        assert publisher.recv() == [b"\1fence"]
        subscribers[0].close()
        assert sorted(publisher.recv_all(2)) == [[b"\0a"], [b"\0fence"]]


def test_a_subscriber_is_greeted_where_it_takes_the_greeting(either, peers: Peers):
    welcome = {"backend": {int(zmq.XPUB_WELCOME_MSG): b"hello"}}
    device = either(Forwarder(frontend=LOCAL, backend=LOCAL, socket_options=welcome))
    assert peers.subscriber(*device.endpoints["backend"], prefix=b"h").recv() == [b"hello"]


def greeted(device: Device, key: str, other: str) -> socket.socket:
    """A connection of bytes to the socket `key`, as if from a socket of the type `other`, with its handshake done."""
    host, port = device.endpoints[key][0].removeprefix("tcp://").rsplit(":", 1)
    made = green_socket.create_connection((host, int(port)))
    connection = Connection(other)
    while connection.peer is None:
        made.sendall(connection.to_send())
        connection.receive(made.recv(4096))
        connection.next_event()
    made.sendall(connection.to_send())
    return made


BEATS = {"frontend": {int(zmq.HEARTBEAT_IVL): 20, int(zmq.HEARTBEAT_TIMEOUT): 60, int(zmq.HEARTBEAT_TTL): 700}}
PING = b"\4\7\4PING\0\7"


def test_a_peer_that_answers_no_ping_is_ended_and_one_that_does_is_not(either):
    device = either(Streamer(frontend=LOCAL, backend=LOCAL, socket_options=BEATS))
    with greeted(device, "frontend", "PUSH") as silent, greeted(device, "frontend", "PUSH") as alive:
        for _ in range(8):
            assert within_limit(alive, len(PING)) == PING
            alive.sendall(b"\4\5\4PONG")
        assert within_limit(silent, len(PING)) == PING
        assert read_to_end(silent).startswith(PING)
        assert within_limit(alive, len(PING)) == PING
        peers = device.peers()["frontend"]
        assert (peers.connected, peers.cut_off) == (1, {"silent": 1})


def test_a_peer_is_ended_that_is_silent_for_longer_than_its_own_ping_has_said(either):
    device = either(Streamer(frontend=LOCAL, backend=LOCAL))
    with greeted(device, "frontend", "PUSH") as one:
        one.sendall(command(b"PING", b"\0\1hello"))
        assert read_to_end(one) == command(b"PONG", b"hello")
    assert device.peers()["frontend"].cut_off == {"silent": 1}


def test_libzmqs_heartbeats_and_ours_keep_a_connection_in_both_directions(either, peers: Peers):
    device = either(Streamer(frontend=LOCAL, backend=LOCAL, socket_options=BEATS))
    peers.connect(
        zmq.PUSH, *device.endpoints["frontend"], heartbeat_ivl=20, heartbeat_timeout=500, heartbeat_ttl=500
    )  # fmt: skip
    eventually(lambda: station(device, "frontend")._links, "the connection")
    (link,) = station(device, "frontend")._links.values()
    # Some 5 PINGs and PONGs each.
    eventually(lambda: link.peer.heard > 100, "signs of life")
    found = device.peers()["frontend"]
    assert (found.connected_total, found.connected, found.cut_off) == (1, 1, {})


def test_a_silence_while_nothing_is_read_is_not_the_peers(either):
    device = either(Streamer(frontend=LOCAL, backend=LOCAL, socket_options=BEATS))
    with greeted(device, "frontend", "PUSH") as one:
        # It waits for a worker, so that what the peer says then is not read.
        one.sendall(wire(b"task"))
        eventually(lambda: any(link.blocked for link in station(device, "frontend")._links.values()), "it to wait")
        for _ in range(6):
            assert within_limit(one, len(PING)) == PING
        assert device.peers()["frontend"].connected == 1


# What the kernel is told of a connection, and how it answers.
TOLD = {zmq.TOS: 8, zmq.TCP_KEEPALIVE_IDLE: 7, zmq.TCP_KEEPALIVE_INTVL: 5, zmq.TCP_KEEPALIVE_CNT: 4,
        zmq.TCP_MAXRT: 9000, zmq.SNDBUF: 8192, zmq.RCVBUF: 8192}  # fmt: skip
KEPT = {(socket.IPPROTO_IP, socket.IP_TOS): 8, (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 7,
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 5, (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 4,
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 9000, (socket.SOL_SOCKET, socket.SO_SNDBUF): 16384,
        (socket.SOL_SOCKET, socket.SO_RCVBUF): 16384, (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1}  # fmt: skip
TRAFFIC_CLASS = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_options_of_the_transport_reach_both_ends_of_a_connection(run, host):
    told = {int(number): value for number, value in TOLD.items()}
    # The name of the interface needs privileges.
    of_interface = {int(zmq.BINDTODEVICE): b"lo"} if os.geteuid() == 0 else {}
    first = run(
        Streamer(
            frontend=f"tcp://{host}:0", backend=LOCAL, engine="zmtp",
            socket_options={"frontend": told | of_interface | {int(zmq.BACKLOG): 33}},
        )
    )  # fmt: skip
    second = run(
        Streamer(
            frontend=LOCAL, backend=">" + first.endpoints["frontend"][0], engine="zmtp",
            socket_options={"backend": told | of_interface},
        )
    )  # fmt: skip
    kept = KEPT if host == "127.0.0.1" else KEPT | {TRAFFIC_CLASS: 8}
    for device, key in ((first, "frontend"), (second, "backend")):
        eventually(lambda device=device, key=key: station(device, key)._links, "the connection")
        (link,) = station(device, key)._links.values()
        assert {option: link.socket.getsockopt(*option) for option in kept} == kept
        if of_interface:
            assert link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"
    (listener,) = station(first, "frontend")._listeners
    # Of one that listens, it is in the place of tcpi_sacked (Linux's tcp_get_info).
    about = listener._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    assert int.from_bytes(about[28:32], sys.byteorder) == 33


def test_the_log_says_once_a_start_which_option_has_chosen_the_engine(run, caplog):
    caplog.set_level("INFO", "geventrelay")
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, subscriber_max_age_s=2))
    assert device.engine == "zmtp"
    told = 'engine device=forwarder engine=zmtp reason="subscriber-max-age 2 needs it"'
    assert [one for one in caplog.messages if one.startswith("engine ")] == [told]
    caplog.clear()
    assert run(Forwarder(frontend=LOCAL, backend=LOCAL, last_value=True)).engine == "zmtp"
    told = 'engine device=forwarder engine=zmtp reason="last-value needs it"'
    assert [one for one in caplog.messages if one.startswith("engine ")] == [told]
