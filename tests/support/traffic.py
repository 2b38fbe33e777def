"""Agreeing with the peers of a device that the way is open, that nothing is under way, or that it is full."""

from __future__ import annotations

from collections.abc import Sequence

import gevent
import zmq

from geventrelay import Device, PumpSnapshot
from geventrelay.testing import Peer, Peers, eventually, within

_MARK = b"probe:"
# How long a queue that is full stays so before everything behind it is taken for full, too.
_QUIET_S = 0.5
# After this time another probe is sent.
_AGAIN_S = 0.1


def pump(device: Device, source: str) -> PumpSnapshot:
    """The snapshot of the pump that reads the socket `source`."""
    return next(one for one in device.snapshot().pumps if one.source == source)


def open_way(
    publisher: Peer,
    device: Device,
    *,
    subscribers: Sequence[Peer] = (),
    pullers: Sequence[Peer] = (),
    topic: bytes = b"topic",
) -> int:
    """Publish numbered probes until each receiver has got one, then let them read all the others.

    When this returns, every receiver is known to the device, and has read every probe that will ever come to it.
    The device's first pump reads from `publisher` alone. Returns how many probes were published.
    """
    before = device.snapshot().pumps[0]
    latest: dict[Peer, bytes] = {}
    pulled = count = 0
    with within(f"a probe at each of {[*subscribers, *pullers]}"):
        while len(latest) < len(subscribers) + len(pullers):
            last = b"%s %s%d" % (topic, _MARK, count)
            publisher.socket.send(last)
            count += 1
            gevent.sleep(0.001)
            for one in (*subscribers, *pullers):
                if one not in latest and one.socket.readable:
                    latest[one] = _probe(one)
                    pulled += one in pullers
    with within(lambda: f"probe {last!r} at each of {list(subscribers)}"):
        while not gevent.with_timeout(_AGAIN_S, _read_to, subscribers, last, latest, timeout_value=False):
            # A full queue on the way has dropped it.
            last = b"%s %s%d" % (topic, _MARK, count)
            publisher.socket.send(last)
            count += 1
    with within("the device to read every probe"):
        while device.snapshot().pumps[0].received < before.received + count:
            gevent.sleep(0.001)
    if pullers:
        to_come = _pushed(device.snapshot().pumps[0]) - _pushed(before)
        with within(f"all {to_come} probes pushed at {list(pullers)}"):
            while pulled < to_come:
                pulled += sum(len(one.recv_now()) for one in pullers)
                gevent.sleep(0.001)
    return count


def fill_way(sender: Peer, *parts: bytes) -> None:
    """Send copies of a message of `parts` until nothing has been taken for a while: every queue on the way is full."""
    sender.send(*parts)
    while gevent.with_timeout(_QUIET_S, sender.send, *parts, timeout_value=False) is None:
        pass


def _read_to(subscribers: Sequence[Peer], last: bytes, latest: dict[Peer, bytes]) -> bool:
    for one in subscribers:
        while latest[one] != last:
            latest[one] = _probe(one)
    return True


def _probe(one: Peer) -> bytes:
    message = one.recv()
    assert _MARK in message[-1], f"{one} got {message} where probes were to be expected"
    return message[-1]


def _pushed(snapshot: PumpSnapshot) -> int:
    return sum(outlet.sent for outlet in snapshot.outlets if outlet.socket == "push")


def bind_again(peers: Peers, kind: int, endpoint: str) -> Peer:
    """A peer of type `kind`, bound where another socket was that has just been closed. Yields."""
    peer = peers.make(kind)

    def bound() -> bool:
        try:
            peer.bind(endpoint)
        except zmq.ZMQError as error:
            # libzmq frees the address in a thread of its own.
            assert error.errno == zmq.EADDRINUSE
            return False
        return True

    eventually(bound, f"{endpoint} to be free")
    return peer
