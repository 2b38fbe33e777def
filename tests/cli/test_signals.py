"""How a server is stopped, and how it is asked how it is doing."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
import zmq
from support.engines import ZMTP
from support.process import GEVENTRELAY, LIMIT_S, balanced, environment, left_unread, listens, untaken
from support.traffic import fill_way

from geventrelay.engine.native.choose import native_module
from geventrelay.testing import connected, eventually, fence

STREAMER = ["streamer", "--frontend", "0", "--backend", "0"]
QUEUE = ["queue", "--frontend", "0", "--backend", "0"]
EVERY = {
    "relay": ["relay", "--sub-port", "0", "--pub-port", "0", "--push-port", "0"],
    "forwarder": ["forwarder", "--frontend", "0", "--backend", "0"],
    "queue": QUEUE,
    "streamer": STREAMER,
    "custom": ["custom", "--frontend-type", "ROUTER", "--frontend", "0", "--backend-type", "ROUTER", "--backend", "0"],
}
# What nobody waits for when there is nothing to wait for.
PATIENT = ["--drain", "60", "--linger", "60000"]
PROMPT_S = 5.0


@pytest.mark.parametrize("pattern", EVERY)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_server_without_peers_at_once(start, pattern, number):
    server = start(*EVERY[pattern], *PATIENT)
    numbers = server.stop(number, limit_s=PROMPT_S)
    assert set(numbers.values()) == {0}
    assert f"stopping signal={number.name} devices=1" in server.errors


def test_the_accounting_line_tells_what_went_where(start, peers):
    server = start("relay", "--sub-port", "0", "--pub-port", "0", "--push-port", "0")
    publisher, subscriber = peers.publisher(server["sub"]), peers.subscriber(server["pub"])
    connected(publisher, subscriber)
    # Once a second message is through, the first has been offered to the PUSH as well, where no peer is yet.
    fence(publisher, subscriber)
    # And once the hub has had a turn, the reason has been judged: a peer that comes before that makes it `full`.
    server.signal(signal.SIGUSR1)
    server.until_logged("push.dropped.no_peer=")
    fence(publisher, peers.connect(zmq.PULL, server["push"]))
    numbers = server.stop()
    assert numbers["sub.received"] == numbers["pub.sent"] > 1
    assert numbers["push.sent"] >= 1
    assert numbers["push.dropped.no_peer"] >= 1


def test_sigusr1_logs_the_accounting_and_goes_on(start, peers):
    server = start(*STREAMER)
    client, worker = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    for number in (1, 2):
        client.send(b"task")
        assert worker.recv() == [b"task"]
        server.signal(signal.SIGUSR1)
        server.until_logged(f"accounting device=streamer frontend.received={number} backend.sent={number} ")
    assert server.output == ""
    assert server.stop()["backend.sent"] == 2


def test_draining_moves_what_has_come_in(start, peers):
    server = start(*STREAMER, *PATIENT)
    send_and_leave(server, 5000)
    server.signal(signal.SIGTERM)
    server.until_logged("stopping")
    worker = peers.connect(zmq.PULL, server["backend"])
    assert worker.recv_all(5000) == [[b"%d" % number] for number in range(5000)]
    assert server.wait(PROMPT_S) == 0
    moved = {"frontend.received": 5000, "backend.sent": 5000, "held": 0}
    assert balanced(server.output).items() >= moved.items()


def test_draining_takes_in_nothing_new(start, folder):
    server = start("streamer", "--frontend", "0", "--frontend", f"ipc://{folder}/tasks", "--backend", "0", *PATIENT)
    send_and_leave(server, 1, key_index=0)
    server.signal(signal.SIGTERM)
    server.until(lambda: not listens(server.endpoints["frontend"][0]), "tcp frontend to be unbound")
    server.until(lambda: not listens(server.endpoints["frontend"][1]), "ipc frontend to be unbound")
    assert listens(server["backend"])


def test_draining_waits_for_replies_that_are_due(start, peers):
    server = start(*QUEUE, *PATIENT)
    client, worker = peers.connect(zmq.REQ, server["frontend"]), peers.connect(zmq.REP, server["backend"])
    client.send(b"question")
    assert worker.recv() == [b"question"]
    server.signal(signal.SIGTERM)
    server.until_logged("stopping")
    worker.send(b"answer")
    assert client.recv() == [b"answer"]
    assert server.wait(PROMPT_S) == 0
    assert balanced(server.output)["frontend.sent"] == 1


# It has a second for that, on any machine.
@pytest.mark.parametrize(("burst", "each"), [("native", 4_000 if ZMTP else 20_000), ("python", 4_000)])
def test_a_long_queue_is_read_to_its_end_and_counted(start, burst, each):
    if burst == "native" and native_module() is None:
        pytest.skip("there is no native burst here")
    server = start(*STREAMER, "--drain", "0.1", "--rcvhwm", "0", env=environment(GEVENTRELAY_BURST=burst))
    for _ in range(3):
        send_and_leave(server, each)
    numbers = server.stop(limit_s=PROMPT_S)
    assert (numbers["frontend.received"], numbers["backend.sent"], untaken(numbers)) == (3 * each, 0, 3 * each)
    assert not left_unread(server.output)


@pytest.mark.parametrize("pattern", ["streamer", "queue"])
def test_a_stop_counts_what_many_have_sent_or_says_that_more_may_have_been_left(start, peers, pattern):
    server = start(*EVERY[pattern], "--drain", "0.2", "--rcvhwm", "10")
    kind = zmq.PUSH if pattern == "streamer" else zmq.DEALER
    senders = [peers.connect(kind, server["frontend"], sndhwm=0) for _ in range(10)]
    for sender in senders:
        for _ in range(500):
            sender.send(b"", bytes(100))
    server.until_connections("frontend", 10)
    numbers = server.stop(limit_s=PROMPT_S)
    assert untaken(numbers)
    assert numbers["frontend.received"] == 5000 or left_unread(server.output)


def test_what_the_kernel_has_and_libzmq_has_not_read_is_said_to_be_unknown(start, peers):
    server = start(*STREAMER, "--drain", "0.1", "--rcvhwm", "10")
    fill_way(peers.connect(zmq.PUSH, server["frontend"], sndhwm=10), bytes(1000))
    server.stop(limit_s=PROMPT_S)
    assert left_unread(server.output)


@pytest.mark.parametrize("pattern", ["streamer", "queue"])
def test_a_stop_that_left_nothing_says_nothing_of_it(start, peers, pattern):
    server = start(*EVERY[pattern])
    kinds = (zmq.PUSH, zmq.PULL) if pattern == "streamer" else (zmq.REQ, zmq.REP)
    client, worker = peers.connect(kinds[0], server["frontend"]), peers.connect(kinds[1], server["backend"])
    client.send(b"task")
    assert worker.recv() == [b"task"]
    if pattern == "queue":
        worker.send(b"done")
        assert client.recv() == [b"done"]
    server.stop(limit_s=PROMPT_S)
    assert not left_unread(server.output)


def test_drain_is_as_long_as_it_was_asked_for(start):
    server = start(*STREAMER, "--drain", "0.5", "--linger", "0")
    send_and_leave(server, 10)
    began = time.monotonic()
    numbers = server.stop(limit_s=PROMPT_S)
    assert time.monotonic() - began >= 0.5
    assert (numbers["frontend.received"], numbers["backend.sent"], untaken(numbers)) == (10, 0, 10)


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGINT"), ("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM")])
def test_a_second_signal_ends_a_long_drain_at_once(start, first, second):
    server = start(*STREAMER, *PATIENT)
    send_and_leave(server, 10)
    server.signal(signal.Signals[first])
    server.until_logged("stopping")
    numbers = server.stop(signal.Signals[second], limit_s=PROMPT_S)
    assert untaken(numbers)
    assert not server.ready_file.exists()


def test_a_full_backend_holds_up_no_stop(start, peers):
    server = start(*STREAMER, "--drain", "0.3", "--linger", "300", "--sndhwm", "10", "--rcvhwm", "10")
    worker = peers.connect(zmq.PULL, server["backend"], rcvhwm=1)
    fill_way(peers.connect(zmq.PUSH, server["frontend"], sndhwm=10), bytes(1000))
    numbers = server.stop(limit_s=PROMPT_S)
    assert untaken(numbers)
    assert worker.recv()


@pytest.mark.parametrize("pattern", ["streamer", "queue", "relay"])
def test_a_flood_holds_up_no_stop_and_every_message_is_accounted_for(start, pattern):
    server = start(*EVERY[pattern], "--drain", "0.3", "--linger", "300")
    source, sink = ("sub", "push") if pattern == "relay" else ("frontend", "backend")
    kinds = {"streamer": (zmq.PUSH, zmq.PULL), "queue": (zmq.DEALER, zmq.REP), "relay": (zmq.PUB, zmq.PULL)}[pattern]
    with Flood(kinds, server[source], server[sink]) as flood:
        flood.until_flowing(1000)
        numbers = server.stop(limit_s=PROMPT_S)
    assert numbers[f"{source}.received"] >= 1000
    if pattern == "streamer":
        # What the worker got came through the relay.
        assert numbers["backend.sent"] >= 1000


def test_standard_output_that_nobody_reads_any_more_is_no_error(start):
    reader, writer = os.pipe()
    try:
        server = start(*STREAMER, stdout=writer)
    finally:
        os.close(writer)
        os.close(reader)
    server.signal(signal.SIGTERM)
    expect_quiet_end(server)


def test_a_full_disk_under_standard_output_is_no_error(start):
    with open("/dev/full", "wb") as full:
        server = start(*STREAMER, stdout=full.fileno())
        server.signal(signal.SIGTERM)
        expect_quiet_end(server)
    assert server.errors.endswith("\ncannot write to standard output: No space left on device\n")


def test_standard_output_that_was_never_open_is_no_error(run, folder):
    ready = folder / "ready.json"
    command = [*GEVENTRELAY, *STREAMER, "--interface", "127.0.0.1", "--ready-file", ready]
    server = run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command])
    server.until(ready.exists, "ready file")
    server.signal(signal.SIGTERM)
    expect_quiet_end(server)


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3])
def test_sigterm_during_start_ends_it_and_leaves_nothing(run, folder, delay_s):
    ends = ["--frontend", f"ipc://{folder}/in", "--backend", f"ipc://{folder}/out"]
    server = run([*GEVENTRELAY, "streamer", *ends, "--ready-file", folder / "ready.json"])
    # Not a wait for anything: wherever in its start the signal meets it, it is to end.
    time.sleep(delay_s)
    server.signal(signal.SIGTERM)
    code = server.wait(PROMPT_S)
    assert code in (0, -signal.SIGTERM), server.report()
    assert "Traceback" not in server.errors
    assert not listens(f"ipc://{folder}/in")
    assert [path.name for path in folder.iterdir() if "ready" in path.name] == []


SLOW_RESOLVER = """
import sys, gevent, gevent.socket

def getaddrinfo(*args, **kwargs):
    print("resolving", flush=True)
    gevent.sleep(60)

gevent.socket.getaddrinfo = getaddrinfo
from geventrelay.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_ends_a_start_that_hangs_in_name_resolution(run):
    server = run([sys.executable, "-c", SLOW_RESOLVER, *STREAMER[:-1], ">tcp://slow.example:5555"])
    server.until_said("resolving")
    server.signal(signal.SIGTERM)
    assert server.wait(PROMPT_S) == 0, server.report()
    assert "Traceback" not in server.errors


def test_a_signal_that_is_there_before_the_program_waits_for_its_turn(start):
    # nohup and shells' background jobs start programs with SIGINT ignored; SIGTERM must still end them.
    server = start(*STREAMER)
    server.signal(signal.SIGSTOP)
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGCONT)
    assert server.wait(PROMPT_S) == 0
    balanced(server.output)


def send_and_leave(server, count, key_index=0):
    """Send numbered tasks and return when the server has all of them and their sender has gone.

    With a context of its own: its end says that all has been sent, while a `Peer` that closes loses what is queued.
    """
    with zmq.Context() as context, context.socket(zmq.PUSH) as client:
        client.sndhwm = count
        client.connect(server.endpoints["frontend"][key_index])
        for number in range(count):
            client.send(b"%d" % number)
    # Terminating the context has waited until the kernel has it all; the connection goes when it has been read.
    server.until_connections("frontend", 0, key_index)


class Flood:
    """A client that sends as fast as it can and a worker that takes (and answers) it all.

    In threads with sockets of their own, for the flood must go on while the test waits for the server's end.
    """

    def __init__(self, kinds, source, sink):
        self._context = zmq.Context()
        self._over = threading.Event()
        self._seen = 0
        self._threads = [
            threading.Thread(target=self._send, args=(kinds[0], source)),
            threading.Thread(target=self._take, args=(kinds[1], sink)),
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._context.destroy(linger=0)

    def until_flowing(self, count):
        eventually(lambda: self._seen >= count, lambda: f"{count} messages, of which {self._seen} came", LIMIT_S)

    def _send(self, kind, endpoint):
        with self._context.socket(kind) as socket:
            socket.linger = 0
            socket.connect(endpoint)
            while not self._over.is_set():
                if socket.poll(10, zmq.POLLOUT):
                    socket.send_multipart([b"", b"topic payload"] if kind == zmq.DEALER else [b"topic payload"])
                while kind == zmq.DEALER and socket.poll(0):
                    socket.recv_multipart()

    def _take(self, kind, endpoint):
        with self._context.socket(kind) as socket:
            socket.linger = 0
            socket.connect(endpoint)
            while not self._over.is_set():
                if socket.poll(10):
                    message = socket.recv()
                    self._seen += 1
                    if kind == zmq.REP:
                        socket.send(message)


def expect_quiet_end(server):
    assert server.wait() == 0, server.report()
    assert "Traceback" not in server.errors
    assert "Exception" not in server.errors
