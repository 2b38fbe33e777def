# Reading from one connection: what has come is understood, moved and obeyed. Without Python.

from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcmp, memcpy

from .blocks cimport data_of, let_go
from .copies cimport compact
from .curve cimport Curve
from .incoming cimport (
    A_COMMAND, BAD_COMMAND, BAD_PING, CUT, MESSAGE, NO_MEMORY, NOTHING, WAITS, Event, Incoming, first_part,
    is_between_messages, make_room, next_event, next_message, put_command_back, settle
)
from .peer cimport FORBIDDEN, PUBLISHES, RATE, ROUTES, Core, Message, Peer, Side, mark_dirty, monotonic
from .granted cimport allows
from .rate cimport allows_one, take_one
from .requests cimport is_request, tell_request
from .route cimport add_envelope
from .sending cimport drop_message, give_groups, move_message
from .shedding cimport keep_to_budget
from .subscribing cimport sweep, take_subscription
from .topics cimport deepest
from .unsealing cimport make_raw_room, open_some, raw_size, settle_raw
from .writing cimport MOST_PONGS, MSG_DONTWAIT, add_control, end_peer, recv, write_dirty

# `geventrelay.switch.contract.Progress`
cdef enum:
    NOT_READY = 0
    NO_ROOM = 1
    TURN_OVER = 2
    ENDED = 3
    OVER_RATE = 4

cdef enum:
    # After so much in queues it is written, and the clock is looked at.
    SLICE_BYTES = 4194304
    SLICE_MESSAGES = 1000
    # Of subscriptions of connections that have ended, a turn.
    MOST_SWEPT = 500
    # A turn goes on for a first message, but not for one that is larger.
    MOST_UNHANDLED_BYTES = 1048576


# What `move_some` says besides a `Progress`: all that is there is moved.
cdef enum:
    ALL_MOVED = -1


cdef inline int read_peer(Peer *peer, double until) noexcept nogil:
    cdef Core *core = peer.core
    cdef int progress = ALL_MOVED
    cdef unsigned long long heard = peer.heard
    cdef unsigned long long handled = peer.handled
    if has_gone(peer):
        return ENDED
    sweep(core, MOST_SWEPT)
    if peer.side.way != NULL:
        peer.side.way.reads += 1
    core.now = monotonic()
    while progress == ALL_MOVED and not peer.over:
        progress = move_some(peer)
        if peer.side.way != NULL:
            give_groups(peer.side.way)
        write_dirty(core, until)
        peer.incoming.unfinished = progress == ALL_MOVED
        keep_to_budget(core.heap.account)
        if progress == NO_ROOM or progress == OVER_RATE or has_gone(peer):
            break
        if peer.handled != handled or peer.heard - heard > MOST_UNHANDLED_BYTES:
            core.now = monotonic()
            if core.now >= until:
                progress = TURN_OVER
                break
        if progress == ALL_MOVED:
            progress = receive(peer)
        elif progress == TURN_OVER:
            progress = ALL_MOVED
    if not settle(&peer.incoming, &core.heap) or (peer.curve != NULL and not settle_raw(peer)):
        end_peer(peer, NO_MEMORY, 0)
    compact(core)
    return ENDED if has_gone(peer) else progress


cdef inline bint has_gone(const Peer *peer) noexcept nogil:
    # Whether its connection has ended; who was told of a request may have detached it, too.
    return peer.over or peer.fd < 0


cdef inline int move_some(Peer *peer) noexcept nogil:
    # Moves what has come until it is time to write: ALL_MOVED, TURN_OVER, NO_ROOM, OVER_RATE or ENDED.
    cdef Incoming *incoming = &peer.incoming
    cdef Event event
    cdef unsigned long long last = peer.handled + SLICE_MESSAGES
    while peer.core.queued < SLICE_BYTES and peer.handled < last:
        event = next_event(incoming, &peer.side.limits)
        if event == NOTHING:
            return ALL_MOVED
        if event == MESSAGE:
            event = take_message(peer)
            if event == WAITS:
                return why_message_waits(peer)
            next_message(incoming)
        elif event == A_COMMAND:
            event = take_command(peer)
            if event == WAITS:
                put_command_back(incoming)
                return NO_ROOM
        if event != NOTHING:
            end_peer(peer, event, 0)
            return ENDED
        peer.handled += 1
    return TURN_OVER


cdef inline Event take_message(Peer *peer) noexcept nogil:
    # NOTHING, or what is wrong with the message in hand; WAITS if there is no room for it.
    cdef Incoming *incoming = &peer.incoming
    cdef Side *side = peer.side
    cdef Message message
    cdef Event event
    if side.kind == PUBLISHES and is_subscription(incoming):
        return take_subscription(peer, first_part(incoming)[0], first_part(incoming) + 1, incoming.first_size - 1)
    if is_wanted(peer, incoming):
        message = message_of(incoming)
        event = take_wanted(peer, &message) if peer.rate == NULL else take_rated(peer, &message)
        if event != NOTHING:
            return event
    elif is_request(side):
        # What is called may have the peer go, with its counts.
        count_received(peer)
        tell_request(peer)
        return NOTHING
    count_received(peer)
    return NOTHING


cdef inline void count_received(Peer *peer) noexcept nogil:
    # Of the message in hand.
    if peer.unanswered:
        peer.unanswered -= 1
    peer.received += 1
    peer.received_bytes += peer.incoming.body


cdef inline Event take_wanted(Peer *peer, Message *message) noexcept nogil:
    # The same for a message that goes somewhere, if its sender may send it.
    cdef bint moved
    if peer.sends.limited and not allows(&peer.sends, first_part(&peer.incoming), peer.incoming.first_size):
        drop_message(peer.side.way, message, FORBIDDEN)
        peer.forbidden += 1
        return NOTHING
    if peer.side.kind != ROUTES:
        return NOTHING if move_message(peer.core, peer.side.way, message) else WAITS
    if not add_envelope(peer.core, peer, message):
        return NO_MEMORY
    moved = move_message(peer.core, peer.side.way, message)
    let_go(&peer.core.heap, message.block)
    return NOTHING if moved else WAITS


cdef inline Event take_rated(Peer *peer, Message *message) noexcept nogil:
    # The same, if its sender's rate allows it.
    cdef size_t body = message.body
    cdef Event event
    if is_over_rate(peer):
        if not peer.rate.drops:
            return WAITS
        drop_message(peer.side.way, message, RATE)
        peer.over_rate += 1
        return NOTHING
    event = take_wanted(peer, message)
    if event == NOTHING:
        take_one(peer.rate, body)
    return event


cdef inline bint is_over_rate(Peer *peer) noexcept nogil:
    return peer.rate != NULL and not peer.side.way.over and not allows_one(peer.rate, peer.core.now)


cdef inline int why_message_waits(Peer *peer) noexcept nogil:
    # One that is wanted, or a subscription.
    if peer.side.way == NULL or not is_over_rate(peer):
        return NO_ROOM
    peer.side.way.rate_waits += 1
    return OVER_RATE


cdef inline Message message_of(Incoming *incoming) noexcept nogil:
    # The message in hand.
    cdef Message message
    message.block = incoming.block
    message.at = incoming.start
    message.size = incoming.size
    message.body = <size_t>incoming.body
    message.parts = incoming.parts
    return message


cdef inline bint is_wanted(Peer *peer, Incoming *incoming) noexcept nogil:
    # Whether a message goes anywhere. A PUB takes none, a SUB what it has asked for, a ROUTER those of peers that it knows.
    cdef Side *side = peer.side
    if side.way == NULL:
        return False
    if side.kind == PUBLISHES:
        return side.tells
    if side.kind == ROUTES:
        return peer.routing_id_size > 0
    return side.wants == NULL or deepest(&side.topics, first_part(incoming), incoming.first_size) != NULL


cdef inline int receive(Peer *peer) noexcept nogil:
    # ALL_MOVED if something has come, for what there was is moved; else NOT_READY or ENDED.
    cdef Core *core = peer.core
    cdef Incoming *incoming = &peer.incoming
    cdef size_t room
    cdef Py_ssize_t size
    if peer.curve != NULL:
        return receive_sealed(peer)
    room = make_room(incoming, &core.heap)
    if not room:
        end_peer(peer, NO_MEMORY, 0)
        return ENDED
    while True:
        size = recv(peer.fd, data_of(incoming.block) + incoming.end, room, MSG_DONTWAIT)
        if size >= 0 or errno != EINTR:
            break
    if size > 0:
        peer.heard += size
        incoming.end += size
        if incoming.block == core.heap.current:
            core.heap.at = incoming.end
        return ALL_MOVED
    return has_ended(peer, size)


cdef inline int receive_sealed(Peer *peer) noexcept nogil:
    # The same for a peer of CURVE: what is there is opened before more is read.
    cdef Curve *curve = peer.curve
    cdef Event event = open_some(peer)
    cdef size_t room
    cdef Py_ssize_t size
    if event == MESSAGE:
        return ALL_MOVED
    room = make_raw_room(peer) if event == NOTHING else 0
    if not room:
        end_peer(peer, NO_MEMORY if event == NOTHING else event, 0)
        return ENDED
    while True:
        size = recv(peer.fd, curve.raw + curve.raw_end, room, MSG_DONTWAIT)
        if size >= 0 or errno != EINTR:
            break
    if size > 0:
        peer.heard += size
        curve.raw_end += size
        return ALL_MOVED
    return has_ended(peer, size)


cdef inline int has_ended(Peer *peer, Py_ssize_t size) noexcept nogil:
    # What a read means that has given nothing.
    if size < 0:
        if errno == EAGAIN:
            return NOT_READY
        end_peer(peer, NOTHING, errno)
    else:
        end_peer(peer, NOTHING if is_between_messages(&peer.incoming) and not raw_size(peer) else CUT, 0)
    return ENDED


# What a peer says -----------------------------------------------------------------------------------------------

cdef inline bint is_subscription(Incoming *incoming) noexcept nogil:
    # Before ZMTP 3.1 it is a message; libzmq takes it of all.
    return incoming.parts == 1 and incoming.first_size > 0 and first_part(incoming)[0] <= 1


cdef inline Event take_command(Peer *peer) noexcept nogil:
    # Does what the last command says; NOTHING, or what is wrong with it. Commands that are not known mean nothing.
    cdef const unsigned char *body = data_of(peer.incoming.block) + peer.incoming.command
    cdef size_t size = peer.incoming.command_size
    if not peer.has_commands:
        return BAD_COMMAND
    if not size or not body[0] or size <= body[0]:
        return BAD_COMMAND
    if body[0] == 4 and not memcmp(body + 1, <const char *>b"PING", 4):
        return answer_ping(peer, body + 5, size - 5)
    if peer.side.kind == PUBLISHES:
        if body[0] == 9 and not memcmp(body + 1, <const char *>b"SUBSCRIBE", 9):
            return take_subscription(peer, True, body + 10, size - 10)
        if body[0] == 6 and not memcmp(body + 1, <const char *>b"CANCEL", 6):
            return take_subscription(peer, False, body + 7, size - 7)
    return NOTHING


cdef inline Event answer_ping(Peer *peer, const unsigned char *data, size_t size) noexcept nogil:
    # See `geventrelay.zmtp.commands.parse_ping`.
    cdef unsigned char pong[32]
    cdef size_t context
    if size < 2:
        return BAD_PING
    if data[0] or data[1]:
        tell_ping(peer, data[0] << 8 | data[1])
    if peer.control.size > MOST_PONGS:
        return NOTHING
    context = min(size - 2, <size_t>16)
    memcpy(pong, <const char *>b"\x04\x00\x04PONG", 7)
    pong[1] = 5 + context
    memcpy(pong + 7, data + 2, context)
    mark_dirty(peer)
    return NOTHING if add_control(peer, pong, 7 + context) else NO_MEMORY


cdef inline void tell_ping(Peer *peer, int ttl_ds) noexcept with gil:
    # It has a time to live.
    on_ping = (<object>peer.owner).on_ping
    if on_ping is not None:
        on_ping(ttl_ds)
