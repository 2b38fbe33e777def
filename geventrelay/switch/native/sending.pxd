# Where a message goes: to a peer of each destination of its way, and what is counted. Without Python.

from cpython.ref cimport PyObject
from libc.string cimport memset

from .blocks cimport BLOCK_BYTES, Block, data_of, let_go, make_current, new_block
from .frames cimport message_size, read_frame, recode
from .incoming cimport Incoming, message_at
from .peer cimport Core, Destination, Peer, Side, Way, mark_dirty, write_out
from .queue cimport Queue, Run, append, drop_all, run_at

# Indices of `Destination.dropped` and `Peer.dropped`; core.pyx has their names.
cdef enum:
    NO_PEER
    FULL


# What of the message in hand goes to a destination.
cdef struct Cut:
    Block *block
    size_t at
    size_t size
    size_t body
    size_t parts


cdef inline bint takes(const Peer *peer) noexcept nogil:
    return (peer.fd >= 0 and not peer.over) or peer.queues_before


cdef inline bint has_room(Peer *peer) noexcept nogil:
    cdef const Side *side = peer.side
    return (not side.sndhwm or peer.queue.messages < side.sndhwm) and (
        not side.sndhwm_bytes or <size_t>peer.queue.body < side.sndhwm_bytes
    )


cdef inline Peer *peer_with_room(Side *side) noexcept nogil:
    # The next in turn that takes a message now; NULL if there is none.
    cdef Py_ssize_t index, at = side.next
    cdef Peer *peer
    for index in range(side.count):
        if at >= side.count:
            at = 0
        peer = side.peers[at]
        if takes(peer):
            if not has_room(peer) and not peer.stalled:
                # What has come in this turn was not written yet.
                write_out(peer)
            if has_room(peer) and takes(peer):
                side.next = at
                return peer
        at += 1
    return NULL


cdef inline bint has_room_for_more(Way *way) noexcept nogil:
    # Whether each destination that blocks takes a message.
    cdef Py_ssize_t index
    for index in range(way.count):
        if not way.destinations[index].drops and peer_with_room(way.destinations[index].side) == NULL:
            return False
    return True


cdef inline bint move_message(Way *way, Peer *source, Incoming *incoming) noexcept nogil:
    # Gives the message in hand to every destination; False if it has to wait for one of them.
    cdef Py_ssize_t index
    cdef Cut cut
    if not has_room_for_more(way):
        return False
    if way.tap != NULL:
        show(way.tap, message_at(incoming), incoming.size)
    way.received += 1
    way.received_parts += incoming.parts
    way.received_bytes += incoming.body
    cut.block = incoming.block
    cut.at = incoming.start
    cut.size = incoming.size
    cut.body = <size_t>incoming.body
    cut.parts = incoming.parts
    for index in range(way.count):
        send_balanced(&way.destinations[index], source, &cut)
    return True


cdef inline void show(PyObject *tap, const unsigned char *message, size_t size) noexcept nogil:
    # What a tap raises must not affect the traffic: it is told as what cannot be raised.
    cdef size_t at = 0, body = 0
    cdef bint more
    with gil:
        parts = []
        while at < size:
            at += read_frame(message + at, False, &body, &more)
            parts.append(message[at:at + body])
            at += body
        (<object>tap)(parts)


cdef inline void send_balanced(Destination *destination, Peer *source, const Cut *cut) noexcept nogil:
    # To one peer: as a PUSH does.
    cdef Side *side = destination.side
    cdef Peer *peer = peer_with_room(side)
    if peer == NULL:
        destination.dropped[FULL if has_taker(side) else NO_PEER] += 1
        return
    side.next += 1
    if not put(peer, cut):
        destination.dropped[FULL] += 1
        return
    peer.matched += 1
    source.core.queued += cut.size
    mark_dirty(peer)
    destination.sent += 1
    destination.sent_parts += cut.parts
    destination.sent_bytes += cut.body


cdef inline bint has_taker(const Side *side) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(side.count):
        if takes(side.peers[index]):
            return True
    return False


cdef inline bint put(Peer *peer, const Cut *cut) noexcept nogil:
    # Puts a message in the peer's queue; False if there is no memory.
    if peer.queue.v1_0:
        return put_recoded(peer.core, &peer.queue, data_of(cut.block) + cut.at, cut.size, cut.parts, False)
    return append(&peer.queue, cut.block, cut.at, cut.size, cut.body, 1)


# Messages that are not sent as they came ------------------------------------------------------------------------

cdef inline unsigned char *place(Core *core, size_t size, Block **block, size_t *at) noexcept nogil:
    # Room for a copy of so many bytes; NULL if there is no memory. The block has one holder more, until `let_go`.
    at[0] = 0
    if size > BLOCK_BYTES // 4:
        block[0] = new_block(&core.heap, size)
        return NULL if block[0] == NULL else data_of(block[0])
    if not make_current(&core.copies, size):
        return NULL
    block[0] = core.copies.current
    block[0].holders += 1
    at[0] = core.copies.at
    core.copies.at += size
    return data_of(block[0]) + at[0]


cdef inline bint put_recoded(
    Core *core, Queue *queue, const unsigned char *message, size_t size, size_t parts, bint from_1_0
) noexcept nogil:
    # Puts a message of one version of ZMTP in a queue for another.
    cdef Block *block = NULL
    cdef size_t at, made, body, was
    cdef unsigned char *copy = place(core, size + 8 * parts, &block, &at)
    if copy == NULL:
        return False
    made = recode(copy, message, from_1_0, &was)
    message_size(copy, not from_1_0, &body)
    if block == core.copies.current:
        core.copies.at = at + made
    put = append(queue, block, at, made, body, 1)
    let_go(&core.heap, block)
    return put


cdef inline bint recode_queue(Peer *peer) noexcept nogil:
    # Its next connection speaks another version than the last one: ZMTP 1.0 now and not before, or the other way round.
    cdef Queue queue
    cdef Run *run
    cdef size_t index, size, body
    cdef const unsigned char *at
    memset(&queue, 0, sizeof(queue))
    queue.v1_0 = not peer.queue.v1_0
    for index in range(peer.queue.count):
        run = run_at(&peer.queue, index)
        at = data_of(run.block) + run.at
        while at < data_of(run.block) + run.at + run.size:
            size = message_size(at, peer.queue.v1_0, &body)
            # A part has 2 bytes and more.
            if not put_recoded(peer.core, &queue, at, size, size // 2, peer.queue.v1_0):
                drop_all(&queue, &peer.core.heap)
                return False
            at += size
    drop_all(&peer.queue, &peer.core.heap)
    peer.queue = queue
    return True
