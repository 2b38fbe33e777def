# What was counted in C, as Python has it.

from .peer cimport DROP_COUNT, Counts, Peer

from ...engine.counters import Drop
from ..contract import PeerCounts

cdef tuple DROPS = (
    Drop.NO_PEER, Drop.FULL, Drop.SLOW, Drop.TOO_OLD, Drop.MALFORMED, Drop.UNROUTABLE, Drop.LEFT, Drop.STOPPED,
    Drop.BY_REQUEST, Drop.MEMORY, Drop.FORBIDDEN, Drop.RATE
)
assert len(DROPS) == DROP_COUNT


cdef dict drops_of(const long long *dropped):
    return {DROPS[index]: dropped[index] for index in range(DROP_COUNT) if dropped[index]}


cdef void add_peer(Counts *total, Peer *peer) noexcept:
    cdef Py_ssize_t index
    total.received += peer.received
    total.received_bytes += peer.received_bytes
    total.matched += peer.matched
    total.delivered += peer.delivered
    total.waiting += peer.queue.messages
    total.waiting_bytes += peer.queue.nbytes
    total.forbidden += peer.forbidden
    total.forbidden_subscriptions += peer.forbidden_subscriptions
    total.over_rate += peer.over_rate
    total.subscriptions += 0 if peer.member == NULL else peer.member.count
    for index in range(DROP_COUNT):
        total.dropped[index] += peer.dropped[index]


cdef object counts_of(const Counts *total):
    return PeerCounts(
        received=total.received,
        received_bytes=total.received_bytes,
        matched=total.matched,
        delivered=total.delivered,
        dropped=drops_of(total.dropped),
        waiting=total.waiting,
        waiting_bytes=total.waiting_bytes,
        subscriptions=total.subscriptions,
        forbidden=total.forbidden,
        forbidden_subscriptions=total.forbidden_subscriptions,
        over_rate=total.over_rate,
    )
