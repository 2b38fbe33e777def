# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The native burst: libzmq is called through function pointers, with the GIL released and no object per message.

`geventrelay.engine.burst` has the contract, `geventrelay.engine.burst_python` the same in Python; a difference in what
the two do is a bug (tests/wire/test_bursts_agree.py).

    source --zmq_msg_recv--> message in hand --stages--> --offer--> lane 1 --zmq_msg_send--> destination 1
                                                         --offer--> lane 2 --zmq_msg_send--> destination 2

A lane that is not the last sends copies, which take a reference to a large body; the last one sends the originals and
so leaves nothing behind.

Here is the loop, and what it has of Python. libzmq.pxd has libzmq's functions, message.pxd the message in hand, lane.pxd
an outlet's side, stage.pxd what decides whether a message goes on. Theirs are inline functions: all of it is compiled as one piece.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import zmq

from .allowance cimport Allowance, may_pass
from .lane cimport AUTO, PARTS, SPACE, SWAP, WHOLE, Lane, has_to_wait, offer
from .libzmq cimport (
    SRCFD, exception_of, handle_of, is_not_now, msg_close, msg_data, msg_get, msg_init, msg_init_size, take_raised
)
from .limits cimport Limits, is_over
from .message cimport (
    BROKEN_OFF, FEW_PARTS, TOO_MANY_PARTS, Message, free_room, make_room, receive, release, skip
)

from .senders cimport may_send, may_send_upstream
from .stage cimport Stages, clear_stages, count_dropped, make_stages, pass_stages

from ...terms import Payload, WhenFull
from ..burst import CLOCK_INTERVAL_PARTS, Status
from ..counters import Drop, OutletCounters, PumpCounters
from ..stages.allowance import Allowance as RunAllowance
from ..stages.senders import PROPERTY, Senders
from ..subscriptions import Topics
from .libzmq import events as events

cdef tuple STATUSES = tuple(Status(value) for value in range(len(Status)))
cdef enum:
    FAILED = -1
    SOURCE_EMPTY = 0
    OUTLET_FULL = 1
    BUDGET_SPENT = 2
assert (Status.SOURCE_EMPTY, Status.OUTLET_FULL, Status.BUDGET_SPENT) == (SOURCE_EMPTY, OUTLET_FULL, BUDGET_SPENT)

cdef dict PAYLOADS = {
    Payload.WHOLE: WHOLE, Payload.AUTO: AUTO, Payload.SPACE: SPACE, Payload.PARTS: PARTS, Payload.SWAP: SWAP
}

cdef tuple LOAD_BALANCED = (zmq.PUSH, zmq.DEALER)

# These either refuse the first part or take the whole message. The others may refuse a later part, when the peer
# goes in the middle of a message, and it then has to be offered again whole.
cdef tuple NEVER_REFUSE_LATER_PARTS = (zmq.ROUTER, zmq.PUB, zmq.XPUB, zmq.XSUB)

cdef long long CLOCK_INTERVAL = CLOCK_INTERVAL_PARTS

# What stages point to.
cdef bytes PROPERTY_BYTES = PROPERTY.encode()


@cython.final
cdef class NativeBurst:
    """`geventrelay.engine.burst.Burst` in C: releases the GIL while it runs.

    The sockets must not be used by other threads meanwhile, as always in ZeroMQ.

    :param source: the socket to read; its one reader is this burst's pump.
    :param outlets: where each message goes, in this order.
    """

    cdef readonly object waiting_for
    cdef readonly long long emptied
    cdef public object on_refused

    cdef object totals
    cdef object source
    cdef tuple outlets
    cdef tuple destinations
    cdef tuple outlet_counters
    cdef object tap
    # What lanes point to.
    cdef list topics

    # What `limits` was made of: a budget is frozen, so the same one need not be looked at again.
    cdef object budget
    cdef Limits limits

    cdef void *source_handle
    # One lane per outlet, and after them the tap's.
    cdef Lane *lanes
    cdef Py_ssize_t lane_count
    # For each of these, what gets what it does not take; empty without such.
    cdef Lane *others
    cdef dict other_sockets
    # The gates, and their permits while it runs.
    cdef list gates
    cdef long long *permits

    # What each message has to pass.
    cdef Stages stages
    cdef tuple reasons
    # What is set before each run, and tells after it what is left; None without such a stage.
    cdef object allowance
    cdef Allowance allowed

    cdef Message message
    # The lane that has yet to take the message in hand; -1 with none.
    cdef Py_ssize_t at

    # What has been done since it was last added to the counters, and the errno that ended the last run.
    cdef long long bursts
    cdef long long received
    cdef long long received_parts
    cdef long long received_bytes
    cdef long long broken_off
    cdef long long too_many_parts
    # Over which connection the last message with too many parts came, by its descriptor; -1 if unknown.
    cdef int descriptor
    cdef int error

    def __cinit__(self, source, outlets):
        cdef Py_ssize_t number
        self.at = -1
        self.reasons = ()
        self.topics = []
        self.source = source.raw
        self.message.from_xpub = source.raw.type == zmq.XPUB
        self.outlets = tuple(outlets)
        self.destinations = tuple([outlet.socket.raw for outlet in self.outlets])
        self.lane_count = len(self.outlets)
        self.outlet_counters = tuple([OutletCounters() for _ in self.outlets])
        self.totals = PumpCounters(self.outlet_counters)
        self.other_sockets = {}
        self.gates = []
        self.lanes = <Lane *>calloc(self.lane_count + 1, sizeof(Lane))
        self.others = <Lane *>calloc(self.lane_count + 1, sizeof(Lane))
        # Each lane and each other one has a gate at most.
        self.permits = <long long *>calloc(2 * self.lane_count + 1, sizeof(long long))
        if self.lanes == NULL or self.others == NULL or self.permits == NULL or not make_room(&self.message, FEW_PARTS):
            raise MemoryError
        for number in range(self.lane_count + 1):
            msg_init(&self.lanes[number].prefix)
            msg_init(&self.others[number].prefix)
        for index, outlet in enumerate(self.outlets):
            self.set_up(&self.lanes[<Py_ssize_t>index], outlet, outlet.prefix)
            self.set_up_gate(&self.lanes[<Py_ssize_t>index], outlet.gate)
            if outlet.otherwise is not None:
                self.set_up_other(index, outlet.otherwise, outlet.prefix)

    cdef int set_up(self, Lane *lane, outlet, put_before) except -1:
        cdef bytes prefix
        socket_type = outlet.socket.raw.type
        msg_init(&lane.prefix)
        if put_before is not None:
            lane.prefixed = 1
            prefix = bytes(put_before)
            if msg_init_size(&lane.prefix, len(prefix)) < 0:
                msg_init(&lane.prefix)
                raise MemoryError
            memcpy(msg_data(&lane.prefix), <const char *>prefix, len(prefix))
        lane.payload = PAYLOADS[outlet.payload]
        lane.least_parts = outlet.least_parts
        lane.longest_topic = -1 if outlet.longest_topic is None else outlet.longest_topic
        if outlet.repeated:
            topics = Topics()
            self.topics.append(topics)
            lane.topics = <PyObject *>topics
            lane.special = True
        lane.routes = outlet.routes
        lane.drops = outlet.when_full is WhenFull.DROP
        lane.ends_out_of_turn = outlet.ends_out_of_turn
        lane.events_interval = outlet.events_interval
        lane.load_balanced = socket_type in LOAD_BALANCED
        lane.keeps_until_sent = (
            (not lane.drops or outlet.otherwise is not None) and socket_type not in NEVER_REFUSE_LATER_PARTS
        )
        return 0

    cdef int set_up_gate(self, Lane *lane, gate) except -1:
        if gate is not None:
            if gate not in self.gates:
                self.gates.append(gate)
            lane.permits = &self.permits[<Py_ssize_t>self.gates.index(gate)]
            lane.of_requests = gate.of_requests
            lane.special = True
        return 0

    cdef int set_up_other(self, Py_ssize_t index, outlet, put_before) except -1:
        cdef Lane *lane = &self.others[index]
        self.set_up(lane, outlet, put_before)
        self.set_up_gate(lane, outlet.gate)
        # What it does not take may still have to wait, or go by the first one.
        lane.keeps_until_sent = outlet.socket.raw.type not in NEVER_REFUSE_LATER_PARTS
        self.other_sockets[index] = outlet.socket.raw
        self.lanes[index].otherwise = lane
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t index
        clear_stages(&self.stages)
        if self.message.parts != NULL:
            free_room(&self.message)
        if self.lanes != NULL:
            for index in range(self.lane_count + 1):
                msg_close(&self.lanes[index].prefix)
            free(self.lanes)
        if self.others != NULL:
            for index in range(self.lane_count + 1):
                msg_close(&self.others[index].prefix)
            free(self.others)
        free(self.permits)

    def set_tap(self, outlet):
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield."""
        msg_close(&self.lanes[self.lane_count].prefix)
        memset(&self.lanes[self.lane_count], 0, sizeof(Lane))
        self.tap = None
        msg_init(&self.lanes[self.lane_count].prefix)
        if outlet is not None:
            self.set_up(&self.lanes[self.lane_count], outlet, outlet.prefix)
            self.tap = outlet.socket.raw

    def set_stages(self, stages):
        """Have each message that is read from now on pass `stages`, see `geventrelay.engine.burst.Burst`."""
        cdef Py_ssize_t index
        for one in stages:
            if type(one) not in (Senders, RunAllowance):
                raise TypeError(f"a stage: expected Senders or Allowance, got {one!r}")
        make_stages(&self.stages, len(stages))
        self.allowance = None
        self.reasons = tuple([one.reason for one in stages])
        for index, one in enumerate(stages):
            if type(one) is RunAllowance:
                self.allowance = one
                self.stages.each[index].passes = may_pass
                self.stages.each[index].own = &self.allowed
            else:
                self.stages.each[index].passes = may_send_upstream if one.subscriptions else may_send
                self.stages.each[index].own = <const char *>PROPERTY_BYTES

    @property
    def max_parts(self):
        """How many parts a message may have; 0 for any number."""
        return self.message.most

    @max_parts.setter
    def max_parts(self, most):
        self.message.most = most

    @property
    def counters(self):
        """What it has done so far."""
        # Only now: between two runs, which may be as short as one message, the sums are not needed.
        self.add_up()
        return self.totals

    def run(self, budget):
        """Move messages until one of the limits of `budget` is reached. Does not yield."""
        cdef int outcome
        if budget is not self.budget:
            self.set_limits(budget)
        self.look_up_handles()
        self.bursts += 1
        if self.allowance is not None:
            self.allowed.messages, self.allowed.nbytes = self.allowance.messages, self.allowance.nbytes
        if self.gates:
            self.take_permits()
        with nogil:
            outcome = self.move()
        if self.gates:
            self.give_permits_back()
        if self.allowance is not None:
            self.allowance.messages, self.allowance.nbytes = self.allowed.messages, self.allowed.nbytes
        self.waiting_for = None if self.at < 0 else self.at
        failure = self.add_up_drops()
        if self.broken_off or self.too_many_parts:
            self.add_up_refused_parts()
        # After that: what is told there was read before.
        self.emptied += outcome == SOURCE_EMPTY
        raised = take_raised()
        if raised is not None:
            raise raised
        if outcome == FAILED:
            raise exception_of(self.error)
        if failure is not None:
            raise failure
        return STATUSES[outcome]

    def pass_over(self):
        """Drop what is in hand for the outlet that it waits for, see `geventrelay.engine.burst.Burst`."""
        self.outlet_counters[self.at].drop(self.outlets[self.at].drop_reason())
        self.at += 1
        if self.at == self.lane_count:
            self.at = -1
            release(&self.message)
        self.waiting_for = None if self.at < 0 else self.at

    def finish(self):
        """Read the rest of a message that is thrown away, see `geventrelay.engine.burst.Burst`. Does not yield."""
        if self.message.skipping:
            self.look_up_handles()
            with nogil:
                while self.message.skipping and not self.skip_some():
                    pass

    # With the GIL ------------------------------------------------------------------------------------------

    cdef int set_limits(self, budget) except -1:
        self.budget = None
        self.limits.messages = budget.messages
        self.limits.nbytes = budget.bytes
        self.limits.parts = budget.parts
        self.limits.time_s = budget.time_s
        self.limits.skip_s = budget.skip_s
        self.budget = budget
        return 0

    cdef int look_up_handles(self) except -1:
        cdef Py_ssize_t index
        self.source_handle = handle_of(self.source)
        for index in range(self.lane_count):
            self.lanes[index].socket = handle_of(self.destinations[index])
        if self.other_sockets:
            for index, socket in self.other_sockets.items():
                self.others[<Py_ssize_t>index].socket = handle_of(socket)
        if self.tap is not None:
            self.lanes[self.lane_count].socket = handle_of(self.tap)
        return 0

    cdef int take_permits(self) except -1:
        for index, gate in enumerate(self.gates):
            self.permits[<Py_ssize_t>index] = gate.permits
        return 0

    cdef int give_permits_back(self) except -1:
        # Nobody else has a turn while it runs.
        for index, gate in enumerate(self.gates):
            gate.permits = self.permits[<Py_ssize_t>index]
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
            outlet.uncut += lane.uncut
            outlet.elsewhere += lane.elsewhere
            lane.sent = lane.sent_parts = lane.sent_bytes = lane.uncut = lane.elsewhere = 0
        return 0

    cdef object add_up_drops(self):
        """Count this run's drops; return the exception met when asking for the reason of a refusal."""
        cdef Py_ssize_t index
        cdef Lane *lane
        failure = None
        count_dropped(&self.stages, self.reasons, self.outlet_counters)
        for index in range(self.lane_count):
            lane = &self.lanes[index]
            if lane.malformed:
                self.outlet_counters[index].drop(Drop.MALFORMED, lane.malformed)
            if lane.topic_too_long:
                self.outlet_counters[index].drop(Drop.TOPIC_TOO_LONG, lane.topic_too_long)
            if lane.unroutable:
                self.outlet_counters[index].drop(Drop.UNROUTABLE, lane.unroutable)
            if lane.refused:
                failure = self.add_up_refused(index) or failure
            lane.malformed = lane.topic_too_long = lane.unroutable = lane.refused = 0
        return failure

    cdef int add_up_refused_parts(self) except -1:
        """Count the messages that were not read to their end, and tell the pump."""
        refused = (
            (Drop.BROKEN_OFF, self.broken_off, -1), (Drop.TOO_MANY_PARTS, self.too_many_parts, self.descriptor)
        )
        self.broken_off = self.too_many_parts = 0
        for reason, messages, descriptor in refused:
            if messages:
                for outlet in self.outlet_counters:
                    outlet.drop(reason, messages)
                if self.on_refused is not None:
                    self.on_refused(reason, messages, descriptor)
        return 0

    cdef object add_up_refused(self, Py_ssize_t index):
        # One question for all refusals of a run: a flood of drops must not call Python for each.
        failure = None
        try:
            reason = self.outlets[index].drop_reason()
        except zmq.ZMQError as error:
            # They are dropped, even if the reason is not known any more.
            reason, failure = Drop.NOT_READY, error
        self.outlet_counters[index].drop(reason, self.lanes[index].refused)
        if self.outlets[index].on_dropped is not None:
            self.outlets[index].on_dropped()
        return failure

    # Without the GIL ---------------------------------------------------------------------------------------

    cdef int move(self) noexcept nogil:
        cdef long long last_message = self.received + self.limits.messages
        cdef long long last_byte = self.received_bytes + self.limits.nbytes
        cdef long long last_part = self.received_parts + self.limits.parts
        cdef long long look_at = self.received_parts + CLOCK_INTERVAL
        cdef double until = INFINITY, skip_until = INFINITY
        cdef bint spent
        if self.at >= 0 and not self.deliver():
            return OUTLET_FULL if has_to_wait(&self.lanes[self.at], self.error) else FAILED
        while True:
            spent = (
                self.received >= last_message or self.received_bytes >= last_byte or self.received_parts >= last_part
            )
            if not spent and self.received_parts >= look_at:
                look_at = self.received_parts + CLOCK_INTERVAL
                spent = is_over(&until, self.limits.time_s)
            if spent and (not self.message.skipping or is_over(&skip_until, self.limits.skip_s)):
                break
            if self.message.skipping:
                self.error = self.skip_some()
                if self.error:
                    return SOURCE_EMPTY if is_not_now(self.error) else FAILED
                if not self.message.has_next:
                    continue
            self.error = receive(&self.message, self.source_handle)
            if self.error < 0:
                self.refuse()
                if not self.message.has_next:
                    continue
                self.error = receive(&self.message, self.source_handle)
            if self.error:
                return SOURCE_EMPTY if is_not_now(self.error) else FAILED
            self.received += 1
            self.received_parts += self.message.count
            self.received_bytes += self.message.nbytes
            if self.stages.count and not pass_stages(&self.stages, self.message.parts, self.message.count):
                release(&self.message)
                continue
            if self.lanes[self.lane_count].socket != NULL:
                # Whatever becomes of the copy: a tap must not affect the traffic.
                offer(&self.lanes[self.lane_count], &self.message, True)
            self.at = 0
            if not self.deliver():
                return OUTLET_FULL if has_to_wait(&self.lanes[self.at], self.error) else FAILED
        return BUDGET_SPENT

    cdef void refuse(self) noexcept nogil:
        """Count what is in hand as received and dropped, and let go of it."""
        self.received += 1
        self.received_parts += self.message.count
        self.received_bytes += self.message.nbytes
        if self.error == BROKEN_OFF:
            self.broken_off += 1
        else:
            self.too_many_parts += 1
            self.message.skipping = True
            self.descriptor = msg_get(&self.message.parts[self.message.count - 1], SRCFD)
        release(&self.message)

    cdef int skip_some(self) noexcept nogil:
        """Throw some parts of a message with too many of them away; an errno or 0."""
        cdef long long nbytes
        cdef Py_ssize_t count
        cdef int error = skip(&self.message, self.source_handle, CLOCK_INTERVAL, &nbytes, &count)
        self.received_parts += count
        self.received_bytes += nbytes
        return error

    cdef bint deliver(self) noexcept nogil:
        """Offer the message in hand to the lanes from `at` on; False, with `error` set, if one has not taken it."""
        # `at` is set before the offer: a message whose sending fails is still in hand, and so accounted for.
        while self.at < self.lane_count:
            self.error = offer(&self.lanes[self.at], &self.message, self.at + 1 < self.lane_count)
            if self.error:
                return False
            self.at += 1
        self.at = -1
        release(&self.message)
        return True
