# Reading a log again: messages are found by their numbers, and copied. Without Python.
#
# They are copied before Python has any of them: it may run what it likes while it makes its objects, as its collector does,
# and so have the log forget what is read.

from libc.stdint cimport uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from .frames cimport message_size, read_frame
from .granted cimport Prefixes, allows
from .log cimport TIME_BYTES, Log, Piece, piece_at
from .peer cimport monotonic

cdef enum:
    # So much is copied at most, but one message in any case.
    MOST_COPIED = 1048576
    # Without a look at the clock.
    LOOKED_AT_A_TIME = 256


# Messages that were found: each is a Head and its frames.
cdef struct Picked:
    unsigned char *bytes
    size_t size
    size_t room
    size_t count
    # Of the frames.
    size_t nbytes


cdef struct Head:
    uint64_t number
    size_t size


cdef inline size_t piece_of(const Log *log, uint64_t number) noexcept nogil:
    # Which piece has a message that is kept.
    cdef size_t low = 0, high = log.count, middle
    while high - low > 1:
        middle = (low + high) // 2
        if piece_at(log, middle).first <= number:
            low = middle
        else:
            high = middle
    return low


cdef inline size_t place_in(const Piece *piece, uint64_t number) noexcept nogil:
    # Where in a piece a message begins that it has, with its time.
    cdef size_t at = piece.at
    cdef uint64_t before = number - piece.first
    while before:
        at += TIME_BYTES + message_size(piece.bytes + at + TIME_BYTES, False)
        before -= 1
    return at


cdef inline bint pick(
    const Log *log, uint64_t *number, uint64_t last, const Prefixes *prefixes, size_t most, double until, Picked *picked
) noexcept nogil:
    # Copies messages from a number on, which is set to the one to go on with; False if there is no memory.
    cdef size_t index, at, size, looked_at = 0
    cdef const Piece *piece
    number[0] = max(number[0], log.oldest)
    if number[0] >= log.next or number[0] > last:
        return True
    index = piece_of(log, number[0])
    piece = piece_at(log, index)
    at = place_in(piece, number[0])
    while number[0] <= last and picked.count < most:
        if at == piece.end:
            index += 1
            if index == log.count:
                break
            piece = piece_at(log, index)
            at = piece.at
        if looked_at == LOOKED_AT_A_TIME:
            looked_at = 0
            if monotonic() >= until:
                break
        looked_at += 1
        at += TIME_BYTES
        size = message_size(piece.bytes + at, False)
        if is_asked_for(prefixes, piece.bytes + at):
            if picked.count and picked.nbytes + size > MOST_COPIED:
                break
            if not copy_message(picked, number[0], piece.bytes + at, size):
                return False
        at += size
        number[0] += 1
    return True


cdef inline bint is_asked_for(const Prefixes *prefixes, const unsigned char *message) noexcept nogil:
    cdef size_t size = 0, head
    cdef bint more = False
    if not prefixes.limited:
        return True
    head = read_frame(message, False, &size, &more)
    return allows(prefixes, message + head, size)


cdef inline bint copy_message(Picked *picked, uint64_t number, const unsigned char *message, size_t size) noexcept nogil:
    cdef Head head
    cdef unsigned char *copy = room_for(picked, sizeof(Head) + size)
    if copy == NULL:
        return False
    head.number = number
    head.size = size
    memcpy(copy, &head, sizeof(Head))
    memcpy(copy + sizeof(Head), message, size)
    picked.nbytes += size
    return True


cdef inline unsigned char *room_for(Picked *picked, size_t size) noexcept nogil:
    # Where the next one is copied to; NULL if there is no memory.
    cdef size_t wanted = picked.size + size
    cdef unsigned char *grown
    if wanted > picked.room:
        grown = <unsigned char *>realloc(picked.bytes, wanted + min(wanted, <size_t>MOST_COPIED))
        if grown == NULL:
            return NULL
        picked.bytes = grown
        picked.room = wanted + min(wanted, <size_t>MOST_COPIED)
    picked.size = wanted
    picked.count += 1
    return picked.bytes + wanted - size
