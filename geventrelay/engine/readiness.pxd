# Types for readiness.py where it is compiled; that file says what all this is.

cimport cython

cdef int _POLLIN, _POLLOUT

@cython.final
cdef class Readiness:
    cdef readonly object raw
    cdef public object watcher
    cdef public bint pollout_always_set
    cdef public bint several_writers
    cdef object _hub
    cdef object _fork_count
    cdef object _made_in
    cdef object _read_events
    cdef object _reader
    cdef list _writers
    cdef bint _tried_again

    cpdef wait_readable(self, bint found_nothing=*)
    cpdef wait_writable(self)
    cpdef add_writer(self, greenlet)
    cpdef remove_writer(self, greenlet)
    cpdef after_read(self)
    cpdef after_write(self)
    cpdef on_edge(self)
    cpdef process_events(self)
    cpdef stop_watching(self)
    cpdef int check_events(self) except -1
    cpdef wake_both(self)
    cpdef _wake_reader(self)
    cpdef _wake_writers(self)
