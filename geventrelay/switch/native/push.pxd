# Each message to one peer, in turn: PUSH (RFC 30; libzmq's lb.cpp). Without Python.

from .blocks cimport data_of
from .copies cimport put
from .frames cimport has_empty_part
from .peer cimport (
    FULL, MEMORY, NO_PEER, Destination, Message, Peer, Side, count_sent, is_busy, is_shut, mark_dirty, room_of, takes, why_full
)
from .writing cimport write_out


cdef inline Peer *peer_with_room(Side *side) noexcept nogil:
    # The next in turn that takes a message now; NULL if there is none.
    cdef Py_ssize_t at = side.next if side.next < side.count else 0
    cdef Peer *peer
    if side.count and not is_shut(side):
        peer = side.peers[at]
        if takes(peer) and room_of(peer) and not is_busy(peer):
            # As it is mostly.
            side.found = at
            return peer
    return any_with_room(side)


cdef inline Peer *any_with_room(Side *side) noexcept nogil:
    # The same, of all of them.
    cdef Py_ssize_t index, at = side.next
    cdef Peer *peer
    if is_shut(side):
        return NULL
    for index in range(side.count):
        if at >= side.count:
            at = 0
        peer = side.peers[at]
        if takes(peer) and not is_busy(peer):
            if not room_of(peer):
                # What has come in this turn was not written yet.
                write_out(peer)
            if room_of(peer) and takes(peer):
                side.found = at
                return peer
        at += 1
    return NULL


cdef inline void push(Destination *destination, const Message *message) noexcept nogil:
    cdef Peer *peer = peer_with_room(destination.side)
    if peer == NULL:
        push_elsewhere(destination, message)
    elif give(destination.side, peer, message):
        count_sent(destination, message)
    else:
        destination.dropped[FULL] += 1


cdef inline void push_elsewhere(Destination *destination, const Message *message) noexcept nogil:
    # Where no peer of the side has room.
    cdef Side *other = destination.otherwise
    cdef Peer *peer = NULL if other == NULL else any_with_room(other)
    if peer != NULL and give(other, peer, message):
        destination.elsewhere += 1
        return
    destination.dropped[why_none(destination.side)] += 1
    destination.refused += other != NULL


cdef inline bint give(Side *side, Peer *peer, const Message *message) noexcept nogil:
    # To the peer with room that was found last; False if there is no memory.
    side.next = side.found + 1
    if not put(peer, message.block, message.at, message.size, 1):
        return False
    if side.gate != NULL:
        side.gate.permits -= 1
    if side.requests and has_empty_part(data_of(message.block) + message.at):
        peer.unanswered += 1
    peer.matched += 1
    peer.core.queued += message.size
    mark_dirty(peer)
    return True


cdef inline int why_none(Side *side) noexcept nogil:
    # Why no peer takes a message.
    cdef int reason = NO_PEER
    cdef Py_ssize_t index
    for index in range(side.count):
        # A queue without a peer may be full too.
        if side.peers[index].fd >= 0 and not side.peers[index].over and reason != MEMORY:
            reason = why_full(side.peers[index])
    return reason
