# A message as Python has it: a list of its parts.

from .frames cimport read_frame


cdef inline list parts_of(const unsigned char *message, size_t size):
    cdef size_t at = 0, body = 0
    cdef bint more = False
    cdef list parts = []
    while at < size:
        at += read_frame(message + at, False, &body, &more)
        parts.append(message[at:at + body])
        at += body
    return parts
