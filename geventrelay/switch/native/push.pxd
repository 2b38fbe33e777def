# Each message to one peer, in turn: PUSH (RFC 30; libzmq's lb.cpp). Without Python.

from .copies cimport put
from .peer cimport (
    FULL, MEMORY, NO_PEER, Destination, Message, Peer, Side, count_sent, is_busy, is_shut, mark_dirty, room_of, takes, why_full
)
from .writing cimport write_out

cdef enum:
    # In the place of a reason to drop.
    GIVEN = -1


cdef inline Peer *peer_with_room(Side *side) noexcept nogil:
    # The next in turn that takes a message now; NULL if there is none.
    cdef Py_ssize_t index, at = side.next
    cdef Peer *peer
    if is_shut(side):
        return NULL
    for index in range(side.count):
        if at >= side.count:
            at = 0
        peer = side.peers[at]
        if takes(peer):
            if not room_of(peer) and not is_busy(peer):
                # What has come in this turn was not written yet.
                write_out(peer)
            if room_of(peer) and takes(peer):
                side.next = at
                return peer
        at += 1
    return NULL


cdef inline void push(Destination *destination, const Message *message) noexcept nogil:
    cdef int reason = push_to(destination.side, message)
    if reason == GIVEN:
        count_sent(destination, message)
    elif destination.otherwise != NULL and push_to(destination.otherwise, message) == GIVEN:
        destination.elsewhere += 1
    else:
        destination.dropped[reason] += 1
        destination.refused += destination.otherwise != NULL


cdef inline int push_to(Side *side, const Message *message) noexcept nogil:
    # GIVEN, or why no peer takes it.
    cdef Peer *peer = peer_with_room(side)
    if peer == NULL:
        return why_none(side)
    side.next += 1
    if not put(peer, message.block, message.at, message.size, 1):
        return FULL
    if side.gate != NULL:
        side.gate.permits -= 1
    if side.requests:
        peer.unanswered += 1
    peer.matched += 1
    peer.core.queued += message.size
    mark_dirty(peer)
    return GIVEN


cdef inline int why_none(Side *side) noexcept nogil:
    # Why no peer takes a message.
    cdef int reason = NO_PEER
    cdef Py_ssize_t index
    for index in range(side.count):
        # A queue without a peer may be full too.
        if side.peers[index].fd >= 0 and not side.peers[index].over and reason != MEMORY:
            reason = why_full(side.peers[index])
    return reason
