# How many messages a side may be given, as Python has it.

cimport cython

from .peer cimport Gate, Peer, Side, is_busy, room_of

from ..contract import FREE_PLACES, MOST_FREE_PLACES

cdef long long FEW_PLACES = FREE_PLACES
cdef long long MOST_PLACES = MOST_FREE_PLACES


@cython.final
cdef class NativeGate:
    """`geventrelay.engine.gate.Gate` in C: what moves messages counts it down there."""

    cdef Gate gate
    # See `geventrelay.engine.gate.Gate.listeners`.
    cdef readonly list listeners

    def __cinit__(self):
        self.listeners = []

    @property
    def permits(self):
        """How many more messages may go."""
        return self.gate.permits

    @permits.setter
    def permits(self, long long permits):
        self.gate.permits = permits

    def add(self, long long count):
        """See `geventrelay.engine.gate.Gate.add`."""
        cdef bint was_shut = self.gate.permits <= 0
        self.gate.permits += count
        if was_shut and self.gate.permits > 0:
            for listener in self.listeners[::-1]:
                listener()

    def take_all(self):
        """See `geventrelay.engine.gate.Gate.take_all`."""
        cdef long long taken = max(self.gate.permits, 0)
        self.gate.permits -= taken
        return taken


cdef long long places_of(const Side *side) noexcept:
    # How many messages the peers of a side that are connected now would take, without its gate.
    cdef long long room, all_room = 0
    cdef Py_ssize_t index
    cdef Peer *peer
    for index in range(side.count):
        peer = side.peers[index]
        if peer.fd < 0 or peer.over or is_busy(peer) or not room_of(peer):
            continue
        # Its bytes have room, and how large the next ones are is not known here.
        room = side.most - (peer.queue.messages - peer.queue.beyond)
        if side.requests:
            room = min(room, side.requests - peer.unanswered)
        if side.sndhwm_bytes or not side.sndhwm:
            room = min(room, FEW_PLACES)
        all_room += room
        if all_room >= MOST_PLACES:
            return MOST_PLACES
    return all_room
