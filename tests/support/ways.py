"""Every way through every pattern: a peer that sends, a peer that receives, and what of a message arrives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from geventrelay import Custom, Device, Forwarder, Queue, Relay, Streamer
from geventrelay.testing import LOCAL, Peer, Peers, eventually

from .traffic import open_way

Parts = list[bytes]


@dataclass(frozen=True)
class Way:
    """An open way through a running device. Whole messages arrive as they were sent, behind `prefix_parts` more.

    `pump` is the place of the pump that carries them in the device's snapshot.
    """

    device: Device
    source: Peer
    sink: Peer
    address: tuple[bytes, ...] = ()
    prefix_parts: int = 0
    pump: int = 0
    arrives: Callable[[Parts], Parts] = lambda parts: parts

    def send(self, parts: Sequence[bytes]) -> None:
        """Send one message in at the one end."""
        self.source.send(*self.address, *parts)

    def recv(self) -> Parts:
        """The next message out of the other end, without what the device put before it."""
        return self.sink.recv()[self.prefix_parts :]


def relay_to_subscribers(run: Any, peers: Peers) -> Way:
    device = run(Relay(sub=LOCAL, pub=LOCAL))
    publisher, subscriber = peers.publisher(*device.endpoints["sub"]), peers.subscriber(*device.endpoints["pub"])
    open_way(publisher, device, subscribers=[subscriber])
    return Way(device, publisher, subscriber)


def relay_to_pullers(run: Any, peers: Peers) -> Way:
    device = run(Relay(sub=LOCAL, push=LOCAL, push_payload="parts"))
    publisher, puller = peers.publisher(*device.endpoints["sub"]), peers.connect(zmq.PULL, *device.endpoints["push"])
    open_way(publisher, device, pullers=[puller])
    return Way(device, publisher, puller, arrives=lambda parts: parts[1:] or parts)


def forwarder(run: Any, peers: Peers) -> Way:
    device = run(Forwarder(frontend=LOCAL, backend=LOCAL, slow_subscriber="block"))
    subscriber = peers.subscriber(*device.endpoints["backend"])
    return Way(device, peers.publisher(*device.endpoints["frontend"]), subscriber)


def queue_requests(run: Any, peers: Peers) -> Way:
    device = run(Queue(frontend=LOCAL, backend=LOCAL))
    client, worker = (
        peers.connect(zmq.DEALER, *device.endpoints["frontend"]),
        peers.connect(zmq.DEALER, *device.endpoints["backend"]),
    )
    return Way(device, client, worker, prefix_parts=1)


def queue_replies(run: Any, peers: Peers) -> Way:
    device = run(Queue(frontend=LOCAL, backend=LOCAL))
    client = peers.connect(zmq.DEALER, *device.endpoints["frontend"], routing_id=b"client")
    worker = peers.connect(zmq.DEALER, *device.endpoints["backend"])
    client.send(b"hello")
    assert worker.recv() == [b"client", b"hello"]
    return Way(device, worker, client, address=(b"client",), pump=1)


def streamer(run: Any, peers: Peers) -> Way:
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    return Way(device, pusher, peers.connect(zmq.PULL, *device.endpoints["backend"]))


def routers(run: Any, peers: Peers) -> Way:
    device = run(Custom(frontend_type="ROUTER", frontend=LOCAL, backend_type="ROUTER", backend=LOCAL))
    one = peers.connect(zmq.DEALER, *device.endpoints["frontend"], routing_id=b"one")
    other = peers.connect(zmq.DEALER, *device.endpoints["backend"], routing_id=b"other")
    # A ROUTER knows whom it has heard of: say hello to somebody who cannot be there, and see that it was read.
    other.send(b"nobody", b"hello")
    eventually(lambda: device.snapshot().pumps[1].received == 1, "the hello to be read")
    return Way(device, one, other, address=(b"other",), prefix_parts=1)


WAYS = [
    relay_to_subscribers, relay_to_pullers, forwarder, queue_requests, queue_replies, streamer, routers,
]  # fmt: skip
