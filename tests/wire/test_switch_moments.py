"""Engine zmtp at odd moments: a context that ends, descriptors that run out, a name that moves."""

from __future__ import annotations

import resource
import socket

import gevent
import pytest
import zmq

from geventrelay import Device, Streamer
from geventrelay.switch import dialler
from geventrelay.testing import LOCAL, Peers, eventually, within


def moves(device: Device, peers: Peers, body: bytes = b"task") -> None:
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher.send(body)
    assert puller.recv() == [body]


def test_the_end_of_the_callers_context_does_not_matter(run, peers: Peers):
    with zmq.Context() as context:
        device = run(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp"), context=context)
    assert context.closed
    moves(device, peers)
    device.stop()
    assert device.failure is None


@pytest.mark.parametrize("feature", ["control", "tap"])
def test_a_control_socket_or_a_tap_whose_context_has_ended_fails_the_device(run, feature, caplog):
    context = zmq.Context()
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp", **{feature: LOCAL}), context=context)
    with within("the end"):
        gevent.get_hub().threadpool.apply(context.term)
        device.join()
    assert "Context was terminated" in str(device.failure)


def test_a_connection_for_which_no_descriptor_is_free_waits_and_is_told_and_gets_in_later(run, peers: Peers, caplog):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp"))
    moves(device, peers)
    with socket.socket() as late, socket.socket() as free:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The lowest descriptor that is free is the first that cannot be had.
        lowest = free.fileno()
        free.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            host, _, port = device.endpoints["frontend"][0].removeprefix("tcp://").rpartition(":")
            late.connect((host, int(port)))
            eventually(lambda: "kept-off device=streamer socket=frontend connections=0" in caplog.text, "the log")
            assert "no file descriptor is free, so connections wait to be accepted" in caplog.text
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    moves(device, peers)


def test_a_name_is_resolved_anew_at_each_try(run, peers: Peers, monkeypatch):
    places, asked = ["127.0.0.1"], []
    plain = dialler.green_socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        return plain(places[0] if host == "moves" else host, *args, **kwargs)

    first = peers.bind(zmq.PULL)
    port = first.endpoint.rpartition(":")[2]
    monkeypatch.setattr(dialler.green_socket, "getaddrinfo", getaddrinfo)
    device = run(Streamer(frontend=LOCAL, backend=f">tcp://moves:{port}", engine="zmtp"))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"here")
    assert first.recv() == [b"here"]
    places[0] = "127.0.0.2"
    second = peers.bind(zmq.PULL, f"tcp://127.0.0.2:{port}")
    first.close()
    eventually(lambda: device.peers()["backend"].connected_total == 2, "it to connect to the other place")
    pusher.send(b"there")
    assert second.recv() == [b"there"]
    assert asked.count("moves") >= 3
