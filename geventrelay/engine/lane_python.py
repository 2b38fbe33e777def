"""An outlet's side of the burst in Python: what of a message goes there, how it is sent, and what is counted."""

from __future__ import annotations

from functools import partial

import zmq

from ..terms import WhenFull
from .counters import Drop, OutletCounters
from .gate import is_request
from .outlet import CUT, Outlet, Parts, is_uncut
from .readiness import plain_get, plain_send
from .subscriptions import Topics, has_longer_topic

# Looked up once: an attribute of an enum costs as much as a small call.
DONTWAIT = int(zmq.DONTWAIT)
_SNDMORE = int(zmq.DONTWAIT | zmq.SNDMORE)

# EFSM: a REQ or REP whose turn it is not; it becomes readable or writable when its turn comes.
NOT_NOW = (zmq.EAGAIN, zmq.EFSM)
_LOAD_BALANCED = (zmq.PUSH, zmq.DEALER)
_SHUT = zmq.Again()


class PythonLane:
    """What a `PythonBurst` keeps of an outlet while it runs; native/lane.pxd is the same for the native one.

    :param outlet: where messages go, and on what terms.
    :param counters: what is counted of it.
    :ivar send: the outlet's plain send; of one frame, with flags, and whether to copy.
    :ivar events_interval: see `Outlet.events_interval`.
    """

    def __init__(self, outlet: Outlet, counters: OutletCounters) -> None:
        self._outlet = outlet
        self._counters = counters
        self.send = partial(plain_send, outlet.socket.raw)
        self._cut = CUT[outlet.payload]
        self._prefix = () if outlet.prefix is None else (outlet.prefix,)
        self._least_parts = outlet.least_parts
        self._longest_topic = outlet.longest_topic
        self._topics = Topics() if outlet.repeated else None
        self._not_now = NOT_NOW[:1] if outlet.ends_out_of_turn else NOT_NOW
        self.events_interval = outlet.events_interval
        self._since_events = 0
        self._gate = outlet.gate
        self._otherwise = None if outlet.otherwise is None else PythonLane(outlet.otherwise, OutletCounters())

    @property
    def straight(self) -> bool:
        """Whether messages of one part go there just as they came."""
        return (
            self._cut is None
            and not self._prefix
            and self._least_parts == 1
            and self._longest_topic is None
            and self._gate is None
        )

    def count_passed(self, messages: int, nbytes: int) -> None:
        """Count `messages` of one part, `nbytes` in all, that were sent without `offer`. Does not yield."""
        self._counters.sent += messages
        self._counters.sent_parts += messages
        self._counters.sent_bytes += nbytes

    def offer(self, parts: Parts) -> bool:
        """Send or drop one message, its `parts`, and count it; False if it has to wait. Does not yield.

        :raises zmq.ZMQError: as `Burst.run` does.
        """
        counters = self._counters
        uncut = False
        if self._cut is not None:
            uncut = is_uncut(self._outlet.payload, parts)
            parts = self._cut(parts)
        if self._prefix:
            parts = (*self._prefix, *parts)
        if len(parts) < self._least_parts:
            counters.drop(Drop.MALFORMED)
            return True
        if self._longest_topic is not None and has_longer_topic(parts, self._longest_topic):
            counters.drop(Drop.TOPIC_TOO_LONG)
            return True
        refusal = self._give(parts)
        if refusal is not None:
            # Where a ROUTER has the peer, no other socket has.
            may_go = refusal.errno == zmq.EHOSTUNREACH or not self._outlet.routes
            if may_go and self._otherwise is not None and self._otherwise.takes(parts):
                counters.elsewhere += 1
                counters.uncut += uncut
                return True
            if refusal.errno == zmq.EHOSTUNREACH:
                counters.drop(Drop.UNROUTABLE)
                return True
            if self._outlet.when_full is WhenFull.BLOCK:
                return False
            self.refuse()
            if self._outlet.on_dropped is not None:
                self._outlet.on_dropped()
            return True
        if self._topics is not None and len(parts) == 1 and self._topics.repeats(bytes(parts[0])):
            self.send(b"\0" + bytes(parts[0])[1:], DONTWAIT, False)
        counters.sent += 1
        counters.sent_parts += len(parts)
        counters.sent_bytes += sum(map(len, parts))
        counters.uncut += uncut
        if self.events_interval:
            self.process_events()
        return True

    def refuse(self) -> None:
        """Count one message as dropped because the socket cannot take it now. Does not yield."""
        self._counters.drop(self._outlet.drop_reason())

    def takes(self, parts: Parts) -> bool:
        """Send one message, its `parts` as they are, if the socket takes it; whether it did. Does not yield.

        :raises zmq.ZMQError: as `Burst.run` does.
        """
        return len(parts) >= self._least_parts and self._give(parts) is None

    def process_events(self) -> None:
        """After a message: now and then, have the socket take in what its peers report of the room that they have."""
        self._since_events += 1
        if self._since_events >= self.events_interval:
            self._since_events = 0
            plain_get(self._outlet.socket.raw, zmq.EVENTS)

    def _give(self, parts: Parts) -> zmq.ZMQError | None:
        """Send one message; what the socket says if it does not take it, now or, as a ROUTER, ever."""
        if self._gate is not None and self._gate.permits <= 0:
            return _SHUT
        try:
            self._send_parts(parts)
        except zmq.ZMQError as error:
            if error.errno in self._not_now or error.errno == zmq.EHOSTUNREACH:
                return error
            raise
        if self._gate is not None and (not self._gate.of_requests or is_request(parts)):
            self._gate.permits -= 1
        return None

    def _send_parts(self, parts: Parts) -> None:
        last = len(parts) - 1
        for index, part in enumerate(parts):
            try:
                self.send(part, _SNDMORE if index < last else DONTWAIT, False)
            except zmq.Again:
                if 0 < index < last:
                    self._end_broken_message(parts[index + 1 :])
                raise

    def _end_broken_message(self, rest: Parts) -> None:
        """Get a socket whose peer died in the middle of a message ready for the next one.

        Load-balancing sockets (lb_t::sendpipe in libzmq) take the parts sent so far back, answer EAGAIN once,
        and then swallow what follows up to a part without SNDMORE.
        """
        if self._outlet.socket.raw.type in _LOAD_BALANCED:
            for part in rest[:-1]:
                self.send(part, _SNDMORE, False)
            self.send(rest[-1], DONTWAIT, False)
