# What comes from a peer of CURVE is opened before it is understood: the frames within are put behind one another where those
# of other peers are read to. Without Python.

from libc.stdlib cimport realloc
from libc.string cimport memcpy, memmove

from .account cimport give_memory, take_memory
from .blocks cimport READ_BYTES, data_of
from .curve cimport FALSE_BOX, NO_BOX, OLD, OPEN, SEALED, Curve, Opened, open_frame
from .frames cimport COMMAND, LARGE, LARGE_HEAD, MORE, SHORT_HEAD, large_length
from .incoming cimport (
    BAD_FLAGS, FORGED, FRAME_TOO_LARGE, KNOWN_FLAGS, MESSAGE, NO_MEMORY, NOT_SEALED, NOTHING, REPLAYED, SMALL_REST, Event,
    Head, Incoming, have_place, make_room
)
from .peer cimport Peer
from .sealing cimport free_raw

cdef enum:
    # After so much, or so many frames, others have their turn.
    MOST_OPENED = 65536
    MOST_FRAMES = 256


cdef inline size_t raw_size(const Peer *peer) noexcept nogil:
    # How many bytes have come and are not opened.
    return 0 if peer.curve == NULL else peer.curve.raw_end - peer.curve.raw_start


cdef inline Event open_some(Peer *peer) noexcept nogil:
    # MESSAGE if something was opened; NOTHING if more has to come first; else what is wrong with it.
    cdef Curve *curve = peer.curve
    cdef Head head
    cdef Event event
    cdef size_t opened = 0
    cdef int frames = 0
    while opened < MOST_OPENED and frames < MOST_FRAMES:
        event = read_raw_head(peer, &head)
        if event == NOTHING:
            if not head.size or curve.raw_end - curve.raw_start - head.size < head.length:
                break
            event = have_place_for(peer, &head, not frames)
        if event == NOTHING:
            event = open_one(peer, &head)
        if event != NOTHING:
            # First comes what was before it.
            return MESSAGE if frames else event
        opened += <size_t>head.length
        frames += 1
    return MESSAGE if frames else NOTHING


cdef inline Event have_place_for(Peer *peer, const Head *head, bint first) noexcept nogil:
    cdef Incoming *incoming = &peer.incoming
    cdef bint done = not first or make_room(incoming, &peer.core.heap) > 0
    if done and have_place(incoming, &peer.core.heap, LARGE_HEAD + <size_t>head.length):
        return NOTHING
    return NO_MEMORY


cdef inline Event read_raw_head(Peer *peer, Head *head) noexcept nogil:
    # See `read_head` of incoming.pxd.
    cdef Curve *curve = peer.curve
    cdef const unsigned char *at = curve.raw + curve.raw_start
    cdef size_t there = curve.raw_end - curve.raw_start
    head.size = 0
    if not there:
        return NOTHING
    head.flags = at[0]
    if head.flags & ~KNOWN_FLAGS or head.flags & (COMMAND | MORE) == (COMMAND | MORE):
        peer.incoming.refused = head.flags
        return BAD_FLAGS
    if there < (LARGE_HEAD if head.flags & LARGE else SHORT_HEAD):
        return NOTHING
    head.size = LARGE_HEAD if head.flags & LARGE else SHORT_HEAD
    head.length = large_length(at) if head.flags & LARGE else at[1]
    # What is within is looked at again once it is there.
    if head.length > max(peer.side.limits.frame, peer.side.limits.command) + SEALED:
        peer.incoming.refused = head.length
        return FRAME_TOO_LARGE
    return NOTHING


cdef inline Event open_one(Peer *peer, const Head *head) noexcept nogil:
    # A frame that is there whole.
    cdef Curve *curve = peer.curve
    cdef Incoming *incoming = &peer.incoming
    cdef const unsigned char *body = curve.raw + curve.raw_start + head.size
    cdef size_t made = 0
    cdef Opened opened
    if head.flags & MORE:
        return NOT_SEALED
    opened = open_frame(curve, body, <size_t>head.length, data_of(incoming.block) + incoming.end, &made)
    if opened != OPEN:
        return NOT_SEALED if opened == NO_BOX else REPLAYED if opened == OLD else FORGED
    incoming.end += made
    if incoming.block == peer.core.heap.current:
        peer.core.heap.at = incoming.end
    curve.raw_start += head.size + <size_t>head.length
    return NOTHING


cdef inline size_t make_raw_room(Peer *peer) noexcept nogil:
    # How many bytes may be read behind `raw_end`; 0 if there is no memory. What a peer announces costs nothing.
    cdef Curve *curve = peer.curve
    cdef size_t there = raw_size(peer)
    if curve.raw_start and there:
        memmove(curve.raw, curve.raw + curve.raw_start, there)
    curve.raw_start = 0
    curve.raw_end = there
    if curve.raw_room - there < READ_BYTES and not resize_raw(peer, there + max(there, <size_t>READ_BYTES)):
        return 0
    return curve.raw_room - there


cdef inline bint resize_raw(Peer *peer, size_t size) noexcept nogil:
    cdef Curve *curve = peer.curve
    cdef unsigned char *raw = <unsigned char *>realloc(curve.raw, size)
    if raw == NULL:
        return False
    give_memory(peer.queue.account, curve.raw_room)
    take_memory(peer.queue.account, size)
    curve.raw = raw
    curve.raw_room = size
    return True


cdef inline bint put_raw(Peer *peer, const unsigned char *data, size_t size) noexcept nogil:
    # What has come with the handshake.
    if not resize_raw(peer, size):
        return False
    memcpy(peer.curve.raw, data, size)
    peer.curve.raw_end = size
    return True


cdef inline bint settle_raw(Peer *peer) noexcept nogil:
    # At the end of a turn: a few bytes that are left keep no large memory. False if there is none.
    cdef Curve *curve = peer.curve
    cdef size_t there = raw_size(peer)
    if not there:
        free_raw(peer)
        return True
    if curve.raw_room <= max(2 * there, <size_t>SMALL_REST):
        return True
    memmove(curve.raw, curve.raw + curve.raw_start, there)
    curve.raw_start = 0
    curve.raw_end = there
    return resize_raw(peer, max(there, <size_t>SMALL_REST))
