# Messages by routing id: ROUTER (RFC 28; libzmq's router.cpp). Without Python.

from libc.string cimport memcpy

from .blocks cimport data_of, let_go, place_copy
from .copies cimport put
from .frames cimport MORE, read_frame, write_head
from .peer cimport (
    FULL, MALFORMED, UNROUTABLE, Core, Destination, Message, Peer, Side, count_sent, mark_dirty, room_of, takes, why_full
)
from .push cimport GIVEN
from .table cimport find_in
from .writing cimport write_out


cdef inline void route(Destination *destination, const Message *message) noexcept nogil:
    # To the peer that its first part names.
    cdef int reason = route_to(destination.side, message)
    if reason == GIVEN:
        count_sent(destination, message)
    elif reason == UNROUTABLE and destination.otherwise != NULL and route_to(destination.otherwise, message) == GIVEN:
        destination.elsewhere += 1
    else:
        destination.dropped[reason] += 1
        destination.refused += destination.otherwise != NULL and reason != MALFORMED


cdef inline int route_to(Side *side, const Message *message) noexcept nogil:
    # GIVEN, or why it cannot go.
    cdef size_t length = 0, head
    cdef bint more = False
    cdef const unsigned char *at = data_of(message.block) + message.at
    cdef Peer *peer
    head = read_frame(at, False, &length, &more)
    if not more:
        return MALFORMED
    peer = <Peer *>find_in(&side.routes, at + head, length)
    if peer == NULL:
        return UNROUTABLE
    if not room_of(peer):
        write_out(peer)
    if not room_of(peer) or not takes(peer):
        return why_full(peer) if takes(peer) else UNROUTABLE
    if not put(peer, message.block, message.at + head + length, message.size - head - length, 1):
        return FULL
    peer.matched += 1
    peer.core.queued += message.size
    mark_dirty(peer)
    return GIVEN


cdef inline bint add_envelope(Core *core, const Peer *peer, Message *message) noexcept nogil:
    # Puts the routing id of a peer before what has come from it; its block has one holder more, until `let_go`. False if
    # there is no memory.
    cdef Message whole = message[0]
    cdef size_t head
    cdef unsigned char *copy = place_copy(
        &core.heap, whole.size + peer.routing_id_size + 2, &message.block, &message.at
    )
    if copy == NULL:
        return False
    head = write_head(copy, MORE, peer.routing_id_size)
    memcpy(copy + head, peer.routing_id, peer.routing_id_size)
    head += peer.routing_id_size
    memcpy(copy + head, data_of(whole.block) + whole.at, whole.size)
    message.size += head
    message.body += peer.routing_id_size
    message.parts += 1
    return True
