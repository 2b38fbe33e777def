"""A destination of a pump: which socket, what part of each message, and what happens when it is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import zmq

from ..terms import LONGEST_TOPIC_BYTES, Payload, WhenFull
from .counters import Drop
from .gate import Gate
from .peers import SocketPeers
from .readiness import Readiness
from .socket import RelaySocket

Parts = Sequence[Any]
"""The parts of one message, in order: `zmq.Frame` as received, or bytes where a part was cut."""


def _after_space(parts: Parts) -> Parts:
    head = bytes(parts[0])
    # partition() leaves everything in front where there is no space.
    _, space, rest = head.partition(b" ")
    return (rest if space else head, *parts[1:])


def _after_first(parts: Parts) -> Parts:
    return parts[1:] if len(parts) > 1 else parts


LONGEST_TOPIC = 255
"""The longest text before a space that is taken for a topic, in bytes."""
_CONTROL = frozenset(map(chr, (*range(32), *range(127, 160))))


def is_topic(text: bytes) -> bool:
    """Whether `text`, which stands before the first space of a message, can be its topic. Does not yield.

    A message without a topic must not be cut at a space that is part of its payload: compressed data, JSON, msgpack. So
    a topic is UTF-8 without control characters, at most `LONGEST_TOPIC` bytes, and does not begin as JSON does.
    native/message.pxd has the same.
    """
    if len(text) > LONGEST_TOPIC or text[:1] in (b"{", b"[", b'"'):
        return False
    try:
        return _CONTROL.isdisjoint(text.decode())
    except UnicodeDecodeError:
        return False


def _after_topic(parts: Parts) -> Parts:
    head = bytes(parts[0])
    topic, space, rest = head.partition(b" ")
    return (rest,) if space and is_topic(topic) else parts


def _payload(parts: Parts) -> Parts:
    return _after_first(parts) if len(parts) > 1 else _after_topic(parts)


def is_uncut(payload: Payload, parts: Parts) -> bool:
    """Whether a `payload` of these `parts` is all of them because what stands before the first space is no topic."""
    if payload is not Payload.AUTO or len(parts) > 1:
        return False
    topic, space, _ = bytes(parts[0]).partition(b" ")
    return bool(space) and not is_topic(topic)


def _swapped(parts: Parts) -> Parts:
    return (parts[1], parts[0], *parts[2:]) if len(parts) > 1 else parts


CUT: dict[Payload, Callable[[Parts], Parts] | None] = {
    Payload.WHOLE: None,
    Payload.AUTO: _payload,
    Payload.SPACE: _after_space,
    Payload.PARTS: _after_first,
    Payload.SWAP: _swapped,
}
"""How each `Payload` is cut from a message; None where nothing is to be done."""


class Outlet:
    """Where a pump sends, and on what terms.

    A ROUTER always drops: it must not hold up every client for the one whose reply cannot go.

    :param name: the socket's key in its device, e.g. ``push``.
    :param socket: the destination; its one writer is this outlet's pump.
    :param when_full: what happens to a message that the socket cannot take now.
    :param payload: which part of each message goes there.
    :param prefix: a part to put before each message; None for none.
    :param longest_topic: the longest topic that an XSUB is asked for, in bytes; of no concern to others. libzmq keeps
        its topics in a tree that it walks by recursion (trie_t::rm): one of 200 kB overflows the stack.
    :param repeated: whether the source reports a subscription for each subscriber and not once, as an XPUB with
        ZMQ_XPUB_VERBOSE does; of no concern where the socket is no XSUB. See `geventrelay.engine.subscriptions`.
    :param ends_out_of_turn: whether EFSM ends the burst with that error: for a REQ or REP whose turn never comes again,
        because no greenlet reads from it.
    :param peers: who is connected, so that a drop is ``no_peer`` or ``full``; None where that is not known.
    :param gate: how many messages the socket may be given; None for as many as it takes.
    :param otherwise: what gets the same of a message that the socket does not take now: for want of room, or because a
        ROUTER has no such peer. Of this one, only its socket and its gate count. None for none.
    :param on_dropped: called when a burst has dropped messages that neither this socket nor the other one had room
        for, at least once for all of them. Must not yield. None for not.
    """

    def __init__(
        self,
        name: str,
        socket: Readiness | RelaySocket,
        *,
        when_full: WhenFull = WhenFull.BLOCK,
        payload: Payload = Payload.WHOLE,
        prefix: bytes | None = None,
        longest_topic: int = LONGEST_TOPIC_BYTES,
        repeated: bool = False,
        ends_out_of_turn: bool = False,
        peers: SocketPeers | None = None,
        gate: Gate | None = None,
        otherwise: Outlet | None = None,
        on_dropped: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.socket: Readiness = socket.readiness
        self.routes = self.socket.raw.type == zmq.ROUTER
        self.when_full = WhenFull.DROP if self.routes else when_full
        self.payload = payload
        self.prefix = prefix
        self.longest_topic = longest_topic if self.socket.raw.type == zmq.XSUB else None
        self.repeated = repeated and self.socket.raw.type == zmq.XSUB
        self.ends_out_of_turn = ends_out_of_turn
        self._peers = peers
        self.gate = gate
        self.otherwise = otherwise
        self.on_dropped = on_dropped

    @property
    def is_shut(self) -> bool:
        """Whether its gate lets nothing go at the moment. Does not yield."""
        return self.gate is not None and self.gate.permits <= 0

    @property
    def events_interval(self) -> int:
        """After how many messages a burst reads EVENTS of this outlet's socket; 0 for never.

        A PUB takes a message whether there is room for it or not. It learns of room from messages that its peers'
        queues send it, and zmq_send reads these at most once in 3 million ticks of the processor's clock
        (max_command_delay in libzmq), before which a burst can fill a queue twice over. Peers send one each time that
        they have taken half of the high-water mark (pipe_t::compute_lwm), so half of that misses nothing.
        """
        if self.socket.raw.type not in (zmq.PUB, zmq.XPUB):
            return 0
        sndhwm = int(self.socket.raw.get(zmq.SNDHWM))
        return max(1, sndhwm // 4) if sndhwm else 0

    @property
    def least_parts(self) -> int:
        """How many parts a message must have for this outlet: a ROUTER takes the first as routing id."""
        return 2 if self.routes else 1

    def drop_reason(self) -> Drop:
        """The reason behind an EAGAIN of this outlet's socket, judged now. Does not yield."""
        if self.routes:
            return Drop.FULL
        if self._peers is None:
            return Drop.NOT_READY
        return Drop.FULL if self._peers.now() else Drop.NO_PEER
