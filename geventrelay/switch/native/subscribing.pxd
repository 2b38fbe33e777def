# What subscribers ask for, and what becomes of it: their topics, and the news that an XPUB moves its way. Without Python.

from libc.stdlib cimport free
from libc.string cimport memcpy

from .blocks cimport Block, data_of, let_go, place_copy
from .copies cimport put
from .frames cimport LARGE_HEAD, write_head
from .granted cimport allows
from .incoming cimport NO_MEMORY, NOTHING, TOO_MANY_TOPICS, TOPIC_TOO_LONG, WAITS, Event
from .nodes cimport Member, Node, Record
from .peer cimport Core, Message, Peer, Side, monotonic
from .sending cimport give_groups, move_message
from .snapshot cimport give_last_values
from .topics cimport exact, record_of, remove_record, subscribe, write_topic


cdef inline Event take_subscription(Peer *peer, bint wanted, const unsigned char *topic, size_t size) noexcept nogil:
    # NOTHING, or what is wrong with it; WAITS if it has to be taken again.
    cdef Side *side = peer.side
    cdef Node *node
    cdef Record *record
    if size > side.limits.topic:
        peer.incoming.refused = size
        return TOPIC_TOO_LONG
    if peer.member == NULL:
        return NOTHING
    if wanted and peer.subscribes.limited and not allows(&peer.subscribes, topic, size):
        peer.forbidden_subscriptions += 1
        return NOTHING
    node = exact(&side.topics, topic, size)
    record = NULL if node == NULL else record_of(node, peer.member)
    if not wanted:
        return NOTHING if record == NULL or forget(side, record) else WAITS
    if record == NULL and side.limits.topics and peer.member.count >= side.limits.topics:
        return TOO_MANY_TOPICS
    if (side.verbose or node == NULL or not node.entry_count) and not tell(side, True, topic, size, NULL):
        return WAITS
    if record != NULL:
        return NOTHING
    if not subscribe(peer.member, topic, size):
        return NO_MEMORY
    return NOTHING if side.last_values == NULL or give_last_values(peer, topic, size) else NO_MEMORY


cdef inline bint want_everything(Peer *peer) noexcept nogil:
    # For a SUB of ZMTP 1.0, which chooses by itself, and sends no subscriptions (libzmq's _subscription_required). News
    # of it that would have to wait are not told. It may be one topic more than a peer may have. False for want of memory.
    cdef Node *node = exact(&peer.side.topics, b"", 0)
    if node != NULL and record_of(node, peer.member) != NULL:
        return True
    return take_subscription(peer, True, b"", 0) == NOTHING or subscribe(peer.member, b"", 0)


cdef inline bint welcome(Peer *peer, const unsigned char *body, size_t size) noexcept nogil:
    # Puts a message of ours, of one part, in the peer's queue; False if there is no memory.
    cdef Block *block = NULL
    cdef size_t at = 0, head
    cdef bint done
    cdef unsigned char *copy = place_copy(&peer.core.heap, LARGE_HEAD + size, &block, &at)
    if copy == NULL:
        return False
    head = write_head(copy, 0, size)
    memcpy(copy + head, body, size)
    peer.core.now = monotonic()
    done = put(peer, block, at, head + size, 1)
    let_go(&peer.core.heap, block)
    peer.matched += done
    return done


cdef inline bint forget(Side *side, Record *record) noexcept nogil:
    # Takes a record out; False if the news of that have to wait.
    cdef Node *node = record.node
    if node.entry_count == 1 and not tell(side, False, NULL, node.topic_size, node):
        return False
    remove_record(record)
    return True


cdef inline bint tell(Side *side, bint wanted, const unsigned char *topic, size_t size, const Node *node) noexcept nogil:
    # Moves the news of a topic, or of the one of a node, as a message; False if it has to wait.
    cdef Message message
    cdef unsigned char *copy
    cdef size_t head
    cdef bint moved
    if not side.tells or side.way == NULL:
        return True
    copy = place_copy(&side.core.heap, LARGE_HEAD + 1 + size, &message.block, &message.at)
    if copy == NULL:
        return False
    head = write_head(copy, 0, 1 + size)
    copy[head] = wanted
    if node != NULL:
        write_topic(node, copy + head + 1 + size)
    elif size:
        memcpy(copy + head + 1, topic, size)
    message.size = head + 1 + size
    message.body = 1 + size
    message.parts = 1
    moved = move_message(side.core, side.way, &message)
    # There may be no read that does it.
    give_groups(side.way)
    let_go(&side.core.heap, message.block)
    return moved


cdef inline bint sweep(Core *core, size_t most) noexcept nogil:
    # Takes up to so many subscriptions of connections that have ended out; False if the news of one have to wait.
    cdef Member *member
    while core.dead != NULL and most:
        member = core.dead
        while member.first != NULL and most:
            if not forget(<Side *>member.side, member.first):
                return False
            most -= 1
        if member.first == NULL:
            core.dead = member.next_dead
            free(member)
    return True
