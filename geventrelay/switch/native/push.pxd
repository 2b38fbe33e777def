# Each message to one peer, in turn: PUSH (RFC 30; libzmq's lb.cpp). Without Python.

from .copies cimport put
from .peer cimport (
    FULL, NO_PEER, Destination, Message, Peer, Side, count_sent, has_connection, mark_dirty, room_of, takes
)
from .writing cimport write_out


cdef inline Peer *peer_with_room(Side *side) noexcept nogil:
    # The next in turn that takes a message now; NULL if there is none.
    cdef Py_ssize_t index, at = side.next
    cdef Peer *peer
    for index in range(side.count):
        if at >= side.count:
            at = 0
        peer = side.peers[at]
        if takes(peer):
            if not room_of(peer):
                # What has come in this turn was not written yet.
                write_out(peer)
            if room_of(peer) and takes(peer):
                side.next = at
                return peer
        at += 1
    return NULL


cdef inline void push(Destination *destination, const Message *message) noexcept nogil:
    cdef Side *side = destination.side
    cdef Peer *peer = peer_with_room(side)
    if peer == NULL:
        destination.dropped[FULL if has_connection(side) else NO_PEER] += 1
        return
    side.next += 1
    if not put(peer, message.block, message.at, message.size, 1):
        destination.dropped[FULL] += 1
        return
    peer.matched += 1
    peer.core.queued += message.size
    mark_dirty(peer)
    count_sent(destination, message)
