# CURVE after its handshake: a frame in a box is made, and opened. `geventrelay.zmtp.session` is the same in Python. Without
# Python.
#
# A frame goes as one whose body is %x07 "MESSAGE" nonce box; in the box are flags and the body. A nonce has 16 bytes that say
# which end has used it, and a number that grows.

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from .frames cimport COMMAND, LARGE_HEAD, MORE, SHORT_HEAD, SHORT_MOST, read_frame, write_head

cdef enum:
    NAME = 8
    MAC = 16
    # Before the box: the name, and the number of the nonce.
    BEFORE = NAME + 8
    # By how much a body is longer in a box.
    SEALED = BEFORE + MAC + 1
    KEY = 32
    NONCE = 24
    # Flags within a box.
    MORE_WITHIN = 1
    COMMAND_WITHIN = 2


# Of libsodium: where to write, what, its size, a nonce and a key; 0 if it was done.
ctypedef int (*Box)(
    unsigned char *, const unsigned char *, unsigned long long, const unsigned char *, const unsigned char *
) noexcept nogil


cdef struct Curve:
    Box seal
    Box unseal
    unsigned char key[KEY]
    # Of this end, and of the other: the last that were used.
    unsigned char own[NONCE]
    unsigned char other[NONCE]
    uint64_t sent
    uint64_t received
    # What has come and was not opened: from `raw_start` up to `raw_end`.
    unsigned char *raw
    size_t raw_room
    size_t raw_start
    size_t raw_end
    # What was sealed and is not written wholly.
    unsigned char *out
    size_t out_size
    size_t out_written
    # Of it: the bytes of commands, which come first, and how many messages follow; and how many bytes of the first of these
    # were written.
    size_t of_commands
    Py_ssize_t messages
    size_t loose


# What `open_frame` finds.
cdef enum Opened:
    OPEN
    # It is no MESSAGE, or too short.
    NO_BOX
    # Its nonce was used before.
    OLD
    # It was made with another key, or changed.
    FALSE_BOX


cdef inline size_t head_size(size_t body) noexcept nogil:
    return SHORT_HEAD if body <= SHORT_MOST else LARGE_HEAD


cdef inline size_t sealed_size(size_t body) noexcept nogil:
    # Of a whole frame that has another within, by the size of that one's body.
    return head_size(body + SEALED) + SEALED + body


cdef inline size_t sealed_message_size(const unsigned char *at, size_t *size) noexcept nogil:
    # Of a whole message that lies there; `size` is set to how many bytes it has as it is.
    cdef size_t sealed = 0, body = 0
    cdef bint more = True
    size[0] = 0
    while more:
        size[0] += read_frame(at + size[0], False, &body, &more)
        size[0] += body
        sealed += sealed_size(body)
    return sealed


cdef inline size_t seal_frames(Curve *curve, unsigned char *target, const unsigned char *at, size_t size) noexcept nogil:
    # Seals whole frames that lie there, commands among them; how many bytes that makes.
    cdef size_t done = 0, made = 0, body = 0
    cdef bint more
    cdef int flags
    while done < size:
        flags = at[done]
        done += read_frame(at + done, False, &body, &more)
        made += seal_frame(curve, target + made, flags, at + done, body)
        done += body
    return made


cdef inline size_t seal_frame(
    Curve *curve, unsigned char *target, int flags, const unsigned char *body, size_t size
) noexcept nogil:
    cdef unsigned char *within
    curve.sent += 1
    write_number(curve.own + 16, curve.sent)
    target += write_head(target, 0, SEALED + size)
    memcpy(target, <const char *>b"\x07MESSAGE", NAME)
    memcpy(target + NAME, curve.own + 16, 8)
    # It is sealed where it stands.
    within = target + BEFORE + MAC
    within[0] = (MORE_WITHIN if flags & MORE else 0) | (COMMAND_WITHIN if flags & COMMAND else 0)
    memcpy(within + 1, body, size)
    curve.seal(target + BEFORE, within, size + 1, curve.own, curve.key)
    return sealed_size(size)


cdef inline Opened open_frame(
    Curve *curve, const unsigned char *body, size_t size, unsigned char *target, size_t *made
) noexcept nogil:
    # Opens the body of a frame, and writes the frame within; `made` is set to its bytes, fewer than `size`.
    cdef uint64_t number
    cdef size_t head
    cdef int flags
    if size < SEALED or memcmp(body, <const char *>b"\x07MESSAGE", NAME):
        return NO_BOX
    number = read_number(body + NAME)
    if number <= curve.received:
        return OLD
    memcpy(curve.other + 16, body + NAME, 8)
    # The flags lie before what they belong to, where the head is then.
    head = head_size(size - SEALED)
    if curve.unseal(target + head - 1, body + BEFORE, size - BEFORE, curve.other, curve.key):
        return FALSE_BOX
    curve.received = number
    flags = target[head - 1]
    flags = (MORE if flags & MORE_WITHIN else 0) | (COMMAND if flags & COMMAND_WITHIN else 0)
    made[0] = write_head(target, flags, size - SEALED) + size - SEALED
    return OPEN


cdef inline void write_number(unsigned char *at, uint64_t number) noexcept nogil:
    cdef int index
    for index in range(8):
        at[index] = <unsigned char>(number >> (56 - 8 * index))


cdef inline uint64_t read_number(const unsigned char *at) noexcept nogil:
    cdef uint64_t number = 0
    cdef int index
    for index in range(8):
        number = number << 8 | at[index]
    return number
