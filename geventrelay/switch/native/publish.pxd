# Each message to all that are subscribed to it: PUB (RFC 29; libzmq's xpub.cpp). Without Python.
#
# Messages that come one behind the other and go to the same subscribers are a group: each subscriber gets the group, not
# each message.

from .blocks cimport data_of, let_go
from .copies cimport put
from .frames cimport message_size, messages_size
from .nodes cimport Node, Topics
from .peer cimport (
    BLOCK, DISCONNECT, DROP_NEWEST, DROP_OLDEST, FULL, LEFT, SLOW, Destination, Group, Message, Peer, Side, Slow,
    count_sent, mark_dirty, room_of, takes
)
from .incoming cimport TOO_SLOW
from .last_values cimport keep_value
from .log cimport append_to_log
from .queue cimport drop_oldest, lose_all
from .stamp cimport add_stamp
from .topic_counts cimport count_lost, count_published
from .topics cimport deepest, find_peers, is_as_before
from .writing cimport end_peer, write_out

cdef enum:
    # One group keeps all subscribers waiting for the next one.
    MOST_GROUPED = 1000


cdef inline void publish(
    Destination *destination, const Message *message, const unsigned char *topic, size_t size
) noexcept nogil:
    cdef Side *side = destination.side
    cdef Message stamped
    if side.log == NULL:
        publish_as_is(destination, message, message, topic, size)
        return
    if side.stamps and not add_stamp(&side.core.heap, message, side.log.next, &stamped):
        destination.dropped[FULL] += 1
        return
    append_to_log(side.log, data_of(message.block) + message.at, message.size, side.core.now)
    if side.stamps:
        publish_as_is(destination, &stamped, message, topic, size)
        let_go(&side.core.heap, stamped.block)
    else:
        publish_as_is(destination, message, message, topic, size)


cdef inline void publish_as_is(
    Destination *destination, const Message *message, const Message *came, const unsigned char *topic, size_t size
) noexcept nogil:
    # The same of a message as subscribers get it, and as it came. `topic` is the first part.
    cdef Side *side = destination.side
    cdef Group *group = &side.group
    cdef Node *node = deepest(&side.topics, topic, size)
    # Also without a subscriber, as on libzmq's engine.
    count_sent(destination, message)
    if side.last_values != NULL:
        keep_value(
            side.last_values, data_of(message.block) + message.at, message.size, topic, size, came.parts > 1,
            side.core.now
        )
    if side.counts != NULL:
        count_published(side.counts, topic, size, came.parts > 1, came.body, side.core.now)
    if node == NULL:
        return
    if not find(side, node):
        return
    side.credit -= 1
    side.core.queued += message.size * side.topics.found_count
    if 0 < group.messages < MOST_GROUPED and group.block == message.block and group.at + group.size == message.at:
        group.size += message.size
        group.messages += 1
        return
    give_group(side)
    group.block = message.block
    group.block.holders += 1
    group.at = message.at
    group.size = message.size
    group.messages = 1


cdef inline bint find(Side *side, Node *node) noexcept nogil:
    # Finds the peers of a node; False if there is no memory.
    if is_as_before(&side.topics, node):
        return True
    give_group(side)
    side.credit = 0
    return find_peers(&side.topics, node)


cdef inline void give_group(Side *side) noexcept nogil:
    cdef Group group = side.group
    cdef size_t index
    if not group.messages:
        return
    side.group.messages = 0
    for index in range(side.topics.found_count):
        give(<Peer *>side.topics.found[index], &group)
    let_go(&side.core.heap, group.block)


cdef inline void give(Peer *peer, const Group *group) noexcept nogil:
    # To one subscriber, as many as it has room for.
    cdef size_t size, at = group.at, end = group.at + group.size
    cdef Py_ssize_t room, left = group.messages
    peer.matched += left
    while left and takes(peer):
        room = room_of(peer)
        if room < left and not peer.stalled:
            write_out(peer)
            room = room_of(peer)
        if not room:
            break
        if room >= left:
            room = left
            size = end - at
        else:
            size = messages_size(data_of(group.block) + at, room)
        if not put(peer, group.block, at, size, room):
            break
        mark_dirty(peer)
        at += size
        left -= room
    if left:
        refuse(peer, group, at, left)


cdef inline void refuse(Peer *peer, const Group *group, size_t at, Py_ssize_t left) noexcept nogil:
    # What becomes of the last messages of a group, for which there is no room.
    cdef Slow slow = peer.side.slow
    cdef size_t size
    cdef Py_ssize_t dropped
    if not takes(peer):
        peer.dropped[LEFT] += left
        count_lost(&peer.queue.losses, data_of(group.block) + at, left, False)
    elif slow == DROP_OLDEST:
        while left:
            size = message_size(data_of(group.block) + at, False)
            while not room_of(peer):
                dropped = drop_oldest(&peer.queue, &peer.core.heap, 1)
                if not dropped:
                    break
                peer.dropped[SLOW] += dropped
            if not room_of(peer) or not put(peer, group.block, at, size, 1):
                peer.dropped[SLOW] += 1
                count_lost(&peer.queue.losses, data_of(group.block) + at, 1, False)
            at += size
            left -= 1
    else:
        peer.dropped[SLOW] += left
        count_lost(&peer.queue.losses, data_of(group.block) + at, left, False)
        if slow == DISCONNECT:
            peer.dropped[SLOW] += lose_all(&peer.queue, &peer.core.heap)
            end_peer(peer, TOO_SLOW, 0)


cdef inline bint has_room_at_all(Side *side, const unsigned char *topic, size_t size) noexcept nogil:
    # Whether every subscriber of a message has room for it, where all wait for the slowest.
    cdef size_t index
    cdef Peer *peer
    cdef Node *node = deepest(&side.topics, topic, size)
    if node == NULL or not find(side, node) or side.credit > 0:
        return True
    give_group(side)
    side.credit = MOST_GROUPED
    for index in range(side.topics.found_count):
        peer = <Peer *>side.topics.found[index]
        if not room_of(peer):
            write_out(peer)
        if room_of(peer) < side.credit and takes(peer):
            side.credit = room_of(peer)
            side.full = peer
    return side.credit > 0
