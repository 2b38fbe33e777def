# The stamp of a message: one part more, the last one, which has its number. Without Python.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .blocks cimport Heap, data_of, place_copy
from .frames cimport MORE, SHORT_HEAD, read_frame, write_head, write_large_length
from .peer cimport Message

cdef enum:
    # 8 bytes, the most significant first.
    NUMBER_BYTES = 8


cdef inline bint add_stamp(Heap *heap, const Message *message, uint64_t number, Message *stamped) noexcept nogil:
    # Makes the message that is sent, a copy: others may have the one that came. Its block has one holder more, until `let_go`.
    # False if there is no memory. Copies of messages that come one behind the other lie so, too: they are still one group.
    cdef unsigned char *copy = place_copy(
        heap, message.size + SHORT_HEAD + NUMBER_BYTES, &stamped.block, &stamped.at
    )
    cdef unsigned char *stamp
    if copy == NULL:
        return False
    memcpy(copy, data_of(message.block) + message.at, message.size)
    last_frame(copy, message.parts)[0] |= MORE
    stamp = copy + message.size
    write_head(stamp, 0, NUMBER_BYTES)
    # It writes behind what would be the flags.
    write_large_length(stamp + SHORT_HEAD - 1, number)
    stamped.size = message.size + SHORT_HEAD + NUMBER_BYTES
    stamped.body = message.body + NUMBER_BYTES
    stamped.parts = message.parts + 1
    return True


cdef inline unsigned char *last_frame(unsigned char *at, size_t parts) noexcept nogil:
    cdef size_t length = 0
    cdef bint more = False
    while parts > 1:
        at += read_frame(at, False, &length, &more)
        at += length
        parts -= 1
    return at
