"""RelaySocket never misses a wake-up; the zmq.green socket under it does."""

from __future__ import annotations

import errno
import gc
import time

import gevent
import pytest
import zmq
import zmq.green
from gevent.exceptions import ConcurrentObjectUseError

from geventrelay import RelaySocket
from geventrelay.testing import Peers, eventually, let_run, within

# zmq.green's own is 11.6 s. It is what a greenlet sleeps that was not woken up.
BUG_TIMEOUT_S = 0.6


class PlainSocket(zmq.green.Socket):
    _gevent_bug_timeout = BUG_TIMEOUT_S


@pytest.fixture
def pair(peers: Peers):
    """A function that joins a socket of some class to a plain peer: a full queue is full after a known number."""
    made = []

    def join(socket_class):
        peer = peers.context.socket(zmq.PAIR, socket_class=zmq.Socket)
        socket = peers.context.socket(zmq.PAIR, socket_class=socket_class)
        made.extend((peer, socket))
        for one in (peer, socket):
            one.set(zmq.SNDHWM, 1)
            one.set(zmq.RCVHWM, 1)
            one.set(zmq.LINGER, 0)
        name = f"inproc://pair-{id(socket)}"
        peer.bind(name)
        socket.connect(name)
        return socket, peer

    yield join
    for one in made:
        one.close(0)


def fill(socket) -> int:
    """Send until the queue is full; how many it took."""
    for count in range(100):
        try:
            socket.send(b"filler", zmq.NOBLOCK)
        except zmq.Again:
            return count
    raise AssertionError("the queue took 100 messages and was not full")


def seconds_until_done(greenlet) -> float:
    began = time.monotonic()
    greenlet.join(5 * BUG_TIMEOUT_S)
    assert greenlet.ready(), f"{greenlet} still sleeps after {5 * BUG_TIMEOUT_S} s"
    return time.monotonic() - began


def writer_wakes_after(socket, peer) -> float:
    """How long a blocked writer sleeps when there is room again, but a reader's call has taken the edge."""
    taken = fill(socket)
    writer = gevent.spawn(socket.send, b"from the writer")
    let_run()
    assert not writer.ready(), "the writer was to be blocked by a full queue"
    # No greenlet runs from here on until the reader does: room is made, and its EAGAIN takes the edge.
    for _ in range(taken):
        assert peer.recv(zmq.NOBLOCK) == b"filler"
    reader = gevent.spawn(socket.recv)
    try:
        return seconds_until_done(writer)
    finally:
        reader.kill()
        writer.kill()


def reader_wakes_after(socket, peer) -> float:
    """How long a waiting reader sleeps when there is a message, but a writer's call has taken the edge."""
    fill(socket)
    reader = gevent.spawn(socket.recv)
    let_run()
    assert not reader.ready(), "the reader was to find nothing"
    # No greenlet runs from here on until the writer does.
    peer.send(b"for the reader", zmq.NOBLOCK)
    # A send looks at the socket's mailbox at most once in 3,000,000 CPU ticks (max_command_delay in libzmq).
    time.sleep(0.01)
    writer = gevent.spawn(socket.send, b"one too many")
    try:
        return seconds_until_done(reader)
    finally:
        reader.kill()
        writer.kill()


@pytest.mark.slow
@pytest.mark.parametrize("wakes_after", [writer_wakes_after, reader_wakes_after])
def test_a_plain_green_socket_misses_a_wake_up_and_sleeps_out_its_time_limit(pair, wakes_after):
    # Its clock began to run a little before ours.
    assert wakes_after(*pair(PlainSocket)) > 0.75 * BUG_TIMEOUT_S


@pytest.mark.parametrize("wakes_after", [writer_wakes_after, reader_wakes_after])
def test_a_relay_socket_wakes_up_where_a_plain_green_socket_does_not(pair, wakes_after):
    assert wakes_after(*pair(RelaySocket)) < 0.5 * BUG_TIMEOUT_S


def test_a_reader_whose_edge_was_taken_by_a_burst_of_sends_is_woken_by_after_write(pair):
    socket, peer = pair(RelaySocket)
    reader = gevent.spawn(socket.wait_readable)
    let_run()
    peer.send(b"news", zmq.NOBLOCK)
    # A call past zmq.green's bookkeeping, as a burst makes it; EVENTS takes the edge.
    zmq.Socket.get(socket, zmq.EVENTS)
    socket.after_write()
    with within("the reader to be woken", 1):
        reader.get()


def test_a_writer_whose_edge_was_taken_by_a_burst_of_reads_is_woken_by_after_read(pair):
    socket, peer = pair(RelaySocket)
    taken = fill(socket)
    writer = gevent.spawn(socket.wait_writable)
    let_run()
    assert not writer.ready()
    for _ in range(taken):
        peer.recv(zmq.NOBLOCK)
    zmq.Socket.get(socket, zmq.EVENTS)
    socket.after_read()
    with within("the writer to be woken", 1):
        writer.get()


def test_an_edge_taken_before_the_wait_is_not_waited_for(pair):
    socket, peer = pair(RelaySocket)
    peer.send(b"news", zmq.NOBLOCK)
    zmq.Socket.get(socket, zmq.EVENTS)
    with within("a wait for what is there already", 1):
        socket.wait_readable()
        socket.wait_writable()


@pytest.mark.parametrize("method", ["wait_readable", "wait_writable", "recv", "send"])
def test_closing_wakes_a_waiting_greenlet(pair, method):
    socket, _ = pair(RelaySocket)
    fill(socket)
    arguments = (b"one too many",) if method == "send" else ()
    waiting = gevent.spawn(getattr(socket, method), *arguments)
    let_run()
    assert not waiting.ready()
    socket.close()
    with within(f"{method} to end after close()", 1):
        if method in ("recv", "send"):
            with pytest.raises(zmq.ZMQError) as error:
                waiting.get()
            assert error.value.errno == errno.ENOTSOCK
        else:
            waiting.get()


@pytest.mark.parametrize("method", ["wait_readable", "wait_writable"])
def test_a_second_greenlet_may_not_wait_in_the_same_direction(pair, method):
    socket, _ = pair(RelaySocket)
    fill(socket)
    first = gevent.spawn(getattr(socket, method))
    let_run()
    with pytest.raises(ConcurrentObjectUseError, match="one greenlet"):
        getattr(socket, method)()
    assert not first.ready(), "the first waiter was to go on waiting"
    first.kill()


def test_a_waiter_that_timed_out_does_not_wake_the_next_one(pair):
    socket, peer = pair(RelaySocket)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.001):
        socket.recv()
    reader = gevent.spawn(socket.recv)
    let_run()
    assert not reader.ready()
    peer.send(b"late", zmq.NOBLOCK)
    with within("the message", 1):
        assert reader.get() == b"late"


def test_a_greenlet_killed_while_a_switch_to_it_was_due_leaves_the_socket_usable(pair):
    socket, peer = pair(RelaySocket)
    reader = gevent.spawn(socket.wait_readable)
    let_run()
    peer.send(b"one", zmq.NOBLOCK)
    socket.after_write()
    reader.kill()
    with within("both messages", 1):
        assert socket.recv() == b"one"
        peer.send(b"two", zmq.NOBLOCK)
        assert socket.recv() == b"two"


def test_a_full_nodrop_xpub_waits_without_spinning(peers: Peers):
    publisher = peers.bind(zmq.XPUB, "inproc://nodrop", sndhwm=1, xpub_nodrop=1)
    subscriber = peers.connect(zmq.SUB, "inproc://nodrop", rcvhwm=1, subscribe=b"")
    publisher.recv()
    taken = publisher.fill(b"m")
    assert publisher.socket.get(zmq.EVENTS) & zmq.POLLOUT, "libzmq has learnt better; the work-around can go"
    tries = 0

    def send_one_more():
        nonlocal tries
        while True:
            tries += 1
            try:
                return zmq.backend.Socket.send(publisher.socket, b"more", zmq.NOBLOCK)
            except zmq.Again:
                publisher.socket.wait_writable()

    writer = gevent.spawn(send_one_more)
    gevent.sleep(0.05)
    assert not writer.ready()
    assert tries < 10, f"{tries} tries in 50 ms with nothing happening"
    for _ in range(taken):
        assert subscriber.recv() == [b"m"]
    with within("the writer to see that there is room", 1):
        writer.get()
    assert subscriber.recv() == [b"more"]


def test_a_mandatory_router_whose_one_peer_is_full_is_not_waited_for_in_a_loop(peers: Peers):
    router = peers.bind(zmq.ROUTER, "inproc://mandatory", sndhwm=1, router_mandatory=1)
    dealer = peers.connect(zmq.DEALER, "inproc://mandatory", rcvhwm=1, routing_id=b"slow")
    dealer.send(b"hello")
    assert router.recv() == [b"slow", b"hello"]
    taken = router.fill(b"slow", b"m")
    writer = gevent.spawn(router.socket.send_multipart, [b"slow", b"more"])
    before = time.process_time()
    gevent.sleep(0.1)
    spent = time.process_time() - before
    assert not writer.ready()
    assert spent < 0.05, f"{spent:.3f} s of CPU in 0.1 s of waiting"
    assert dealer.recv_all(taken) == [[b"m"]] * taken
    with within("the writer to see that there is room", 1):
        writer.get()


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["inproc", "tcp"])
def test_a_reader_and_a_writer_on_each_end_exchange_everything_without_a_stall(peers: Peers, transport):
    count, body = 300, b"x" * 20_000
    address = "tcp://127.0.0.1:0" if transport == "tcp" else "inproc://exchange"
    one = peers.bind(zmq.PAIR, address, sndhwm=1, rcvhwm=1)
    other = peers.connect(zmq.PAIR, one.endpoint, sndhwm=1, rcvhwm=1)

    def write(peer):
        for number in range(count):
            peer.socket.send(b"%d " % number + body)

    def read(peer):
        return [int(peer.socket.recv().split()[0]) for _ in range(count)]

    greenlets = [gevent.spawn(work, peer) for peer in (one, other) for work in (write, read)]
    try:
        # Shorter than one missed wake-up.
        eventually(lambda: all(g.ready() for g in greenlets), f"{count} messages each way", 8)
        assert greenlets[1].get() == greenlets[3].get() == list(range(count))
    finally:
        gevent.killall(greenlets)


def test_a_socket_that_cannot_be_made_goes_quietly():
    context = zmq.green.Context()
    context.set(zmq.MAX_SOCKETS, 1)
    with context.socket(zmq.PAIR), pytest.raises(zmq.ZMQError):
        context.socket(zmq.PAIR, socket_class=RelaySocket)
    # What goes wrong in __del__ is a warning, and warnings are errors here.
    gc.collect()
    context.term()
