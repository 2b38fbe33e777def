# How what waits for a peer is written, and how its connection ends. Without Python, but for subscriptions.

from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport INFINITY
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from .account cimport give_memory, take_memory
from .blocks cimport data_of
from .incoming cimport NO_MEMORY, NOTHING, Event, forget
from .nodes cimport Member
from .peer cimport TOO_OLD, Control, Core, Peer, free_control, monotonic, note, takes
from .queue cimport Run, drop_all, drop_older, first_size, run_at, take_written
from .sealing cimport free_curve, seal_some, take_sealed

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


cdef inline bint has_something(Peer *peer) noexcept nogil:
    if peer.queue.count or peer.control.size or peer.has_news:
        return True
    return peer.curve != NULL and peer.curve.out_size > 0


cdef inline void write_dirty(Core *core, double until) noexcept nogil:
    # Writes what was put in queues in this turn, up to a time: the caller is told of what is left.
    cdef Peer *peer
    while core.dirty != NULL:
        peer = core.dirty
        core.dirty = peer.next_dirty
        peer.dirty = False
        if peer.over or peer.stalled:
            continue
        core.now = monotonic()
        if core.now < until:
            write_until(peer, until)
        else:
            note(core.stalled, peer)
    core.queued = 0


cdef inline void write_out(Peer *peer) noexcept nogil:
    # Writes what waits for it, as far as the kernel takes it.
    write_until(peer, INFINITY)


cdef inline void write_until(Peer *peer, double until) noexcept nogil:
    # The same, but no more once a time is over.
    cdef iovec pieces[MOST_PIECES]
    cdef msghdr message
    cdef size_t wanted
    cdef Py_ssize_t taken
    drop_too_old(peer)
    memset(&message, 0, sizeof(message))
    message.msg_iov = pieces
    while peer.fd >= 0 and not peer.stalled and not peer.over and has_something(peer):
        if peer.has_news and peer.control.size < MOST_PONGS:
            take_news(peer)
            continue
        if peer.curve == NULL:
            message.msg_iovlen = gather(peer, pieces, &wanted)
        elif seal_some(peer):
            message.msg_iovlen = 1
            pieces[0].iov_base = peer.curve.out + peer.curve.out_written
            wanted = pieces[0].iov_len = peer.curve.out_size - peer.curve.out_written
        else:
            end_peer(peer, NO_MEMORY, 0)
            return
        taken = sendmsg(peer.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
        if taken < 0:
            if errno == EINTR:
                continue
            if errno != EAGAIN:
                end_peer(peer, NOTHING, errno)
                return
            taken = 0
        count_written(peer, taken)
        if <size_t>taken < wanted:
            peer.stalled = True
            note(peer.core.stalled, peer)
        elif has_something(peer) and monotonic() >= until:
            note(peer.core.stalled, peer)
            return


cdef inline void take_news(Peer *peer) noexcept with gil:
    # Some of the subscriptions that are to be told.
    cdef object wishes = (<object>peer.owner).news
    cdef bytes news = wishes.take()
    peer.has_news = len(news) > 0
    count_news(peer, wishes.nbytes)
    if peer.has_news and not add_control(peer, news, len(news)):
        raise MemoryError


cdef inline void count_news(Peer *peer, size_t nbytes) noexcept nogil:
    # So much memory they take now.
    take_memory(peer.core.heap.account, nbytes)
    give_memory(peer.core.heap.account, peer.news_bytes)
    peer.news_bytes = nbytes


cdef inline size_t gather(Peer *peer, iovec *pieces, size_t *wanted) noexcept nogil:
    # What is to be written next, and how many bytes that are.
    cdef size_t count = 0, index, skipped = peer.queue.written
    cdef Run *run
    wanted[0] = 0
    if peer.control.size:
        if skipped:
            # First the rest of the message that is written in half.
            run = run_at(&peer.queue, 0)
            pieces[0].iov_base = data_of(run.block) + run.at + skipped
            wanted[0] = first_size(&peer.queue, run) - skipped
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
    if peer.curve != NULL:
        peer.delivered += take_sealed(peer, nbytes)
        return
    if peer.control.size and not peer.queue.written:
        of_control = min(nbytes, peer.control.size - peer.control.written)
        peer.control.written += of_control
        if peer.control.written == peer.control.size:
            free_control(&peer.control)
    if nbytes > of_control:
        peer.delivered += take_written(&peer.queue, &peer.core.heap, nbytes - of_control)


cdef inline void drop_too_old(Peer *peer) noexcept nogil:
    if peer.side.max_age > 0 and peer.queue.count:
        drop_before(peer, monotonic() - peer.side.max_age)


cdef inline void drop_before(Peer *peer, double than) noexcept nogil:
    # What came before a time has waited too long.
    peer.dropped[TOO_OLD] += drop_older(&peer.queue, &peer.core.heap, than)


cdef inline void end_peer(Peer *peer, Event fault, int error) noexcept nogil:
    # Its connection has ended: it gets nothing more.
    peer.over = True
    peer.fault = fault
    peer.error = error
    bury(peer)
    note(peer.core.ended, peer)


cdef inline void bury(Peer *peer) noexcept nogil:
    # It is subscribed to nothing any more, unless messages wait for its next connection; `sweep` does the work.
    if not takes(peer):
        bury_member(peer)


cdef inline void bury_member(Peer *peer) noexcept nogil:
    cdef Member *member = peer.member
    if member != NULL:
        peer.member = NULL
        member.peer = NULL
        member.is_dying = True
        peer.core.heap.account.dying += member.nbytes
        member.topics.version += 1
        member.next_dead = peer.core.dead
        peer.core.dead = member


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
    return True


# Its connection -----------------------------------------------------------------------------------------------

cdef inline void disconnect(Peer *peer) noexcept nogil:
    # What came in half is forgotten, and what was written in half begins anew with the next connection.
    peer.fd = -1
    peer.stalled = peer.over = peer.has_news = False
    if peer.side.full == peer:
        peer.side.full = NULL
    peer.fault = NOTHING
    peer.error = 0
    count_news(peer, 0)
    bury(peer)
    peer.queue.written = 0
    # What was written to it is lost, and what waits is for its next connection.
    peer.unanswered = min(peer.unanswered, peer.queue.messages)
    free_curve(peer)
    forget(&peer.incoming, &peer.core.heap)
    free_control(&peer.control)


cdef inline void free_peer(Peer *peer) noexcept nogil:
    disconnect(peer)
    drop_all(&peer.queue, &peer.core.heap)
