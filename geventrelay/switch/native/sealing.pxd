# What waits for a peer of CURVE is sealed some messages at a time, right before it is written. Without Python.
#
# Messages that are sealed stay in the queue until the kernel has taken them wholly. Where it takes no more, all but the one
# that is written in half are sealed anew later: until then they can be dropped as others.

from libc.stdlib cimport free, realloc

from .account cimport give_memory, take_memory
from .blocks cimport data_of
from .curve cimport Curve, seal_frames, sealed_message_size, sealed_size
from .frames cimport read_frame
from .peer cimport Peer, free_control
from .queue cimport Run, run_at, take_written

cdef enum:
    # So much is sealed at a time, or one message.
    MOST_SEALED = 65536


cdef inline bint seal_some(Peer *peer) noexcept nogil:
    # Has something ready to be written, if something waits; False if there is no memory.
    cdef Curve *curve = peer.curve
    cdef size_t plain = 0, size
    if curve.out != NULL:
        return True
    curve.of_commands = commands_size(peer)
    curve.messages = 0
    size = curve.of_commands + choose_messages(peer, &plain)
    if not resize_out(peer, size):
        return False
    curve.out_written = curve.loose = 0
    size = seal_frames(curve, curve.out, peer.control.bytes, peer.control.size)
    free_control(&peer.control)
    seal_messages(peer, curve.out + size, plain)
    return True


cdef inline bint resize_out(Peer *peer, size_t size) noexcept nogil:
    cdef Curve *curve = peer.curve
    cdef unsigned char *out = <unsigned char *>realloc(curve.out, size)
    if out == NULL:
        return False
    give_memory(peer.queue.account, curve.out_size)
    take_memory(peer.queue.account, size)
    curve.out = out
    curve.out_size = size
    return True


cdef inline size_t commands_size(const Peer *peer) noexcept nogil:
    # Of the commands that wait, when they are sealed.
    cdef size_t at = 0, body = 0, sealed = 0
    cdef bint more
    while at < peer.control.size:
        at += read_frame(peer.control.bytes + at, False, &body, &more) + body
        sealed += sealed_size(body)
    return sealed


cdef inline size_t choose_messages(Peer *peer, size_t *plain) noexcept nogil:
    # Which messages are sealed together, and how many bytes that makes; `plain` is set to how many they have.
    cdef size_t index, at, size = 0, sealed = 0, more
    cdef Run *run
    for index in range(peer.queue.count):
        run = run_at(&peer.queue, index)
        at = 0
        while at < run.size:
            more = sealed_message_size(data_of(run.block) + run.at + at, &size)
            if peer.curve.messages and sealed + more > MOST_SEALED:
                return sealed
            at += size
            plain[0] += size
            sealed += more
            peer.curve.messages += 1
    return sealed


cdef inline void seal_messages(Peer *peer, unsigned char *target, size_t plain) noexcept nogil:
    cdef size_t index = 0, size
    cdef Run *run
    while plain:
        run = run_at(&peer.queue, index)
        size = min(run.size, plain)
        target += seal_frames(peer.curve, target, data_of(run.block) + run.at, size)
        plain -= size
        index += 1


cdef inline Py_ssize_t take_sealed(Peer *peer, size_t nbytes) noexcept nogil:
    # The kernel has taken so many bytes of what is sealed: how many messages are whole with them.
    cdef Curve *curve = peer.curve
    cdef Py_ssize_t delivered = 0
    cdef size_t size = 0, sealed
    cdef size_t of_commands = min(nbytes, curve.of_commands)
    curve.out_written += nbytes
    curve.of_commands -= of_commands
    curve.loose += nbytes - of_commands
    peer.queue.written = 0
    while curve.messages:
        sealed = first_sealed_size(peer, &size)
        if sealed > curve.loose:
            break
        curve.loose -= sealed
        curve.messages -= 1
        delivered += take_written(&peer.queue, &peer.core.heap, size)
    if curve.out_written < curve.out_size:
        shorten(peer)
    else:
        free_out(peer)
    return delivered


cdef inline size_t first_sealed_size(Peer *peer, size_t *size) noexcept nogil:
    # Of the first message that waits.
    cdef Run *run = run_at(&peer.queue, 0)
    return sealed_message_size(data_of(run.block) + run.at, size)


cdef inline void shorten(Peer *peer) noexcept nogil:
    # Keeps only what is written in half.
    cdef Curve *curve = peer.curve
    cdef unsigned char *smaller
    cdef size_t size = 0, left = curve.of_commands
    curve.messages = 0
    if curve.loose:
        left = first_sealed_size(peer, &size) - curve.loose
        curve.messages = 1
        # It is not dropped.
        peer.queue.written = 1
    if not left:
        free_out(peer)
    else:
        give_memory(peer.queue.account, curve.out_size - curve.out_written - left)
        curve.out_size = curve.out_written + left
        smaller = <unsigned char *>realloc(curve.out, curve.out_size)
        if smaller != NULL:
            curve.out = smaller


cdef inline void free_out(Peer *peer) noexcept nogil:
    if peer.curve.out != NULL:
        give_memory(peer.queue.account, peer.curve.out_size)
        free(peer.curve.out)
        peer.curve.out = NULL
        peer.curve.out_size = 0


cdef inline void free_raw(Peer *peer) noexcept nogil:
    if peer.curve.raw != NULL:
        give_memory(peer.queue.account, peer.curve.raw_room)
        free(peer.curve.raw)
        peer.curve.raw = NULL
    peer.curve.raw_room = peer.curve.raw_start = peer.curve.raw_end = 0


cdef inline void free_curve(Peer *peer) noexcept nogil:
    if peer.curve != NULL:
        free_out(peer)
        free_raw(peer)
        free(peer.curve)
        peer.curve = NULL
