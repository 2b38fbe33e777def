# Messages by routing id: ROUTER (RFC 28; libzmq's router.cpp). Without Python.

from libc.string cimport memcpy

from .blocks cimport data_of, let_go, place_copy
from .copies cimport put
from .frames cimport MORE, read_frame, write_head
from .peer cimport (
    FULL, MALFORMED, UNROUTABLE, Core, Destination, Message, Peer, Side, count_sent, mark_dirty, room_of, takes, why_full
)
from .table cimport find_in
from .writing cimport write_out


cdef inline void route(Destination *destination, const Message *message) noexcept nogil:
    # To the peer that its first part names, here or otherwise.
    cdef size_t length = 0, head
    cdef bint more = False
    cdef const unsigned char *at = data_of(message.block) + message.at
    cdef Peer *peer
    cdef Side *side = destination.side
    head = read_frame(at, False, &length, &more)
    if not more:
        destination.dropped[MALFORMED] += 1
        return
    while True:
        peer = <Peer *>find_in(&side.routes, at + head, length)
        if peer != NULL or destination.otherwise == NULL or side == destination.otherwise:
            break
        side = destination.otherwise
    if peer == NULL:
        refuse(destination, UNROUTABLE)
        return
    if not room_of(peer):
        write_out(peer)
    if not room_of(peer) or not takes(peer):
        refuse(destination, why_full(peer) if takes(peer) and side == destination.side else UNROUTABLE)
        return
    if not put(peer, message.block, message.at + head + length, message.size - head - length, 1):
        refuse(destination, FULL)
        return
    peer.matched += 1
    peer.core.queued += message.size
    mark_dirty(peer)
    if side == destination.side:
        count_sent(destination, message)
    else:
        destination.elsewhere += 1


cdef inline void refuse(Destination *destination, int reason) noexcept nogil:
    # Drops a message that is not malformed.
    destination.dropped[reason] += 1
    destination.refused += destination.otherwise != NULL


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
