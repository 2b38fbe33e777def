# One peer: what has come from it, what waits for it, and how that is written. Without Python, but for the two lists of
# peers that need attention.

from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from .blocks cimport Heap, data_of
from .frames cimport message_size
from .incoming cimport NOTHING, Event, Incoming, Limits, forget
from .queue cimport Queue, Run, drop_all, run_at, take_written

cdef extern from *:
    """
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL  /* as on macOS; Python ignores SIGPIPE */
    #define MSG_NOSIGNAL 0
    #endif
    """
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    Py_ssize_t sendmsg(int fd, const msghdr *message, int flags) nogil
    Py_ssize_t recv(int fd, void *buffer, size_t size, int flags) nogil

cdef enum:
    # How many pieces are written with one system call. Linux takes 1024.
    MOST_PIECES = 64
    # Answers to PING wait for a peer that does not read up to here; what is more is not answered.
    MOST_PONGS = 4096


# Commands that go before the messages that wait.
cdef struct Control:
    unsigned char *bytes
    size_t size
    size_t room
    size_t written


cdef struct Peer:
    PyObject *owner
    Core *core
    Side *side
    # -1 without a connection.
    int fd
    bint queues_before
    # Whether the kernel takes no more as far as is known, and whether something is to be written in this turn.
    bint stalled
    bint dirty
    Peer *next_dirty
    # Why the connection has ended: what it sent, or an errno; `over` says that it has.
    bint over
    Event fault
    int error
    Incoming incoming
    Queue queue
    Control control
    bint has_commands
    # Messages and commands, over all its connections.
    unsigned long long handled
    # What is counted.
    unsigned long long heard
    long long received
    long long received_bytes
    long long matched
    long long delivered
    long long dropped[8]


cdef struct Side:
    # In the order in which they came.
    Peer **peers
    Py_ssize_t count
    Py_ssize_t room
    # Whose turn it is.
    Py_ssize_t next
    Limits limits
    long long sndhwm
    size_t sndhwm_bytes
    bint publishes
    Way *way


cdef struct Destination:
    Side *side
    int payload
    bint drops
    long long sent
    long long sent_parts
    long long sent_bytes
    long long uncut
    long long dropped[8]


cdef struct Way:
    Destination *destinations
    Py_ssize_t count
    PyObject *tap
    long long reads
    long long received
    long long received_parts
    long long received_bytes


cdef struct Core:
    Heap heap
    # For messages that are not sent as they came.
    Heap copies
    Peer *dirty
    # How many bytes were put in queues in this turn and are not written yet.
    size_t queued
    # Dicts, as sets in order.
    PyObject *stalled
    PyObject *ended


# Writing ------------------------------------------------------------------------------------------------------

cdef inline bint has_something(Peer *peer) noexcept nogil:
    return peer.queue.count > 0 or peer.control.size > 0


cdef inline void mark_dirty(Peer *peer) noexcept nogil:
    # Written before this turn is over.
    if not peer.dirty:
        peer.dirty = True
        peer.next_dirty = peer.core.dirty
        peer.core.dirty = peer


cdef inline void write_dirty(Core *core) noexcept nogil:
    cdef Peer *peer
    while core.dirty != NULL:
        peer = core.dirty
        core.dirty = peer.next_dirty
        peer.dirty = False
        write_out(peer)
    core.queued = 0


cdef inline void write_out(Peer *peer) noexcept nogil:
    # Writes what waits for it, as far as the kernel takes it.
    cdef iovec pieces[MOST_PIECES]
    cdef msghdr message
    cdef size_t wanted
    cdef Py_ssize_t taken
    memset(&message, 0, sizeof(message))
    message.msg_iov = pieces
    while peer.fd >= 0 and not peer.stalled and not peer.over and has_something(peer):
        message.msg_iovlen = gather(peer, pieces, &wanted)
        taken = sendmsg(peer.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
        if taken < 0:
            if errno == EINTR:
                continue
            if errno != EAGAIN:
                end(peer, errno)
                note(peer.core.ended, peer)
                return
            taken = 0
        count_written(peer, taken)
        if <size_t>taken < wanted:
            peer.stalled = True
            note(peer.core.stalled, peer)


cdef inline size_t gather(Peer *peer, iovec *pieces, size_t *wanted) noexcept nogil:
    # What is to be written next, and how many bytes that are.
    cdef size_t count = 0, index, skipped = peer.queue.written, body
    cdef Run *run
    wanted[0] = 0
    if peer.control.size:
        if skipped:
            # First the rest of the message that is written in half.
            run = run_at(&peer.queue, 0)
            pieces[0].iov_base = data_of(run.block) + run.at + skipped
            wanted[0] = message_size(data_of(run.block) + run.at, peer.queue.v1_0, &body) - skipped
            pieces[0].iov_len = wanted[0]
            return 1
        pieces[0].iov_base = peer.control.bytes + peer.control.written
        wanted[0] = pieces[0].iov_len = peer.control.size - peer.control.written
        count = 1
    for index in range(min(peer.queue.count, <size_t>MOST_PIECES - count)):
        run = run_at(&peer.queue, index)
        pieces[count].iov_base = data_of(run.block) + run.at + skipped
        pieces[count].iov_len = run.size - skipped
        wanted[0] += run.size - skipped
        skipped = 0
        count += 1
    return count


cdef inline void count_written(Peer *peer, size_t nbytes) noexcept nogil:
    cdef size_t of_control = 0
    if peer.control.size and not peer.queue.written:
        of_control = min(nbytes, peer.control.size - peer.control.written)
        peer.control.written += of_control
        if peer.control.written == peer.control.size:
            free_control(&peer.control)
    if nbytes > of_control:
        peer.delivered += take_written(&peer.queue, &peer.core.heap, nbytes - of_control)


cdef inline void note(PyObject *peers, Peer *peer) noexcept nogil:
    with gil:
        (<dict>peers)[<object>peer.owner] = None


cdef inline void end(Peer *peer, int error) noexcept nogil:
    peer.over = True
    peer.error = error


# Commands -----------------------------------------------------------------------------------------------------

cdef inline bint add_control(Peer *peer, const unsigned char *frame, size_t size) noexcept nogil:
    # Puts a frame before the messages that wait; False if there is no memory.
    cdef Control *control = &peer.control
    cdef unsigned char *grown
    if control.size + size > control.room:
        grown = <unsigned char *>realloc(control.bytes, 2 * (control.size + size))
        if grown == NULL:
            return False
        control.bytes = grown
        control.room = 2 * (control.size + size)
    memcpy(control.bytes + control.size, frame, size)
    control.size += size
    mark_dirty(peer)
    return True


cdef inline void free_control(Control *control) noexcept nogil:
    free(control.bytes)
    memset(control, 0, sizeof(Control))


# Its connection -----------------------------------------------------------------------------------------------

cdef inline void disconnect(Peer *peer) noexcept nogil:
    # What came in half is forgotten, and what was written in half begins anew with the next connection.
    peer.fd = -1
    peer.stalled = peer.over = False
    peer.fault = NOTHING
    peer.error = 0
    peer.queue.written = 0
    forget(&peer.incoming, &peer.core.heap)
    free_control(&peer.control)


cdef inline void free_peer(Peer *peer) noexcept nogil:
    disconnect(peer)
    drop_all(&peer.queue, &peer.core.heap)
