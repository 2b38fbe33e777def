# Messages upstream, to all publishers: XSUB (RFC 29; libzmq's xsub.cpp). Without Python, but for subscriptions.

from .copies cimport put
from .peer cimport NO_PEER, Destination, Message, Peer, Side, count_sent, mark_dirty, room_of, why_full
from .writing cimport write_out


cdef inline void ask(
    Destination *destination, const Message *message, const unsigned char *first, size_t size
) noexcept nogil:
    # A message of one part that begins with 0 or 1 is a subscription, or its end.
    cdef Side *side = destination.side
    cdef Py_ssize_t index
    cdef bint connected = False
    if message.parts == 1 and size and first[0] <= 1:
        # News of topics go before the messages that wait, but those that came first are to be there first.
        for index in range(side.count):
            if side.peers[index].queue.count:
                write_out(side.peers[index])
        follow(destination, first + 1, size - 1, first[0])
        for index in range(side.count):
            if side.peers[index].has_news:
                mark_dirty(side.peers[index])
        count_sent(destination, message)
        return
    for index in range(side.count):
        if side.peers[index].fd >= 0 and not side.peers[index].over:
            connected = True
            send_upstream(side.peers[index], message)
    if connected:
        count_sent(destination, message)
    else:
        destination.dropped[NO_PEER] += 1


cdef inline void send_upstream(Peer *peer, const Message *message) noexcept nogil:
    if not room_of(peer):
        write_out(peer)
    if peer.over:
        return
    peer.matched += 1
    if room_of(peer) and put(peer, message.block, message.at, message.size, 1):
        mark_dirty(peer)
    else:
        peer.dropped[why_full(peer)] += 1


cdef inline void follow(
    Destination *destination, const unsigned char *topic, size_t size, bint wanted
) noexcept with gil:
    (<object>destination.side.owner).follow(topic[:size], wanted, <size_t>destination)
