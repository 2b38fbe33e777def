# Types for port.py where it is compiled; that file says what all this is.

cimport cython

cdef int _POLLIN, _POLLOUT

@cython.final
cdef class Port:
    cdef readonly object raw
    cdef public object watcher
    cdef public bint pollout_lies
    cdef object _hub
    cdef object _generation
    cdef object _made_in
    cdef object _read_events
    cdef object _reader
    cdef object _writer
    cdef bint _tried_again

    cpdef wait_readable(self, bint found_nothing=*)
    cpdef wait_writable(self)
    cpdef after_read(self)
    cpdef after_write(self)
    cpdef on_edge(self)
    cpdef look(self)
    cpdef stop_watching(self)
    cpdef int check_events(self) except -1
    cpdef wake_both(self)
    cpdef _wake_reader(self)
    cpdef _wake_writer(self)
