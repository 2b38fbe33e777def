# The rights of senders; `geventrelay.engine.stages.senders` is the same in Python, and says how they are written.

from .libzmq cimport msg_data, msg_gets, msg_size, zmq_msg_t


cdef inline bint may_send(const void *name, zmq_msg_t *parts, Py_ssize_t count) noexcept nogil:
    # Whether the sender of a message may send it; of its own the stage has the name of the property.
    cdef const char *text = msg_gets(parts, <const char *>name)
    return text != NULL and begins_with_any(<const unsigned char *>msg_data(parts), msg_size(parts), text)


cdef inline bint may_send_upstream(const void *name, zmq_msg_t *parts, Py_ssize_t count) noexcept nogil:
    # The same for what an XPUB has read: a subscription is no message of its sender's.
    if msg_size(parts) and (<const unsigned char *>msg_data(parts))[0] <= 1:
        return True
    return may_send(name, parts, count)


cdef inline bint begins_with_any(const unsigned char *data, size_t size, const char *text) noexcept nogil:
    # Prefixes stand in the text in hexadecimal digits, each with a comma behind it.
    cdef size_t at
    cdef bint fits
    while text[0]:
        at = 0
        fits = True
        while text[0] and text[0] != 44:
            fits = fits and at < size and data[at] == (digit(text[0]) << 4 | digit(text[1]))
            at += 1
            # An odd digit at the end is not ours.
            if not text[1]:
                return False
            text += 2
        if fits:
            return True
        if text[0]:
            text += 1
    return False


cdef inline int digit(char letter) noexcept nogil:
    # 0 to 9, a to f.
    return letter - 48 if letter <= 57 else letter - 87
