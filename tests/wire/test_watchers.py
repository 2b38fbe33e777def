"""What libuv asks of whoever has it watch descriptors and timers, and libev does not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("gevent.libuv._corecffi") is None, reason="this gevent has no libuv"),
    pytest.mark.slow,
]

COMMON = """
import gc
import gevent, zmq, zmq.green
import geventrelay
from geventrelay import RelaySocket
from geventrelay.testing import Devices, Peers

def join(context, **socket_class):
    front, back, control = (context.socket(kind, **socket_class) for kind in (zmq.ROUTER, zmq.DEALER, zmq.REP))
    for socket in (front, back, control):
        socket.linger = 0
        socket.bind("tcp://127.0.0.1:0")
    joined = gevent.spawn(geventrelay.proxy_steerable, front, back, None, control)
    with Peers() as peers:
        client, worker, steering = (
            peers.connect(kind, socket.last_endpoint.decode())
            for kind, socket in ((zmq.REQ, front), (zmq.REP, back), (zmq.REQ, control))
        )
        client.send(b"request")
        assert worker.recv() == [b"request"]
        steering.send(b"PAUSE")
        assert steering.recv() == [b""]
        joined.kill()
    for socket in (front, back, control):
        socket.close()
    gevent.get_hub().threadpool.apply(context.term)

def run_devices():
    with Peers() as peers, Devices() as devices:
        relay = devices("relay", pub="tcp://127.0.0.1:0", control="tcp://127.0.0.1:0")
        steering = peers.connect(zmq.REQ, *relay.endpoints["control"])
        steering.send(b"PAUSE")
        assert steering.recv() == [b""]
        devices("streamer").stop(0)

"""

PROGRAMS = {
    "drop-in call on plain sockets": "join(zmq.Context())",
    "drop-in call on green sockets": "join(zmq.green.Context())",
    "drop-in call on relay sockets": "join(zmq.green.Context(), socket_class=RelaySocket)",
    "devices": "run_devices()",
}


REUSED = """
import os, sys
import gevent, zmq, zmq.green
import geventrelay
from geventrelay import RelaySocket
from geventrelay.testing import let_run

kind = {"green": zmq.green.Socket, "plain": zmq.Socket, "relay": RelaySocket}[sys.argv[1]]
context = zmq.green.Context()
front, back = (context.socket(kind_, socket_class=kind) for kind_ in (zmq.PULL, zmq.PUSH))
joined = gevent.spawn(geventrelay.proxy, front, back)
sender = context.socket(zmq.PUSH)
let_run()

number = front.fileno()
front.close(0)
while os.path.exists(f"/dev/fd/{number}"):
    pass  # libzmq closes it, in a thread of its own
made = [context.socket(zmq.PULL, socket_class=RelaySocket)]
while made[-1].fileno() != number:
    made.append(context.socket(zmq.PULL, socket_class=RelaySocket))
receiver = made[-1]

receiver.bind("tcp://127.0.0.1:0")
received = gevent.spawn(receiver.recv)
let_run()
sender.connect(receiver.last_endpoint.decode())
sender.send(b"heard")
assert received.get(timeout=5) == b"heard"
try:
    joined.get(timeout=5)
except zmq.ZMQError as error:
    assert error.errno == zmq.ENOTSOCK
for socket in (back, sender, *made):
    socket.close(0)
gevent.get_hub().threadpool.apply(context.term)
"""


def run_on_libuv(program: str, *arguments: str) -> str:
    """Run `program` to its end in a process of its own, and return what it printed on its standard error."""
    # GEVENT_DEBUG has gevent close a watcher that was only forgotten, and say so.
    environment = {**os.environ, "GEVENT_LOOP": "libuv-cffi", "GEVENT_DEBUG": "debug"}
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_no_watcher_is_forgotten_before_it_is_closed(program):
    errors = run_on_libuv(COMMON + program + "\ngc.collect()\n")
    assert "Failed to close watcher" not in errors, errors


@pytest.mark.parametrize("kind", ["green", "plain", "relay"])
def test_a_socket_is_heard_whose_descriptor_was_that_of_one_closed_under_a_proxy(kind):
    run_on_libuv(REUSED, kind)
