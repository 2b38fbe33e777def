# What of a message a destination gets; `geventrelay.engine.outlet` has the same in Python. Without Python.

from libc.string cimport memchr, memcpy

from ...engine.native.topic cimport is_topic
from .blocks cimport Block, Heap, data_of, place_copy
from .frames cimport MORE, read_frame, write_head
from .peer cimport AUTO, PARTS, SPACE, SWAP, WHOLE, Message, Payload


cdef struct Cut:
    # What is sent. Where it is `copied`, it has no block before `copy_cut`.
    Message message
    bint copied
    # The body of its first part.
    const unsigned char *first
    size_t first_size
    # Of the first part, how many bytes are left away.
    size_t skipped
    # There is a space, and what stands before it is no topic.
    bint uncut


cdef inline void cut_for(Payload payload, const Message *message, Cut *cut) noexcept nogil:
    cdef size_t head, length = 0
    cdef bint more = False
    cdef const unsigned char *at = data_of(message.block) + message.at
    cut.message = message[0]
    cut.copied = cut.uncut = False
    cut.skipped = 0
    head = read_frame(at, False, &length, &more)
    cut.first = at + head
    cut.first_size = length
    if payload == WHOLE:
        return
    if payload == SWAP:
        cut.copied = more
    elif payload == SPACE or (payload == AUTO and not more):
        cut.skipped = up_to_space(cut.first, length)
        if payload == AUTO and cut.skipped and not is_topic(cut.first, cut.skipped - 1):
            cut.skipped = 0
            cut.uncut = True
        cut.copied = cut.skipped > 0
        cut.first += cut.skipped
        cut.first_size -= cut.skipped
        cut.message.body -= cut.skipped
        return
    if not more:
        return
    # What follows the first part.
    at += head + length
    if payload != SWAP:
        cut.message.at += head + length
        cut.message.size -= head + length
        cut.message.body -= length
        cut.message.parts -= 1
    head = read_frame(at, False, &length, &more)
    cut.first = at + head
    cut.first_size = length


cdef inline size_t up_to_space(const unsigned char *text, size_t size) noexcept nogil:
    # How many bytes stand up to and with the first space; 0 where there is none.
    cdef const unsigned char *space = <const unsigned char *>memchr(text, 32, size)
    return 0 if space == NULL else <size_t>(space - text) + 1


cdef inline bint copy_cut(Heap *heap, const Message *message, Cut *cut) noexcept nogil:
    # Makes what is sent; its block has one holder more, until `let_go`. False if there is no memory.
    cdef Message *made = &cut.message
    cdef const unsigned char *at = data_of(message.block) + message.at
    cdef const unsigned char *end = at + message.size
    cdef unsigned char *copy = place_copy(heap, message.size, &made.block, &made.at)
    cdef unsigned char *start = copy
    cdef size_t length = 0, first
    cdef bint more = False, last = False
    if copy == NULL:
        return False
    first = read_frame(at, False, &length, &more)
    first += length
    if cut.skipped:
        copy += write_head(copy, MORE * more, cut.first_size)
        memcpy(copy, cut.first, cut.first_size)
        copy += cut.first_size
        at += first
    else:
        # The second part, and then the first; which of the two has MORE depends on where it is now.
        length = 0
        copy += write_head(copy, MORE, cut.first_size)
        memcpy(copy, cut.first, cut.first_size)
        copy += cut.first_size
        last = cut.first + cut.first_size == end
        copy += write_first(copy, at, last)
        at = cut.first + cut.first_size
    memcpy(copy, at, end - at)
    made.size = copy - start + (end - at)
    if made.block == heap.copies:
        heap.copies_at = made.at + made.size
    cut.first = start + read_frame(start, False, &length, &more)
    return True


cdef inline size_t write_first(unsigned char *target, const unsigned char *at, bint last) noexcept nogil:
    # Copies one frame, as the last of its message or not; how many bytes that are.
    cdef size_t length = 0, written
    cdef bint more = False
    cdef size_t head = read_frame(at, False, &length, &more)
    written = write_head(target, 0 if last else MORE, length)
    memcpy(target + written, at + head, length)
    return written + length
