"""What pyzmq's own tests ask of its devices, asked of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest
import zmq
import zmq.devices.monitoredqueue
import zmq.green
from support.process import without_slow_burst

from geventrelay.devices import background, monitoredqueue
from geventrelay.testing import Peers, let_run, within


def single(peers: Peers, kind: int = zmq.REP) -> background.ThreadDevice:
    device = background.ThreadDevice(zmq.QUEUE, kind, -1)
    device.context_factory = lambda: peers.context
    return device


def assert_answers(device: background.ThreadDevice, client) -> None:
    client.send(b"hello", b"world")
    assert client.recv() == [b"hello", b"world"]
    device.launcher.kill()
    assert device.done


@pytest.mark.parametrize("side", ["in", "out"])
def test_one_socket_binds_where_either_side_is_asked_to(peers: Peers, side):
    device = single(peers)
    port = getattr(device, f"bind_{side}_to_random_port")("tcp://127.0.0.1")
    device.start()
    let_run(2)
    assert_answers(device, peers.connect(zmq.REQ, f"tcp://127.0.0.1:{port}"))
    device = single(peers)
    getattr(device, f"bind_{side}")("inproc://single")
    device.start()
    let_run(2)
    assert_answers(device, peers.connect(zmq.REQ, "inproc://single"))


@pytest.mark.parametrize("side", ["in", "out"])
def test_one_socket_connects_where_either_side_is_asked_to(peers: Peers, side):
    client = peers.bind(zmq.REQ)
    device = single(peers)
    getattr(device, f"connect_{side}")(client.endpoint)
    device.start()
    assert_answers(device, client)


def test_one_socket_has_the_options_of_both_sides(peers: Peers):
    device = single(peers, zmq.ROUTER)
    device.setsockopt_in(zmq.LINGER, 0)
    device.setsockopt_out(zmq.IDENTITY, b"the only one")
    client = peers.bind(zmq.ROUTER)
    device.connect_out(client.endpoint)
    device.start()
    with within("the device to be known"):
        peers_known = False
        client.socket.router_mandatory = 1
        while not peers_known:
            try:
                client.socket.send_multipart([b"the only one", b"hi"])
                peers_known = True
            except zmq.ZMQError:
                device.join(0.01)
    device.launcher.kill()


def test_the_module_of_monitored_queue_stands_in_for_pyzmqs():
    assert set(zmq.devices.monitoredqueue.__all__) <= set(monitoredqueue.__all__)
    assert monitoredqueue.monitored_queue is background.monitored_queue


TERM = """
import sys
import gevent
import zmq, zmq.green
from geventrelay.devices import background

module, kind, moment = {"green": zmq.green, "plain": zmq}[sys.argv[1]], sys.argv[2], sys.argv[3]
context = module.Context()
devices = []
for number in range(2):
    types = (zmq.QUEUE, zmq.REP, -1) if kind == "ThreadDevice" else (zmq.PULL, zmq.PUSH)
    device = getattr(background, kind)(*types, **({"ctrl_type": zmq.PAIR} if "Steerable" in kind else {}))
    device.context_factory = lambda: context
    device.bind_in(f"inproc://in{number}")
    device.start()
    devices.append(device)
if moment == "running":
    gevent.sleep(0.01)
if moment == "with":
    gevent.sleep(0.01)
    with context:
        pass
else:
    context.term()
for device in devices:
    device.join(5)
print(context.closed, [device.done for device in devices], [device.launcher.exception for device in devices])
"""


@pytest.mark.parametrize("moment", ["running", "just started", "with"])
@pytest.mark.parametrize("kind", ["ThreadDevice", "ThreadProxy", "ThreadProxySteerable", "ThreadMonitoredQueue"])
@pytest.mark.parametrize("context", ["green", "plain"])
def test_term_in_the_thread_of_the_hub_ends_the_devices(context, kind, moment):
    done = subprocess.run(
        [sys.executable, "-c", TERM, context, kind, moment], capture_output=True, text=True, timeout=15, check=False
    )
    assert (done.stdout, without_slow_burst(done.stderr)) == ("True [True, True] [None, None]\n", "")
