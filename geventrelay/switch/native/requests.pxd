# Messages to the device itself: what comes to a ROUTER without a way is for its owner, in Python.

from .incoming cimport Incoming, message_at
from .parts cimport parts_of
from .peer cimport ROUTES, Peer, Side

cdef enum:
    # One is as much work as so many messages.
    REQUEST_COST = 100


cdef inline bint is_request(const Side *side) noexcept nogil:
    return side.way == NULL and side.on_message != NULL and side.kind == ROUTES


cdef inline void tell_request(Peer *peer) noexcept with gil:
    # Of the message in hand. What is called may detach its peer, and have memory be short: so nothing of what came is looked
    # at afterwards, and a message that is whole by now is none without an end.
    cdef Incoming *incoming = &peer.incoming
    parts = parts_of(message_at(incoming), incoming.size)
    incoming.unfinished = False
    peer.handled += REQUEST_COST
    peer.core.telling = True
    try:
        (<object>peer.side.on_message)(<object>peer.owner, parts)
    finally:
        peer.core.telling = False
