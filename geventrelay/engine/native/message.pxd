# A message in hand: its parts, the room for them, and a payload that is cut from one of them. Without the GIL.

from libc.errno cimport ENOMEM
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy

from .libzmq cimport (
    is_not_now, msg_close, msg_copy, msg_data, msg_init, msg_init_data, msg_init_size, msg_more, msg_size, receive_part,
    zmq_msg_t
)
from .topic cimport is_topic

cdef enum:
    # Room for the parts of one message. It grows as needed and is kept from message to message, up to the larger number.
    FEW_PARTS = 8
    MANY_PARTS = 1024

    # A payload of this size and more shares the body of the part that it is cut from, a smaller one is copied. Sharing
    # costs two small allocations and two atomic counts whatever the size; measured from recv to close, on inproc:
    #
    #     payload in bytes     1024   4096   6000   8192   16384   65536   262144
    #     shared, in ns         215    227    231    236     254     262     1850
    #     copied, in ns         160    201    232    273     533    1045    10300
    #
    # They meet at 6000. Up to 8192 bytes a part read from tcp lies in libzmq's receive buffer with its neighbours, and
    # sharing it would keep all of that alive; above, its body is its own.
    SHARE_FROM_BYTES = 8192


cdef struct Message:
    # parts[0..count). Every element up to `room` is an initialised zmq_msg_t.
    zmq_msg_t *parts
    Py_ssize_t room
    Py_ssize_t count
    # The bytes of all parts.
    long long nbytes
    # How many parts a message may have; 0 for any number.
    Py_ssize_t most
    # Whether the socket is an XPUB, see `receive`.
    bint from_xpub
    # Whether the rest of a message with too many parts is still to be read and thrown away.
    bint skipping
    # A part that is a message by itself, and was found within another one; valid if `has_next` is set.
    bint has_next
    zmq_msg_t next


# What `receive` returns besides an errno: what is in hand is to be dropped.
cdef enum:
    BROKEN_OFF = -1
    TOO_MANY_PARTS = -2


# Its parts ---------------------------------------------------------------------------------------------------

cdef inline int receive(Message *message, void *socket) noexcept nogil:
    # Reads one message, all its parts. Returns an errno or 0; EAGAIN if there is none. Returns BROKEN_OFF or
    # TOO_MANY_PARTS with what is to be dropped in hand; of the latter the rest is left to `skip`.
    #
    # libzmq hands over messages whole, with one exception. An XPUB takes each part that begins with 0 or 1 for a
    # subscription, also within a message, and puts it in the queue as a message of its own, or not at all if it changes
    # nothing (xpub_t::xread_activated). The parts before it then say that more follows, and nothing does.
    cdef int error
    message.nbytes = 0
    if message.has_next:
        take_next(message)
        return 0
    error = add_part(message, socket)
    while not error and msg_more(&message.parts[message.count - 1]):
        if message.count == message.most:
            return TOO_MANY_PARTS
        error = add_part(message, socket)
        if not error and message.from_xpub and is_subscription(&message.parts[message.count - 1]):
            put_next(message)
            return BROKEN_OFF
    if message.count and is_not_now(error):
        return BROKEN_OFF
    if error:
        # What there is of a message that is not complete goes nowhere.
        release(message)
    return error


cdef inline int skip(Message *message, void *socket, Py_ssize_t most, long long *nbytes, Py_ssize_t *count) noexcept nogil:
    # Throws up to `most` parts of a message with too many of them away, and says how many, and their bytes. Returns an
    # errno or 0. `skipping` is off once that was the last part.
    cdef int error
    message.nbytes = 0
    nbytes[0] = count[0] = 0
    while message.skipping and count[0] < most:
        error = add_part(message, socket)
        if error:
            # The rest of a message that has broken off never comes.
            message.skipping = not is_not_now(error)
            return error
        if message.from_xpub and is_subscription(&message.parts[0]):
            put_next(message)
            message.skipping = False
            return 0
        count[0] += 1
        nbytes[0] = message.nbytes
        message.skipping = msg_more(&message.parts[0])
        release(message)
    return 0


cdef inline bint is_subscription(zmq_msg_t *part) noexcept nogil:
    # Whether an XPUB has made a message of this part: those are never followed by more.
    return msg_size(part) > 0 and (<unsigned char *>msg_data(part))[0] <= 1 and not msg_more(part)


cdef inline void put_next(Message *message) noexcept nogil:
    # Makes the last part the next message.
    message.count -= 1
    message.next = message.parts[message.count]
    msg_init(&message.parts[message.count])
    message.nbytes -= msg_size(&message.next)
    message.has_next = True


cdef inline void take_next(Message *message) noexcept nogil:
    # `count` is 0.
    message.parts[0] = message.next
    message.count = 1
    message.nbytes = msg_size(&message.parts[0])
    message.has_next = False


cdef inline int add_part(Message *message, void *socket) noexcept nogil:
    cdef long long nbytes = 0
    cdef int error
    if message.count == message.room and not make_room(message, message.room * 2):
        return ENOMEM
    error = receive_part(socket, &message.parts[message.count], &nbytes)
    if not error:
        message.count += 1
        message.nbytes += nbytes
    return error


cdef inline void release(Message *message) noexcept nogil:
    # Lets go of every part; then there is no message in hand.
    cdef Py_ssize_t index
    for index in range(message.count):
        msg_close(&message.parts[index])
        msg_init(&message.parts[index])
    message.count = 0
    if message.room > MANY_PARTS:
        shrink_room(message)


# Its room ----------------------------------------------------------------------------------------------------

cdef inline bint make_room(Message *message, Py_ssize_t room) noexcept nogil:
    # Room for so many parts; False if there is no memory for that, and then it is as it was.
    cdef zmq_msg_t *parts = <zmq_msg_t *>realloc(message.parts, room * sizeof(zmq_msg_t))
    if parts == NULL:
        return False
    message.parts = parts
    while message.room < room:
        msg_init(&message.parts[message.room])
        message.room += 1
    return True


cdef inline void shrink_room(Message *message) noexcept nogil:
    cdef Py_ssize_t index
    cdef zmq_msg_t *parts
    for index in range(MANY_PARTS, message.room):
        msg_close(&message.parts[index])
    message.room = MANY_PARTS
    parts = <zmq_msg_t *>realloc(message.parts, MANY_PARTS * sizeof(zmq_msg_t))
    if parts != NULL:
        message.parts = parts


cdef inline void free_room(Message *message) noexcept nogil:
    # At the end: closes every part and gives the memory back.
    cdef Py_ssize_t index
    for index in range(message.room):
        msg_close(&message.parts[index])
    if message.has_next:
        msg_close(&message.next)
        message.has_next = False
    free(message.parts)
    message.parts = NULL
    message.room = message.count = 0


# A payload ---------------------------------------------------------------------------------------------------

cdef inline size_t up_to_space(zmq_msg_t *part) noexcept nogil:
    # How many bytes stand up to and with the first space; 0 where there is none.
    cdef char *start = <char *>msg_data(part)
    cdef char *space = <char *>memchr(start, 32, msg_size(part))
    return 0 if space == NULL else <size_t>(space - start) + 1


cdef inline size_t up_to_topic(zmq_msg_t *part) noexcept nogil:
    # The same, but 0 too if what stands before the space cannot be a topic; see `geventrelay.engine.outlet.is_topic`.
    cdef size_t skipped = up_to_space(part)
    return skipped if skipped and is_topic(<const unsigned char *>msg_data(part), skipped - 1) else 0


cdef inline int cut_payload(zmq_msg_t *payload, zmq_msg_t *whole, size_t skipped) noexcept nogil:
    # Makes `payload` of `whole` without the bytes that are skipped at its front. Returns ENOMEM or 0.
    if msg_size(whole) - skipped >= SHARE_FROM_BYTES:
        return share_rest(payload, whole, skipped)
    return copy_rest(payload, whole, skipped)


cdef inline int share_rest(zmq_msg_t *payload, zmq_msg_t *whole, size_t skipped) noexcept nogil:
    cdef zmq_msg_t *reference = <zmq_msg_t *>malloc(sizeof(zmq_msg_t))
    if reference == NULL:
        return ENOMEM
    msg_init(reference)
    msg_copy(reference, whole)
    if msg_init_data(
        payload, <char *>msg_data(reference) + skipped, msg_size(whole) - skipped, free_reference, reference
    ) < 0:
        free_reference(NULL, reference)
        return ENOMEM
    return 0


cdef inline void free_reference(void *data, void *hint) noexcept nogil:
    # Called by the thread that sends the last of the payload: no Python here.
    msg_close(<zmq_msg_t *>hint)
    free(hint)


cdef inline int copy_rest(zmq_msg_t *payload, zmq_msg_t *whole, size_t skipped) noexcept nogil:
    cdef size_t size = msg_size(whole) - skipped
    if msg_init_size(payload, size) < 0:
        return ENOMEM
    memcpy(msg_data(payload), <char *>msg_data(whole) + skipped, size)
    return 0
