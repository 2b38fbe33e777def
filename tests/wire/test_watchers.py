"""Every watcher of gevent's is closed: libuv goes on using the memory of one that is only forgotten."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

LIBUV = "gevent.libuv._corecffi"

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


@pytest.mark.skipif(importlib.util.find_spec(LIBUV) is None, reason="this gevent has no libuv")
@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_no_watcher_is_forgotten_before_it_is_closed(program):
    # With this, gevent closes what was only forgotten, and says so.
    told = {"GEVENT_LOOP": "libuv-cffi", "GEVENT_DEBUG": "debug"}
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", COMMON + program + "\ngc.collect()\n"],
        capture_output=True, text=True, timeout=30, env={**os.environ, **told},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Failed to close watcher" not in done.stderr, done.stderr
