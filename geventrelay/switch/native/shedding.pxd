# What is done when the cores of one hub keep too much: messages are dropped, senders held back, connections ended. Without
# Python, but for the callers that get to know of it.

from cpython.ref cimport PyObject

from .account cimport Account, changes_tightness, is_over
from .copies cimport compact_all
from .incoming cimport SUBSCRIPTIONS, TOO_SLOW, UNFINISHED, Incoming, forget, there_is
from .last_values cimport LastValues, forget_to
from .log cimport Log, forget_for_memory
from .peer cimport DISCONNECT, MEMORY, Core, Peer, Side, holds_back, set_most
from .queue cimport drop_to, lose_all
from .sealing cimport free_raw
from .unsealing cimport raw_size
from .writing cimport bury_member, count_news, end_peer

cdef enum:
    # Connections that are ended, or times that queues are cut, in one go.
    MOST_STEPS = 64


# What is the most of all.
cdef struct Largest:
    # Bytes that wait for one subscriber.
    size_t waiting
    # The peer with the largest message that has no end yet, and its bytes; and for which most subscriptions are kept: its
    # own, or those that it has not read.
    Peer *sender
    size_t unfinished
    Peer *subscriber
    size_t subscribed
    # The last values of one side, and their bytes.
    LastValues *keeper
    size_t kept
    # The same of a log.
    Log *log
    size_t logged


cdef inline void keep_to_budget(Account *account) noexcept nogil:
    # To be called now and then when memory has been taken or given back.
    if is_over(account):
        shed(account)
    if changes_tightness(account):
        set_tight(account, not account.tight)


cdef inline void set_tight(Account *account, bint tight) noexcept nogil:
    cdef Core *core = <Core *>account.cores
    cdef Side *side
    account.tight = tight
    while core != NULL:
        side = core.sides
        while side != NULL:
            set_most(side)
            side = side.next_side
        if not tight:
            # Senders may go on.
            call_attention(core)
        core = core.next_core


cdef inline void shed(Account *account) noexcept nogil:
    # Comes down to 7/8 of the limit: what this costs then comes seldom.
    cdef Largest largest
    cdef Core *core = <Core *>account.cores
    cdef int step
    while core != NULL:
        compact_all(core)
        core = core.next_core
    for step in range(MOST_STEPS):
        if account.used - account.dying <= account.limit - account.limit // 8:
            break
        find_largest(account, &largest)
        if largest.kept and largest.kept >= max(largest.logged, largest.waiting, largest.unfinished, largest.subscribed):
            forget_to(largest.keeper, largest.kept // 2)
        elif largest.logged and largest.logged >= max(largest.waiting, largest.unfinished, largest.subscribed):
            forget_for_memory(largest.log, largest.logged // 2)
        elif largest.waiting and largest.waiting >= max(largest.unfinished, largest.subscribed):
            cut_queues(account, largest.waiting // 2)
        elif largest.unfinished and largest.unfinished >= largest.subscribed:
            largest.sender.incoming.refused = largest.unfinished
            end_peer(largest.sender, UNFINISHED, 0)
            forget(&largest.sender.incoming, &largest.sender.core.heap)
            if largest.sender.curve != NULL:
                free_raw(largest.sender)
            call_attention(largest.sender.core)
        elif largest.subscribed:
            largest.subscriber.incoming.refused = largest.subscribed
            end_peer(largest.subscriber, SUBSCRIPTIONS, 0)
            bury_member(largest.subscriber)
            forget_news(largest.subscriber)
            call_attention(largest.subscriber.core)
        else:
            break
    core = <Core *>account.cores
    while core != NULL:
        if core.shed:
            call_attention(core)
        core = core.next_core


cdef inline void find_largest(Account *account, Largest *largest) noexcept nogil:
    cdef Core *core = <Core *>account.cores
    cdef Side *side
    cdef Py_ssize_t index
    largest.waiting = largest.unfinished = largest.subscribed = largest.kept = largest.logged = 0
    while core != NULL:
        side = core.sides
        while side != NULL:
            if side.last_values != NULL and side.last_values.nbytes > largest.kept:
                largest.keeper = side.last_values
                largest.kept = side.last_values.nbytes
            if side.log != NULL and side.log.nbytes > largest.logged:
                largest.log = side.log
                largest.logged = side.log.nbytes
            for index in range(side.count):
                weigh(side.peers[index], largest)
            side = side.next_side
        core = core.next_core


cdef inline void weigh(Peer *peer, Largest *largest) noexcept nogil:
    cdef size_t size
    if not holds_back(peer.side):
        size = can_drop(peer)
        largest.waiting = max(largest.waiting, size)
    if peer.fd < 0 or peer.over:
        return
    size = kept_unfinished(&peer.incoming)
    if peer.incoming.unfinished:
        size += raw_size(peer)
    if size > largest.unfinished:
        largest.unfinished = size
        largest.sender = peer
    if peer.member != NULL and peer.member.nbytes > largest.subscribed:
        largest.subscribed = peer.member.nbytes
        largest.subscriber = peer
    if peer.news_bytes > largest.subscribed:
        largest.subscribed = peer.news_bytes
        largest.subscriber = peer


cdef inline void forget_news(Peer *peer) noexcept nogil:
    # A publisher that has ended is told nothing more.
    if peer.news_bytes:
        count_news(peer, 0)
        clear_news(peer)


cdef inline void clear_news(Peer *peer) noexcept with gil:
    (<object>peer.owner).news.clear()


cdef inline size_t can_drop(const Peer *peer) noexcept nogil:
    # A message that is written in half stays, alone.
    return 0 if peer.queue.written and peer.queue.messages == 1 else peer.queue.nbytes


cdef inline size_t kept_unfinished(Incoming *incoming) noexcept nogil:
    return there_is(incoming) if incoming.unfinished and incoming.block != NULL else 0


cdef inline void cut_queues(Account *account, size_t nbytes) noexcept nogil:
    # The longest ones, so that no more than so many bytes wait for each subscriber.
    cdef Core *core = <Core *>account.cores
    cdef Side *side
    cdef Py_ssize_t index
    while core != NULL:
        side = core.sides
        while side != NULL:
            if not holds_back(side):
                for index in range(side.count):
                    if side.peers[index].queue.nbytes > nbytes:
                        cut_queue(side.peers[index], nbytes)
            side = side.next_side
        core = core.next_core


cdef inline void cut_queue(Peer *peer, size_t nbytes) noexcept nogil:
    cdef Py_ssize_t dropped
    if peer.side.slow == DISCONNECT and peer.fd >= 0 and not peer.over:
        dropped = lose_all(&peer.queue, &peer.core.heap)
        end_peer(peer, TOO_SLOW, 0)
    else:
        dropped = drop_to(&peer.queue, &peer.core.heap, nbytes)
    peer.dropped[MEMORY] += dropped
    peer.core.shed += dropped


cdef inline void call_attention(Core *core) noexcept with gil:
    if core.attention != NULL:
        (<object>core.attention)()
