# Frames of ZMTP 2.0 and later where they lie (RFC 23, RFC 37): flags, a length of 1 or 8 bytes, the body. Without
# Python. `geventrelay.zmtp.frames` is the same in Python.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef enum:
    MORE = 1
    LARGE = 2
    COMMAND = 4
    SHORT_HEAD = 2
    LARGE_HEAD = 9
    SHORT_MOST = 255
    # ZMTP 1.0
    LONG_1_0 = 255
    LONG_HEAD_1_0 = 10


cdef inline uint64_t large_length(const unsigned char *head) noexcept nogil:
    # Of a frame with LARGE: 8 bytes, the most significant first.
    cdef uint64_t length = 0
    cdef int index
    for index in range(8):
        length = length << 8 | head[1 + index]
    return length


cdef inline void write_large_length(unsigned char *head, uint64_t length) noexcept nogil:
    cdef int index
    for index in range(8):
        head[8 - index] = length >> (8 * index) & 0xff


cdef inline size_t write_head(unsigned char *at, int flags, uint64_t length) noexcept nogil:
    # Writes a frame's head; how many bytes that are.
    if length <= SHORT_MOST:
        at[0] = flags
        at[1] = <unsigned char>length
        return SHORT_HEAD
    at[0] = flags | LARGE
    write_large_length(at, length)
    return LARGE_HEAD


cdef inline size_t write_head_1_0(unsigned char *at, int flags, uint64_t length) noexcept nogil:
    # RFC 13: the length counts the flags, which follow it.
    if length + 1 < LONG_1_0:
        at[0] = <unsigned char>(length + 1)
        at[1] = flags
        return SHORT_HEAD
    at[0] = LONG_1_0
    write_large_length(at, length + 1)
    at[LARGE_HEAD] = flags
    return LONG_HEAD_1_0


cdef inline size_t read_frame(const unsigned char *at, bint v1_0, size_t *body, bint *more) noexcept nogil:
    # The bytes of a frame's head, for a frame that was checked before; `body` is set to the size of what follows.
    cdef bint large
    if v1_0:
        large = at[0] == LONG_1_0
        body[0] = (<size_t>large_length(at) if large else at[0]) - 1
        more[0] = at[LARGE_HEAD if large else 1] & MORE
        return LONG_HEAD_1_0 if large else SHORT_HEAD
    large = at[0] & LARGE
    body[0] = <size_t>large_length(at) if large else at[1]
    more[0] = at[0] & MORE
    return LARGE_HEAD if large else SHORT_HEAD


cdef inline size_t message_size(const unsigned char *at, bint v1_0) noexcept nogil:
    # The bytes of a message that lies there whole and was checked before.
    cdef size_t size = 0, length = 0
    cdef bint more = True
    while more:
        size += read_frame(at + size, v1_0, &length, &more)
        size += length
    return size


cdef inline bint has_empty_part(const unsigned char *at) noexcept nogil:
    # Besides the last one, of a message of ZMTP 2.0 and later: see `geventrelay.engine.gate.is_request`.
    cdef size_t length = 0
    cdef bint more = True
    while more:
        at += read_frame(at, False, &length, &more)
        if more and not length:
            return True
        at += length
    return False


cdef inline size_t messages_size(const unsigned char *at, Py_ssize_t messages) noexcept nogil:
    # The same of several messages of ZMTP 2.0 and later.
    cdef size_t size = 0
    cdef Py_ssize_t index
    for index in range(messages):
        size += message_size(at + size, False)
    return size


cdef inline size_t recode(unsigned char *target, const unsigned char *at, bint from_1_0, size_t *size) noexcept nogil:
    # Writes a message of ZMTP 2.0 and later as one of 1.0, or the other way round; how many bytes that are. `size` is set
    # to how many it was. Heads become 8 bytes longer at most.
    cdef size_t made = 0, length = 0
    cdef bint more = True
    size[0] = 0
    while more:
        size[0] += read_frame(at + size[0], from_1_0, &length, &more)
        if from_1_0:
            made += write_head(target + made, MORE * more, length)
        else:
            made += write_head_1_0(target + made, MORE * more, length)
        memcpy(target + made, at + size[0], length)
        made += length
        size[0] += length
    return made
