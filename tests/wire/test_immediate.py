"""What a socket that connects keeps while its peer is away: the queue by default, nothing with ``immediate``."""

from __future__ import annotations

import pytest
import zmq
from support.engines import libzmq_only
from support.traffic import bind_again, pump

from geventrelay import Custom, Drop, Relay, Streamer
from geventrelay.testing import LOCAL, Peers, eventually

# So large that the kernel's buffers, which are lost with a connection, hold few of them.
_BODY, _COUNT = bytes(20_000), 1_000
_SMALL = {zmq.SNDBUF: 4096}


def _queue_at_a_worker_that_restarts(run, peers: Peers, **settings):
    """A streamer whose worker takes nothing of `_COUNT` tasks, and another worker that takes the place of that one."""
    worker = peers.bind(zmq.PULL, rcvhwm=1, rcvbuf=4096)
    backend = ">" + worker.endpoint
    device = run(Streamer(frontend=LOCAL, backend=backend, socket_options={"backend": _SMALL}, **settings))
    worker.wait_for(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], sndhwm=0)
    for number in range(_COUNT):
        pusher.send(b"%d" % number, _BODY)
    eventually(lambda: pump(device, "frontend").outlets[0].sent == _COUNT, "all to be queued")
    worker.close()
    second = bind_again(peers, zmq.PULL, worker.endpoint)
    second.wait_for(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    pusher.send(b"last")
    got = []
    while not got or got[-1] != b"last":
        got.append(second.recv()[0])
    return [int(number) for number in got[:-1]]


def test_a_push_that_connects_keeps_its_queue_when_its_worker_restarts(run, peers: Peers):
    got = _queue_at_a_worker_that_restarts(run, peers)
    # The others had left the queue, for the kernel's buffers and the worker's.
    assert len(got) > _COUNT // 2
    assert got == list(range(_COUNT - len(got), _COUNT))


def test_with_immediate_the_queue_goes_with_the_connection(run, peers: Peers):
    assert _queue_at_a_worker_that_restarts(run, peers, immediate=True) == []


@pytest.mark.parametrize(("immediate", "queued"), [(False, 5), (True, 0)])
def test_without_a_puller_no_peer_is_counted_behind_what_is_queued(run, peers: Peers, immediate, queued):
    nowhere = peers.bind(zmq.PULL)
    nowhere.close()
    device = run(Relay(sub=LOCAL, push=">" + nowhere.endpoint, sndhwm=5, immediate=immediate, linger_ms=0))
    publisher = peers.publisher(*device.endpoints["sub"])
    for _ in range(250):
        publisher.send(b"topic payload")
    eventually(lambda: pump(device, "sub").received == 250, "250 messages to be read")
    outlet = pump(device, "sub").outlets[0]
    assert (outlet.sent, outlet.dropped) == (queued, {Drop.NO_PEER: 250 - queued})


@libzmq_only("it reads the options of the sockets")
def test_the_option_is_for_sockets_that_only_send_and_that_of_one_socket_wins(run):
    device = run(
        Custom(
            frontend=LOCAL, frontend_type="PULL", backend=">tcp://127.0.0.1:1", backend_type="PUB",
            control=LOCAL, immediate=True, linger_ms=0,
        )
    )  # fmt: skip
    option = {key: device._assembly.sockets[key].get(zmq.IMMEDIATE) for key in ("frontend", "backend", "control")}
    assert option == {"frontend": 0, "backend": 1, "control": 0}
    other = run(
        Streamer(
            frontend=LOCAL, backend=">tcp://127.0.0.1:1", immediate=True, linger_ms=0,
            socket_options={"backend": {zmq.IMMEDIATE: 0}},
        )
    )  # fmt: skip
    assert other._assembly.sockets["backend"].get(zmq.IMMEDIATE) == 0
