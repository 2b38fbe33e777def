# Why messages were dropped: what was counted in C, as Python has it.

from .peer cimport DROP_COUNT

from ...engine.counters import Drop

cdef tuple DROPS = (Drop.NO_PEER, Drop.FULL, Drop.SLOW, Drop.TOO_OLD, Drop.MALFORMED, Drop.UNROUTABLE)
assert len(DROPS) == DROP_COUNT


cdef dict drops_of(const long long *dropped):
    return {DROPS[index]: dropped[index] for index in range(DROP_COUNT) if dropped[index]}
