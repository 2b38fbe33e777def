"""Socket monitors: what they report, how a socket is closed with one, and what they leave behind."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket as stdlib_socket

import pytest
import zmq
import zmq.green

from geventrelay.engine.libzmq import is_gone, last_endpoint, terminate, unique_inproc, unless_gone
from geventrelay.engine.monitor import Monitor, close
from geventrelay.engine.socket import RelaySocket
from geventrelay.testing import Peers, eventually, within

LOCAL = "tcp://127.0.0.1:0"


@pytest.fixture
def context():
    made = zmq.green.Context()
    yield made
    made.destroy(linger=0)


def bound(context, kind=zmq.PULL, address=LOCAL, **options):
    made = context.socket(kind, socket_class=RelaySocket)
    made.linger = 0
    for name, value in options.items():
        setattr(made, name, value)
    made.bind(address)
    return made


def awaited(monitor, kind):
    with within(f"event {kind!r}"):
        while True:
            for event in monitor.read():
                if event.kind == kind:
                    return event
            monitor.wait()


def test_an_event_says_what_happened_to_which_connection_at_which_endpoint(context, peers: Peers):
    watched = context.socket(zmq.PULL, socket_class=RelaySocket)
    monitor = Monitor(watched, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
    watched.bind(LOCAL)
    peer = peers.connect(zmq.PUSH, last_endpoint(watched))
    accepted = awaited(monitor, zmq.EVENT_ACCEPTED)
    assert accepted.endpoint == last_endpoint(watched)
    assert accepted.value > 2, "the connection's descriptor"
    peer.close()
    assert awaited(monitor, zmq.EVENT_DISCONNECTED).value == accepted.value
    close([monitor], 0)


def test_only_so_many_events_are_read_at_a_time(context, peers: Peers):
    watched = context.socket(zmq.PULL, socket_class=RelaySocket)
    monitor = Monitor(watched, zmq.EVENT_HANDSHAKE_SUCCEEDED)
    watched.bind(LOCAL)
    for _ in range(3):
        peers.connect(zmq.PUSH, last_endpoint(watched))
    read = []
    eventually(lambda: read.extend(monitor.read(1)) or len(read) == 3, "three events, one at a time")
    assert monitor.read() == []
    close([monitor], 0)


def test_a_closed_socket_is_waited_for_until_its_address_is_free(context):
    monitors = []
    for _ in range(5):
        watched = context.socket(zmq.PULL, socket_class=RelaySocket)
        monitors.append(Monitor(watched))
        watched.bind(LOCAL)
    addresses = [last_endpoint(one.socket) for one in monitors]
    close(monitors, 0)
    for address in addresses:
        bound(context, address=address).close(0)


def test_closing_waits_while_a_message_lingers_and_no_longer_than_that(context, peers: Peers):
    watched = context.socket(zmq.PUSH, socket_class=RelaySocket)
    monitor = Monitor(watched)
    watched.bind(LOCAL)
    reader = peers.connect(zmq.PULL, last_endpoint(watched))
    for number in range(100):
        watched.send(b"%d" % number)
    with within("the end of the socket"):
        close([monitor], None)
    assert reader.recv_all(100) == [[b"%d" % number] for number in range(100)]


def test_a_monitor_that_was_stopped_leaves_its_socket_as_it_was_and_may_be_stopped_again(context, peers: Peers):
    watched = bound(context)
    monitor = Monitor(watched, zmq.EVENT_ALL)
    monitor.stop()
    monitor.stop()
    peers.connect(zmq.PUSH, last_endpoint(watched)).send(b"one")
    with within("a message"):
        assert watched.recv() == b"one"
    watched.close(0)


def test_a_socket_that_others_closed_does_not_hold_up_the_threads_of_the_context(context, peers: Peers):
    """libzmq's io thread waits for ever to send an event whose pair is closed at this end."""
    for _ in range(5):
        watched = context.socket(zmq.PULL, socket_class=RelaySocket)
        monitor = Monitor(watched, zmq.EVENT_ALL)
        watched.bind(LOCAL)
        port = int(last_endpoint(watched).rpartition(":")[2])
        with contextlib.ExitStack() as clients:
            for _ in range(100):
                clients.enter_context(stdlib_socket.create_connection(("127.0.0.1", port)))
            watched.close(0)
            close([monitor], 0)
            other = bound(context)
            peers.connect(zmq.PUSH, last_endpoint(other)).send(b"one")
            with within("a message at another socket of the context"):
                assert other.recv() == b"one"
            other.close(0)
        eventually(lambda one=monitor: one._events.closed, "the monitor to be closed")


def test_closing_ends_when_the_context_goes(context):
    monitor = Monitor(bound(context))
    waiting = monitor.close_socket(0)
    with within("the end of the context"):
        terminate(context)
        waiting.join()
    assert context.closed


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="counts descriptors there")
def test_without_descriptors_a_monitor_is_refused_and_leaves_nothing(context):
    watched = bound(context)
    before = len(os.listdir("/dev/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    refusals = 0
    for room in range(2):
        first_free = os.dup(0)
        os.close(first_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + room, hard))
        try:
            made = Monitor(watched)
        except zmq.ZMQError as error:
            assert error.errno == errno.EMFILE
            refusals += 1
        else:
            made.stop()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refusals
    # Garbage of others may go meanwhile.
    eventually(lambda: len(os.listdir("/dev/fd")) <= before, "every descriptor to be free again")
    before = len(os.listdir("/dev/fd"))
    monitor = Monitor(watched)
    assert len(os.listdir("/dev/fd")) == before + 2, "a monitor takes two descriptors"
    close([monitor], 0)


# What is said once of libzmq


@pytest.mark.parametrize(("number", "gone"), [(zmq.ENOTSOCK, True), (zmq.ETERM, True), (zmq.EAGAIN, False)])
def test_a_socket_that_has_gone_is_told_from_other_faults(number, gone):
    error = zmq.ZMQError(number)
    assert is_gone(error) is gone
    with contextlib.nullcontext() if gone else pytest.raises(zmq.ZMQError), unless_gone():
        raise error


def test_inproc_names_are_unique_and_say_what_they_are_for():
    names = {unique_inproc("test") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("inproc://geventrelay-test-") for name in names)


def test_the_last_endpoint_is_where_a_socket_was_bound(context):
    socket = context.socket(zmq.PULL, socket_class=RelaySocket)
    assert last_endpoint(socket) == ""
    socket.bind("inproc://somewhere")
    assert last_endpoint(socket) == "inproc://somewhere"
    socket.close(0)
