# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The native burst: libzmq is called through function pointers, with the GIL released and no object per message.

`geventrelay.engine.burst` has the contract, `geventrelay.engine.burst_python` the same in Python, function by
function; a difference in what the two do is a bug (tests/wire/test_bursts_agree.py).

    source --zmq_msg_recv--> parts[0..count) --offer--> lane 1 --zmq_msg_send--> destination 1
                                             --offer--> lane 2 --zmq_msg_send--> destination 2

A lane that is not the last sends copies, which take a reference to a large body; the last one sends the
originals and so leaves nothing behind.

Nothing is included from libzmq and nothing linked: `geventrelay.engine.native.addresses` says where the functions are.
Importing this module raises ImportError where they cannot be had.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcpy, memset

import errno
import inspect

import zmq

from .addresses import function_addresses
from ..counters import Drop, OutletCounters, PumpCounters
from ...terms import Payload, WhenFull
from ..burst import Status


# libzmq ------------------------------------------------------------------------------------------------------

# libzmq's zmq.h promises 64 bytes, aligned like a pointer (8), and nothing about what is in them. Messages may be
# moved about in memory: libzmq's own queues copy them bytewise.
cdef struct zmq_msg_t:
    uint64_t opaque[8]

ctypedef void (*free_fn)(void *data, void *hint) noexcept nogil

cdef:
    int (*msg_init)(zmq_msg_t *) noexcept nogil
    int (*msg_init_size)(zmq_msg_t *, size_t) noexcept nogil
    int (*msg_init_data)(zmq_msg_t *, void *, size_t, free_fn, void *) noexcept nogil
    int (*msg_recv)(zmq_msg_t *, void *, int) noexcept nogil
    int (*msg_send)(zmq_msg_t *, void *, int) noexcept nogil
    int (*msg_copy)(zmq_msg_t *, zmq_msg_t *) noexcept nogil
    int (*msg_close)(zmq_msg_t *) noexcept nogil
    int (*msg_more)(const zmq_msg_t *) noexcept nogil
    void *(*msg_data)(zmq_msg_t *) noexcept nogil
    size_t (*msg_size)(const zmq_msg_t *) noexcept nogil
    int (*getsockopt)(void *, int, void *, size_t *) noexcept nogil
    int (*last_error)() noexcept nogil


cdef int connect_libzmq() except -1:
    global msg_init, msg_init_size, msg_init_data, msg_recv, msg_send, msg_copy, msg_close, msg_more, msg_data
    global msg_size, getsockopt, last_error
    cdef dict at = function_addresses((
        "zmq_msg_init", "zmq_msg_init_size", "zmq_msg_init_data", "zmq_msg_recv", "zmq_msg_send", "zmq_msg_copy",
        "zmq_msg_close", "zmq_msg_more", "zmq_msg_data", "zmq_msg_size", "zmq_getsockopt", "zmq_errno",
    ))
    msg_init = <int (*)(zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_init"]
    msg_init_size = <int (*)(zmq_msg_t *, size_t) noexcept nogil><size_t>at["zmq_msg_init_size"]
    msg_init_data = (
        <int (*)(zmq_msg_t *, void *, size_t, free_fn, void *) noexcept nogil><size_t>at["zmq_msg_init_data"]
    )
    msg_recv = <int (*)(zmq_msg_t *, void *, int) noexcept nogil><size_t>at["zmq_msg_recv"]
    msg_send = <int (*)(zmq_msg_t *, void *, int) noexcept nogil><size_t>at["zmq_msg_send"]
    msg_copy = <int (*)(zmq_msg_t *, zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_copy"]
    msg_close = <int (*)(zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_close"]
    msg_more = <int (*)(const zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_more"]
    msg_data = <void *(*)(zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_data"]
    msg_size = <size_t (*)(const zmq_msg_t *) noexcept nogil><size_t>at["zmq_msg_size"]
    getsockopt = <int (*)(void *, int, void *, size_t *) noexcept nogil><size_t>at["zmq_getsockopt"]
    last_error = <int (*)() noexcept nogil><size_t>at["zmq_errno"]
    return 0


connect_libzmq()

cdef int DONTWAIT = zmq.DONTWAIT
cdef int DONTWAIT_SNDMORE = zmq.DONTWAIT | zmq.SNDMORE
cdef int EAGAIN = zmq.EAGAIN
cdef int EFSM = zmq.EFSM
cdef int EHOSTUNREACH = zmq.EHOSTUNREACH
cdef int EINTR = errno.EINTR
cdef int ENOMEM = errno.ENOMEM
cdef int ETERM = zmq.ETERM
cdef int EVENTS = zmq.EVENTS


cdef extern from "Python.h":
    ctypedef object (*descrgetfunc)(object, object, object)
    ctypedef struct PyTypeObject:
        descrgetfunc tp_descr_get

# pyzmq's property, and what reads it: to look it up each time, past the hook for unknown attributes, takes five times as
# long.
cdef object UNDERLYING = inspect.getattr_static(zmq.Socket, "underlying")
cdef type PROPERTY = type(UNDERLYING)
cdef descrgetfunc read_underlying = (<PyTypeObject *>PROPERTY).tp_descr_get


cdef void *handle_of(socket) except? NULL:
    """libzmq's handle of a socket; NULL of a closed one, for pyzmq forgets it at once.

    libzmq answers ENOTSOCK to NULL, so a closed socket fails just where it is used, and freed memory is never looked at.
    """
    return <void *><size_t>read_underlying(UNDERLYING, socket, None)


def events(socket):
    """The socket's EVENTS, as ``zmq.Socket.get(zmq.EVENTS)`` has them, for a tenth of the time. Does not yield.

    :param socket: the `zmq.Socket` to ask. Raises `zmq.ZMQError` as that does.
    """
    cdef int value = 0
    cdef size_t size = sizeof(value)
    if getsockopt(handle_of(socket), EVENTS, &value, &size) < 0:
        raise zmq.ContextTerminated() if last_error() == ETERM else zmq.ZMQError(last_error())
    return value


# Lanes -------------------------------------------------------------------------------------------------------

cdef enum:
    WHOLE
    AUTO
    SPACE
    PARTS
    SWAP

cdef dict PAYLOADS = {
    Payload.WHOLE: WHOLE, Payload.AUTO: AUTO, Payload.SPACE: SPACE, Payload.PARTS: PARTS, Payload.SWAP: SWAP
}

cdef tuple LOAD_BALANCED = (zmq.PUSH, zmq.DEALER)

# These either refuse the first part or take the whole message. The others may refuse a later part, when the peer
# goes in the middle of a message, and it then has to be offered again whole.
cdef tuple NEVER_REFUSE_LATER_PARTS = (zmq.ROUTER, zmq.PUB, zmq.XPUB, zmq.XSUB)


cdef struct Lane:
    void *socket
    int take
    Py_ssize_t least_parts
    bint drops
    # After how many messages to read EVENTS, 0 for never, and how many there were since.
    long long events_interval
    long long unlooked
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
    long long unroutable
    long long refused


# What a lane sends of the message in hand.
cdef struct Cut:
    # The first part taken, and how many parts are sent: those from there on, and the prefix before them.
    Py_ssize_t first
    Py_ssize_t count
    # Bytes left away from the front of the first part: up to and with the space.
    size_t skipped
    bint swapped
    # All bytes that are sent.
    long long size


cdef bint is_not_now(int error) noexcept nogil:
    # EFSM: a REQ or REP whose turn it is not; it becomes readable or writable when its turn comes.
    return error == EAGAIN or error == EFSM


# Payloads ----------------------------------------------------------------------------------------------------

# A payload of this size and more shares the body of the part that it is cut from, a smaller one is copied. Sharing
# costs two small allocations and two atomic counts whatever the size; measured from recv to close, on inproc:
#
#     payload in bytes     1024   4096   6000   8192   16384   65536   262144
#     shared, in ns         215    227    231    236     254     262     1850
#     copied, in ns         160    201    232    273     533    1045    10300
#
# They meet at 6000. Up to 8192 bytes a part read from tcp lies in libzmq's receive buffer with its neighbours, and
# sharing it would keep all of that alive; above, its body is its own.
cdef size_t SHARE_FROM_BYTES = 8192


cdef void let_go(void *data, void *hint) noexcept nogil:
    # Called by whichever thread sends the last of the payload: no Python here.
    msg_close(<zmq_msg_t *>hint)
    free(hint)


cdef int share_rest(zmq_msg_t *payload, zmq_msg_t *whole, size_t skipped) noexcept nogil:
    cdef zmq_msg_t *reference = <zmq_msg_t *>malloc(sizeof(zmq_msg_t))
    if reference == NULL:
        return -1
    msg_init(reference)
    msg_copy(reference, whole)
    if msg_init_data(
        payload, <char *>msg_data(reference) + skipped, msg_size(whole) - skipped, let_go, reference
    ) < 0:
        let_go(NULL, reference)
        return -1
    return 0


cdef int copy_rest(zmq_msg_t *payload, zmq_msg_t *whole, size_t skipped) noexcept nogil:
    cdef size_t size = msg_size(whole) - skipped
    if msg_init_size(payload, size) < 0:
        return -1
    memcpy(msg_data(payload), <char *>msg_data(whole) + skipped, size)
    return 0


cdef int cut_payload(zmq_msg_t *payload, zmq_msg_t *whole, size_t skipped) noexcept nogil:
    if msg_size(whole) - skipped >= SHARE_FROM_BYTES:
        return share_rest(payload, whole, skipped)
    return copy_rest(payload, whole, skipped)


cdef size_t up_to_space(zmq_msg_t *part) noexcept nogil:
    cdef char *start = <char *>msg_data(part)
    cdef char *space = <char *>memchr(start, 32, msg_size(part))
    return 0 if space == NULL else <size_t>(space - start) + 1


# The burst ---------------------------------------------------------------------------------------------------

cdef tuple STATUSES = tuple(Status(value) for value in range(len(Status)))
cdef int SOURCE_EMPTY = Status.SOURCE_EMPTY
cdef int OUTLET_FULL = Status.OUTLET_FULL
cdef int BUDGET_SPENT = Status.BUDGET_SPENT

cdef enum:
    FAILED = -1
    NO = 0
    YES = 1

# Room for the parts of one message. It grows as needed and is kept from run to run, up to the larger number.
cdef Py_ssize_t FEW_PARTS = 8
cdef Py_ssize_t MANY_PARTS = 1024


@cython.final
cdef class NativeBurst:
    """`geventrelay.engine.burst.Burst` in C: releases the GIL while it runs.

    The sockets must not be used by other threads meanwhile, as always in ZeroMQ.

    :param source: the socket to read; its one reader is this burst's pump.
    :param outlets: where each message goes, in this order.
    """

    cdef readonly object waiting_for

    cdef object totals
    cdef object source
    cdef tuple outlets
    cdef tuple destinations
    cdef tuple outlet_counters
    cdef object tap
    cdef object raised_by_signal

    cdef void *source_handle
    # One lane per outlet, and after them the tap's.
    cdef Lane *lanes
    cdef Py_ssize_t lane_count

    # The message in hand: parts[0..count). Every element up to `room` is an initialised message.
    cdef zmq_msg_t *parts
    cdef Py_ssize_t room
    cdef Py_ssize_t count
    cdef long long message_bytes
    # The lane that has yet to take it; -1 with no message in hand.
    cdef Py_ssize_t at

    # What has been done since it was last added to the counters, and the errno that ended the last run.
    cdef long long bursts
    cdef long long received
    cdef long long received_parts
    cdef long long received_bytes
    cdef int error

    def __cinit__(self, source, outlets):
        self.at = -1
        self.source = source.raw
        self.outlets = tuple(outlets)
        self.destinations = tuple([outlet.socket.raw for outlet in self.outlets])
        self.lane_count = len(self.outlets)
        self.outlet_counters = tuple([OutletCounters() for _ in self.outlets])
        self.totals = PumpCounters(self.outlet_counters)
        self.lanes = <Lane *>calloc(self.lane_count + 1, sizeof(Lane))
        if self.lanes == NULL or not self.has_room(FEW_PARTS):
            raise MemoryError
        for index, outlet in enumerate(self.outlets):
            self.set_up(&self.lanes[<Py_ssize_t>index], outlet)
        msg_init(&self.lanes[self.lane_count].prefix)

    cdef int set_up(self, Lane *lane, outlet) except -1:
        cdef bytes prefix
        socket_type = outlet.socket.raw.type
        msg_init(&lane.prefix)
        if outlet.prefix is not None:
            lane.prefixed = 1
            prefix = bytes(outlet.prefix)
            if msg_init_size(&lane.prefix, len(prefix)) < 0:
                msg_init(&lane.prefix)
                raise MemoryError
            memcpy(msg_data(&lane.prefix), <const char *>prefix, len(prefix))
        lane.take = PAYLOADS[outlet.payload]
        lane.least_parts = outlet.least_parts
        lane.drops = outlet.when_full is WhenFull.DROP
        lane.events_interval = outlet.events_interval
        lane.load_balanced = socket_type in LOAD_BALANCED
        lane.keeps_until_sent = not lane.drops and socket_type not in NEVER_REFUSE_LATER_PARTS
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t index
        if self.parts != NULL:
            for index in range(self.room):
                msg_close(&self.parts[index])
            free(self.parts)
        if self.lanes != NULL:
            for index in range(self.lane_count + 1):
                msg_close(&self.lanes[index].prefix)
            free(self.lanes)

    def set_tap(self, outlet):
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield."""
        msg_close(&self.lanes[self.lane_count].prefix)
        memset(&self.lanes[self.lane_count], 0, sizeof(Lane))
        self.tap = None
        msg_init(&self.lanes[self.lane_count].prefix)
        if outlet is not None:
            self.set_up(&self.lanes[self.lane_count], outlet)
            self.tap = outlet.socket.raw

    @property
    def counters(self):
        """What it has done so far."""
        # Only now, since nobody needs the sums between two runs, which may be as short as one message.
        self.add_up()
        return self.totals

    def run(self, Py_ssize_t messages, long long limit_bytes):
        """Move up to `messages` messages, or the one with which `limit_bytes` is reached. Does not yield."""
        cdef int outcome
        self.look_up_handles()
        self.bursts += 1
        with nogil:
            outcome = self.move(messages, limit_bytes)
        self.waiting_for = None if self.at < 0 else self.at
        failure = self.add_up_drops()
        if outcome == FAILED:
            raise self.failure()
        if failure is not None:
            raise failure
        return STATUSES[outcome]

    # With the GIL ------------------------------------------------------------------------------------------

    cdef int look_up_handles(self) except -1:
        cdef Py_ssize_t index
        self.source_handle = handle_of(self.source)
        for index in range(self.lane_count):
            self.lanes[index].socket = handle_of(self.destinations[index])
        if self.tap is not None:
            self.lanes[self.lane_count].socket = handle_of(self.tap)
        return 0

    cdef int add_up(self) except -1:
        """Add what has been done since the last time to the counters."""
        cdef Py_ssize_t index
        cdef Lane *lane
        totals = self.totals
        totals.bursts += self.bursts
        totals.received += self.received
        totals.received_parts += self.received_parts
        totals.received_bytes += self.received_bytes
        self.bursts = self.received = self.received_parts = self.received_bytes = 0
        for index in range(self.lane_count):
            lane = &self.lanes[index]
            outlet = self.outlet_counters[index]
            outlet.sent += lane.sent
            outlet.sent_parts += lane.sent_parts
            outlet.sent_bytes += lane.sent_bytes
            lane.sent = lane.sent_parts = lane.sent_bytes = 0
        return 0

    cdef object add_up_drops(self):
        """Count this run's drops; return the exception met when asking for the reason of a refusal."""
        cdef Py_ssize_t index
        cdef Lane *lane
        failure = None
        for index in range(self.lane_count):
            lane = &self.lanes[index]
            if lane.malformed:
                self.outlet_counters[index].drop(Drop.MALFORMED, lane.malformed)
            if lane.unroutable:
                self.outlet_counters[index].drop(Drop.UNROUTABLE, lane.unroutable)
            if lane.refused:
                failure = self.add_up_refused(index) or failure
            lane.malformed = lane.unroutable = lane.refused = 0
        return failure

    cdef object add_up_refused(self, Py_ssize_t index):
        # One question for all refusals of a run: a flood of drops must not call Python for each.
        failure = None
        try:
            reason = self.outlets[index].drop_reason()
        except zmq.ZMQError as error:
            # Dropped they are, even though nobody can tell why any more.
            reason, failure = Drop.NOT_READY, error
        self.outlet_counters[index].drop(reason, self.lanes[index].refused)
        return failure

    cdef object failure(self):
        if self.raised_by_signal is not None:
            raised, self.raised_by_signal = self.raised_by_signal, None
            return raised
        if self.error == EAGAIN:
            return zmq.Again()
        if self.error == ETERM:
            return zmq.ContextTerminated()
        return zmq.ZMQError(self.error)

    # Without the GIL ---------------------------------------------------------------------------------------

    cdef int move(self, Py_ssize_t messages, long long limit_bytes) noexcept nogil:
        cdef int outcome
        cdef long long last = self.received + messages, enough = self.received_bytes + limit_bytes
        if self.at >= 0:
            outcome = self.deliver()
            if outcome != YES:
                return OUTLET_FULL if outcome == NO else FAILED
        while self.received < last and self.received_bytes < enough:
            outcome = self.receive()
            if outcome != YES:
                return SOURCE_EMPTY if outcome == NO else FAILED
            if self.lanes[self.lane_count].socket != NULL:
                # Whatever becomes of the copy: a watcher is never to be felt.
                self.offer(&self.lanes[self.lane_count], True)
            self.at = 0
            outcome = self.deliver()
            if outcome != YES:
                return OUTLET_FULL if outcome == NO else FAILED
        return BUDGET_SPENT

    cdef int receive(self) noexcept nogil:
        """Read one message into `parts`; NO if there is none."""
        cdef long long size = self.receive_part(&self.parts[0])
        if size < 0:
            return NO if is_not_now(self.error) else FAILED
        self.count = 1
        self.message_bytes = size
        if msg_more(&self.parts[0]) and not self.receive_the_rest():
            # Counted only once it is complete: what there is of it goes nowhere.
            self.let_go_of_parts()
            return FAILED
        self.received += 1
        self.received_parts += self.count
        self.received_bytes += self.message_bytes
        return YES

    cdef bint receive_the_rest(self) noexcept nogil:
        # libzmq hands over messages whole: once the first part is there, no later one can be missing.
        cdef long long size
        while msg_more(&self.parts[self.count - 1]):
            if self.count == self.room and not self.has_room(self.room * 2):
                self.error = ENOMEM
                return False
            size = self.receive_part(&self.parts[self.count])
            if size < 0:
                return False
            self.count += 1
            self.message_bytes += size
        return True

    cdef long long receive_part(self, zmq_msg_t *part) noexcept nogil:
        """Read one part and return its size; -1 with `error` set if that fails."""
        cdef int size
        while True:
            size = msg_recv(part, self.source_handle, DONTWAIT)
            if size >= 0:
                # What libzmq returns ends at INT_MAX; parts do not.
                return size if size < INT_MAX else <long long>msg_size(part)
            self.error = last_error()
            if self.error != EINTR or not self.may_retry():
                return -1

    cdef int deliver(self) noexcept nogil:
        """Offer the message in hand to the lanes from `at` on; NO if one of them makes it wait."""
        cdef int taken
        # `at` is set before the offer: a message whose sending fails is still in hand, and so accounted for.
        while self.at < self.lane_count:
            taken = self.offer(&self.lanes[self.at], self.at + 1 < self.lane_count)
            if taken != YES:
                return taken
            self.at += 1
        self.at = -1
        self.let_go_of_parts()
        return YES

    cdef int offer(self, Lane *lane, bint keep) noexcept nogil:
        """Send or drop the message in hand and count it; NO if it has to wait."""
        cdef int error
        cdef Cut cut = self.cut(lane)
        if cut.count < lane.least_parts:
            lane.malformed += 1
            return YES
        error = self.send_parts(lane, &cut, keep)
        if error == 0:
            lane.sent += 1
            lane.sent_parts += cut.count
            lane.sent_bytes += cut.size
            if lane.events_interval:
                self.look(lane)
            return YES
        if is_not_now(error):
            if not lane.drops:
                return NO
            lane.refused += 1
            return YES
        if error == EHOSTUNREACH:
            lane.unroutable += 1
            return YES
        self.error = error
        return FAILED

    cdef void look(self, Lane *lane) noexcept nogil:
        """Have the lane's socket take in what its peers tell of the room that they have."""
        cdef int events
        cdef size_t size = sizeof(events)
        lane.unlooked += 1
        if lane.unlooked >= lane.events_interval:
            lane.unlooked = 0
            # A failure shows in the next send.
            getsockopt(lane.socket, EVENTS, &events, &size)

    cdef Cut cut(self, const Lane *lane) noexcept nogil:
        cdef Cut cut
        cdef bint several = self.count > 1
        memset(&cut, 0, sizeof(cut))
        cut.count = self.count
        cut.size = self.message_bytes
        if lane.take == SWAP:
            cut.swapped = several
        elif lane.take == SPACE or (lane.take == AUTO and not several):
            cut.skipped = up_to_space(&self.parts[0])
            cut.size -= cut.skipped
        elif lane.take != WHOLE and several:
            cut.first = 1
            cut.count -= 1
            cut.size -= msg_size(&self.parts[0])
        if lane.prefixed:
            cut.count += 1
            cut.size += msg_size(&lane.prefix)
        return cut

    cdef int send_parts(self, Lane *lane, const Cut *cut, bint keep) noexcept nogil:
        """Send what is cut of the message in hand; the originals stay if `keep` is set. Returns an errno or 0."""
        cdef Py_ssize_t index, last = cut.count - 1
        cdef zmq_msg_t *part
        cdef zmq_msg_t stand_in
        cdef int error
        for index in range(cut.count):
            part = self.part_of(lane, cut, index)
            if cut.skipped and index == lane.prefixed:
                if cut_payload(&stand_in, part, cut.skipped) < 0:
                    return ENOMEM
                part = &stand_in
            elif keep or index < lane.prefixed or (lane.keeps_until_sent and index < last):
                msg_init(&stand_in)
                msg_copy(&stand_in, part)
                part = &stand_in
            error = self.send_part(lane.socket, part, index < last)
            if error:
                if part == &stand_in:
                    msg_close(part)
                if error == EAGAIN and 0 < index < last and lane.load_balanced:
                    return self.end_broken_message(lane, cut, index + 1)
                return error
        return 0

    cdef zmq_msg_t *part_of(self, Lane *lane, const Cut *cut, Py_ssize_t index) noexcept nogil:
        if index < lane.prefixed:
            return &lane.prefix
        index -= lane.prefixed
        if cut.swapped and index < 2:
            return &self.parts[1 - index]
        return &self.parts[cut.first + index]

    cdef int end_broken_message(self, Lane *lane, const Cut *cut, Py_ssize_t index) noexcept nogil:
        """Get a load-balancing socket whose peer died in the middle of a message ready for the next one.

        It (lb_t::sendpipe in libzmq) takes the parts sent so far back, answers EAGAIN once, and then swallows
        what follows up to a part without SNDMORE. Returns EAGAIN, or the errno with which that failed.
        """
        cdef zmq_msg_t copy
        cdef int error
        while index < cut.count:
            msg_init(&copy)
            msg_copy(&copy, self.part_of(lane, cut, index))
            error = self.send_part(lane.socket, &copy, index + 1 < cut.count)
            if error:
                msg_close(&copy)
                return error
            index += 1
        return EAGAIN

    cdef int send_part(self, void *socket, zmq_msg_t *part, bint more) noexcept nogil:
        """Send one part; libzmq leaves an empty message in its place. Returns an errno or 0."""
        cdef int error
        while True:
            if msg_send(part, socket, DONTWAIT_SNDMORE if more else DONTWAIT) >= 0:
                return 0
            error = last_error()
            if error != EINTR or not self.may_retry():
                return error

    cdef bint may_retry(self) noexcept nogil:
        """After EINTR: run Python's signal handlers; False if one of them raised."""
        cdef bint quiet = True
        with gil:
            try:
                PyErr_CheckSignals()
            except BaseException as error:
                self.raised_by_signal = error
                quiet = False
        return quiet

    cdef void let_go_of_parts(self) noexcept nogil:
        cdef Py_ssize_t index
        for index in range(self.count):
            msg_close(&self.parts[index])
            msg_init(&self.parts[index])
        self.count = 0
        if self.room > MANY_PARTS:
            self.shrink_room()

    cdef bint has_room(self, Py_ssize_t room) noexcept nogil:
        cdef zmq_msg_t *parts = <zmq_msg_t *>realloc(self.parts, room * sizeof(zmq_msg_t))
        if parts == NULL:
            return False
        self.parts = parts
        while self.room < room:
            msg_init(&self.parts[self.room])
            self.room += 1
        return True

    cdef void shrink_room(self) noexcept nogil:
        cdef Py_ssize_t index
        cdef zmq_msg_t *parts
        for index in range(MANY_PARTS, self.room):
            msg_close(&self.parts[index])
        self.room = MANY_PARTS
        parts = <zmq_msg_t *>realloc(self.parts, MANY_PARTS * sizeof(zmq_msg_t))
        if parts != NULL:
            self.parts = parts
