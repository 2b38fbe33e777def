# What a peer may do over its connection, as Python has it.

from libc.stdlib cimport calloc, free

from .granted cimport Prefix, Prefixes

from ...engine.grant import needed


cdef tuple take_prefixes(Prefixes *taken, prefixes):
    """Have `taken` be these prefixes, or None; what it points to then, which has to be kept."""
    cdef tuple kept = () if prefixes is None else needed(prefixes)
    cdef Py_ssize_t index
    cdef bytes one
    free_prefixes(taken)
    if prefixes is None or kept is None:
        return ()
    taken.items = <Prefix *>calloc(len(kept) or 1, sizeof(Prefix))
    if taken.items == NULL:
        raise MemoryError
    for index, one in enumerate(kept):
        taken.items[index].start = one
        taken.items[index].size = len(one)
    taken.count = len(kept)
    taken.limited = True
    return kept


cdef void free_prefixes(Prefixes *taken) noexcept:
    free(taken.items)
    taken.items = NULL
    taken.count = 0
    taken.limited = False
