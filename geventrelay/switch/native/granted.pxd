# What a peer may do over its connection; `geventrelay.engine.grant` is the same in Python. Without Python.

from libc.string cimport memcmp


cdef struct Prefix:
    const unsigned char *start
    size_t size


# What something may begin with.
cdef struct Prefixes:
    # Whether not everything is allowed; then what is, in order, and so that none begins with another one.
    bint limited
    Prefix *items
    Py_ssize_t count


cdef inline bint allows(const Prefixes *prefixes, const unsigned char *data, size_t size) noexcept nogil:
    # The last prefix that does not stand behind the data in their order is the only one that it can begin with.
    cdef Py_ssize_t low = 0, high = prefixes.count, middle
    cdef const Prefix *one
    while low < high:
        middle = (low + high) >> 1
        if stands_behind(&prefixes.items[middle], data, size):
            high = middle
        else:
            low = middle + 1
    if not low:
        return False
    one = &prefixes.items[low - 1]
    return one.size <= size and not memcmp(one.start, data, one.size)


cdef inline bint stands_behind(const Prefix *one, const unsigned char *data, size_t size) noexcept nogil:
    cdef int order = memcmp(one.start, data, min(one.size, size))
    return order > 0 or (order == 0 and one.size > size)
