# A message in hand: its parts, the room for them, and a payload that is cut from one of them. Without the GIL.

from libc.errno cimport ENOMEM
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy

from .libzmq cimport (
    msg_close, msg_copy, msg_data, msg_init, msg_init_data, msg_init_size, msg_more, msg_size, receive_part, zmq_msg_t
)

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


# Its parts ---------------------------------------------------------------------------------------------------

cdef inline int receive(Message *message, void *socket) noexcept nogil:
    # Reads one message, all its parts. Returns an errno or 0; EAGAIN if there is none.
    cdef int error
    message.nbytes = 0
    error = add_part(message, socket)
    # libzmq hands over messages whole: once the first part is there, no later one can be missing.
    while not error and msg_more(&message.parts[message.count - 1]):
        error = add_part(message, socket)
    if error:
        # What there is of a message that is not complete goes nowhere.
        release(message)
    return error


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
    free(message.parts)
    message.parts = NULL
    message.room = message.count = 0


# A payload ---------------------------------------------------------------------------------------------------

cdef inline size_t up_to_space(zmq_msg_t *part) noexcept nogil:
    # How many bytes stand up to and with the first space; 0 where there is none.
    cdef char *start = <char *>msg_data(part)
    cdef char *space = <char *>memchr(start, 32, msg_size(part))
    return 0 if space == NULL else <size_t>(space - start) + 1


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
