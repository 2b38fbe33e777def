# An outlet's side of a burst: what of the message in hand goes there, how it is sent, and what is counted. Without the
# GIL. burst.pyx sets lanes up and adds their counts to the outlets'.

from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EHOSTUNREACH, ENOMEM
from libc.string cimport memcpy, memset

from .libzmq cimport (
    EFSM, EVENTS, getsockopt, is_not_now, msg_close, msg_copy, msg_data, msg_init, msg_init_size, msg_size, send_part,
    zmq_msg_t
)
from .message cimport Message, cut_payload, up_to_space, up_to_topic

# `geventrelay.terms.Payload`
cdef enum:
    WHOLE
    AUTO
    SPACE
    PARTS
    SWAP


cdef struct Lane:
    void *socket
    int payload
    Py_ssize_t least_parts
    # Of an XSUB, the longest topic that it is asked for; -1 for others.
    long long longest_topic
    # A `geventrelay.engine.subscriptions.Topics` of an XSUB whose source repeats subscriptions; NULL for others.
    PyObject *topics
    # How many messages the socket may be given, counted down; NULL for as many as it takes.
    long long *permits
    # Whether only requests take one, see `geventrelay.engine.gate.Gate`.
    bint of_requests
    # Whether one of these two is there.
    bint special
    # What gets messages that the socket does not take; NULL for none. Of this one, the socket and its permits count.
    Lane *otherwise
    bint routes
    bint drops
    # See `geventrelay.engine.outlet.Outlet`.
    bint ends_out_of_turn
    # After how many messages to read EVENTS, 0 for never, and how many there were since.
    long long events_interval
    long long since_events
    bint load_balanced
    bint keeps_until_sent
    # A part to put before each message, if `prefixed` is 1 and not 0.
    Py_ssize_t prefixed
    zmq_msg_t prefix
    # What has been done since it was last added to the outlet's counters.
    long long sent
    long long sent_parts
    long long sent_bytes
    long long malformed
    long long topic_too_long
    long long unroutable
    long long refused
    # Given to the other lane.
    long long elsewhere
    # Of these and the sent ones, those that went whole because what stands before their first space is no topic.
    long long uncut


# What a lane sends of the message in hand.
cdef struct Cut:
    # The first part taken, and how many parts are sent: those from there on, and the prefix before them.
    Py_ssize_t first
    Py_ssize_t count
    # Bytes left away from the front of the first part: up to and with the space.
    size_t skipped
    bint swapped
    # There is a space, and what stands before it is no topic.
    bint uncut
    # All bytes that are sent.
    long long size


cdef inline int offer(Lane *lane, Message *message, bint keep) noexcept nogil:
    # Sends or drops the message in hand and counts it; the originals stay if `keep` is set. Returns 0 once that is done,
    # else an errno: EAGAIN or EFSM if the message has to wait.
    cdef int error, other_error
    cdef Cut cut = cut_for(lane, message)
    if cut.count < lane.least_parts:
        lane.malformed += 1
        return 0
    if lane.longest_topic >= 0 and has_longer_topic(lane, message, &cut):
        lane.topic_too_long += 1
        return 0
    if lane.special:
        error = send_specially(lane, message, &cut, keep)
    else:
        error = send_parts(lane, message, &cut, keep)
    if error == 0:
        lane.sent += 1
        lane.sent_parts += cut.count
        lane.sent_bytes += cut.size
        lane.uncut += cut.uncut
        if lane.events_interval:
            process_events(lane)
        return 0
    # Where a ROUTER has the peer, no other socket has.
    if lane.otherwise != NULL and (error == EHOSTUNREACH or (has_to_wait(lane, error) and not lane.routes)):
        other_error = send_elsewhere(lane.otherwise, message, &cut, keep)
        if other_error == 0:
            lane.elsewhere += 1
            lane.uncut += cut.uncut
            return 0
        if other_error != EHOSTUNREACH and not has_to_wait(lane.otherwise, other_error):
            return other_error
    if has_to_wait(lane, error):
        if not lane.drops:
            return error
        lane.refused += 1
        return 0
    if error == EHOSTUNREACH:
        lane.unroutable += 1
        return 0
    return error


cdef inline bint has_to_wait(const Lane *lane, int error) noexcept nogil:
    # Whether the lane's socket may take later what it has refused with this error.
    return is_not_now(error) and not (lane.ends_out_of_turn and error == EFSM)


cdef inline bint has_longer_topic(Lane *lane, Message *message, const Cut *cut) noexcept nogil:
    # See `geventrelay.engine.subscriptions.has_longer_topic`.
    cdef Py_ssize_t index
    cdef zmq_msg_t *part
    cdef size_t skipped
    for index in range(cut.count):
        part = part_of(lane, message, cut, index)
        skipped = cut.skipped if index == lane.prefixed else 0
        if msg_size(part) > <size_t>lane.longest_topic + 1 + skipped and (<unsigned char *>msg_data(part))[skipped] <= 1:
            return True
    return False


cdef inline void process_events(Lane *lane) noexcept nogil:
    # Now and then, has the lane's socket take in what its peers report of the room that they have.
    cdef int events
    cdef size_t size = sizeof(events)
    lane.since_events += 1
    if lane.since_events >= lane.events_interval:
        lane.since_events = 0
        # A failure shows in the next send.
        getsockopt(lane.socket, EVENTS, &events, &size)


cdef inline Cut cut_for(const Lane *lane, Message *message) noexcept nogil:
    cdef Cut cut
    cdef bint several = message.count > 1
    memset(&cut, 0, sizeof(cut))
    cut.count = message.count
    cut.size = message.nbytes
    if lane.payload == SWAP:
        cut.swapped = several
    elif lane.payload == SPACE:
        cut.skipped = up_to_space(&message.parts[0])
        cut.size -= cut.skipped
    elif lane.payload == AUTO and not several:
        cut.skipped = up_to_topic(&message.parts[0])
        cut.uncut = not cut.skipped and up_to_space(&message.parts[0])
        cut.size -= cut.skipped
    elif lane.payload != WHOLE and several:
        cut.first = 1
        cut.count -= 1
        cut.size -= msg_size(&message.parts[0])
    if lane.prefixed:
        cut.count += 1
        cut.size += msg_size(&lane.prefix)
    return cut


cdef inline int send_parts(Lane *lane, Message *message, const Cut *cut, bint keep) noexcept nogil:
    # Sends what is cut of the message in hand; the originals stay if `keep` is set. Returns an errno or 0.
    cdef Py_ssize_t index, last = cut.count - 1
    cdef zmq_msg_t *part
    cdef zmq_msg_t stand_in
    cdef int error
    for index in range(cut.count):
        part = part_of(lane, message, cut, index)
        if cut.skipped and index == lane.prefixed:
            error = cut_payload(&stand_in, part, cut.skipped)
            if error:
                return error
            part = &stand_in
        elif keep or index < lane.prefixed or (lane.keeps_until_sent and index < last):
            msg_init(&stand_in)
            msg_copy(&stand_in, part)
            part = &stand_in
        error = send_part(lane.socket, part, index < last)
        if error:
            if part == &stand_in:
                msg_close(part)
            if error == EAGAIN and 0 < index < last and lane.load_balanced:
                return end_broken_message(lane, message, cut, index + 1)
            return error
    return 0


cdef inline int send_specially(Lane *lane, Message *message, const Cut *cut, bint keep) noexcept nogil:
    # As `send_parts`, where a gate or a source that repeats subscriptions has a say.
    cdef int error
    cdef bint is_request = True
    if lane.permits != NULL:
        if lane.permits[0] <= 0:
            return EAGAIN
        if lane.of_requests:
            # Now: what is sent is here no more.
            is_request = has_empty_part(lane, message, cut)
    if lane.topics != NULL and cut.count == 1:
        error = send_as_set(lane, message, cut, keep)
    else:
        error = send_parts(lane, message, cut, keep)
    if error == 0 and lane.permits != NULL and is_request:
        lane.permits[0] -= 1
    return error


cdef inline bint has_empty_part(Lane *lane, Message *message, const Cut *cut) noexcept nogil:
    # Besides the last one: see `geventrelay.engine.gate.is_request`.
    cdef Py_ssize_t index
    for index in range(cut.count - 1):
        if not msg_size(part_of(lane, message, cut, index)):
            return True
    return False


cdef inline int send_elsewhere(Lane *lane, Message *message, const Cut *cut, bint keep) noexcept nogil:
    # Sends by this lane what was cut for another one. Returns an errno or 0.
    if cut.count < lane.least_parts:
        return EAGAIN
    return send_specially(lane, message, cut, keep)


cdef inline int send_as_set(Lane *lane, Message *message, const Cut *cut, bint keep) noexcept nogil:
    # Sends a message of one part to an XSUB whose source repeats subscriptions, and after one that is repeated its end:
    # see `geventrelay.engine.subscriptions`. Returns an errno or 0.
    cdef zmq_msg_t *part = part_of(lane, message, cut, 0)
    cdef const char *data = <const char *>msg_data(part) + cut.skipped
    cdef size_t size = msg_size(part) - cut.skipped
    cdef zmq_msg_t end
    cdef int error
    cdef int repeated = repeats(lane, data, size)
    if repeated < 0:
        return ENOMEM
    if not repeated:
        return send_parts(lane, message, cut, keep)
    if msg_init_size(&end, size) < 0:
        return ENOMEM
    memcpy(msg_data(&end), data, size)
    (<char *>msg_data(&end))[0] = 0
    error = send_parts(lane, message, cut, keep) or send_part(lane.socket, &end, False)
    msg_close(&end)
    return error


cdef inline int repeats(Lane *lane, const char *data, size_t size) noexcept nogil:
    # Whether these bytes subscribe to a topic that is there already; -1 if there is no memory to know that.
    if not size or <unsigned char>data[0] > 1:
        return 0
    with gil:
        try:
            return (<object>lane.topics).repeats(data[:size])
        except MemoryError:
            return -1


cdef inline zmq_msg_t *part_of(Lane *lane, Message *message, const Cut *cut, Py_ssize_t index) noexcept nogil:
    if index < lane.prefixed:
        return &lane.prefix
    index -= lane.prefixed
    if cut.swapped and index < 2:
        return &message.parts[1 - index]
    return &message.parts[cut.first + index]


cdef inline int end_broken_message(Lane *lane, Message *message, const Cut *cut, Py_ssize_t index) noexcept nogil:
    # Gets a load-balancing socket whose peer died in the middle of a message ready for the next one. The socket
    # (lb_t::sendpipe in libzmq) takes the parts sent so far back, answers EAGAIN once, and then swallows what follows up
    # to a part without SNDMORE. Returns EAGAIN, or the errno with which that failed.
    cdef zmq_msg_t copy
    cdef int error
    while index < cut.count:
        msg_init(&copy)
        msg_copy(&copy, part_of(lane, message, cut, index))
        error = send_part(lane.socket, &copy, index + 1 < cut.count)
        if error:
            msg_close(&copy)
            return error
        index += 1
    return EAGAIN
