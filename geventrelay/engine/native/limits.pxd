# How much one run of a burst may move; `geventrelay.engine.burst.Budget` is the same in Python.

from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef struct Limits:
    long long messages
    long long nbytes
    long long parts
    double time_s
    double skip_s


cdef inline bint is_over(double *until, double time_s) noexcept nogil:
    # Whether it is time to end. The first look sets `until`, which has to be INFINITY then, to `time_s` from now.
    cdef timespec now
    cdef double now_s
    clock_gettime(CLOCK_MONOTONIC, &now)
    now_s = now.tv_sec + now.tv_nsec * 1e-9
    until[0] = min(until[0], now_s + time_s)
    return now_s >= until[0]
