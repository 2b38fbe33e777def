# One socket of a device, as Python has it.

cimport cython
from cpython.ref cimport PyObject
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove

import random

from .busiest cimport leave_account
from .incoming cimport Limits
from .nodes cimport Member, Node
from .peer cimport (
    ASKS, BLOCK, DISCONNECT, DROP_NEWEST, DROP_OLDEST, PUBLISHES, PUSHES, ROUTES, TAKES_NONE, Counts, Peer, Side, monotonic, note,
    set_most
)
from .queue cimport lose_all, oldest
from .topics cimport exact, free_topics, record_of, remove_record, subscribe
from .writing cimport count_news, drop_before, free_peer

from ...engine.counters import Drop
from ..contract import SlowSubscriber

# How many peers of a ROUTER may call themselves nothing.
cdef object OWN_IDS = 1 << 32

# What a topic takes that publishers are asked for, beside itself, about.
cdef enum:
    WANTED_BYTES = 150

# Of those that ask for a topic, the bit of the socket itself. Those of the ways that lead to it follow.
cdef enum:
    OWN = 1

# No bound is larger: sums of two lengths fit.
cdef long long MOST_LIMIT = <long long>1 << 62

cdef dict SLOW_OF = {
    SlowSubscriber.DROP: DROP_NEWEST,
    SlowSubscriber.DROP_OLDEST: DROP_OLDEST,
    SlowSubscriber.DISCONNECT: DISCONNECT,
    SlowSubscriber.BLOCK: BLOCK,
}

cdef dict KINDS = {
    "PULL": TAKES_NONE,
    "PUSH": PUSHES,
    "SUB": TAKES_NONE,
    "XSUB": ASKS,
    "PUB": PUBLISHES,
    "XPUB": PUBLISHES,
    "ROUTER": ROUTES,
    "DEALER": PUSHES,
}


@cython.no_gc_clear
@cython.final
cdef class NativeSide:
    """`geventrelay.switch.contract.Side` in C."""

    cdef Side side
    cdef NativeCore core
    cdef object made_of
    # Keeps them: `side` points to what is theirs.
    cdef list peers
    cdef list way
    # Of a SUB or XSUB: who asks for each topic, a bit each: itself, and the ways that lead to it.
    cdef dict topics
    # How often it asks itself.
    cdef dict own
    # The ways, by their addresses, in the order of their bits.
    cdef list ways
    # What the account has of them.
    cdef Py_ssize_t topics_bytes
    # Of a ROUTER: its peers, and the number of the last one that calls itself nothing.
    cdef dict by_id
    cdef object number
    # What `side.last_values` points to.
    cdef tuple prefixes
    # What `side.counts` points to.
    cdef bytes until
    # What `side.on_message` points to.
    cdef object called
    # What `side.gate` points to.
    cdef NativeGate permits

    def __cinit__(self, NativeCore core, plan):
        if plan.type not in KINDS:
            raise ValueError(f"socket type: expected one of {', '.join(KINDS)}, got {plan.type!r}")
        self.core = core
        self.peers = []
        self.side.core = &core.core
        self.side.topics.account = core.core.heap.account
        self.side.owner = <PyObject *>self
        self.side.kind = KINDS[plan.type]
        self.side.tells = plan.type == "XPUB"
        if plan.type in ("SUB", "XSUB"):
            self.topics = {}
        if plan.type == "SUB":
            self.side.wants = new_member(&self.side, NULL)
        self.own = {}
        self.ways = []
        self.by_id = {}
        self.number = random.randrange(OWN_IDS)
        self.side.routes.seed = random.getrandbits(64)
        self.plan = plan
        if plan.topics is not None and self.side.kind == PUBLISHES:
            self.until = count_topics(&self.side, plan.topics)
        self.side.next_side = core.core.sides
        core.core.sides = &self.side

    def __dealloc__(self):
        cdef Side **link
        if self.core is None:
            # It was refused.
            return
        link = &self.core.core.sides
        while link[0] != NULL and link[0] != &self.side:
            link = &link[0].next_side
        if link[0] != NULL:
            link[0] = self.side.next_side
        free_values(&self.side)
        free_log(&self.side)
        free_counts(&self.side)
        # Members that are left in the list have none of its records then.
        free_topics(&self.side.topics)
        self.count(-self.topics_bytes)
        free(self.side.wants)
        free(self.side.routes.slots)
        free(self.side.peers)

    @property
    def plan(self):
        """What it was made of."""
        return self.made_of

    @plan.setter
    def plan(self, plan):
        cdef Limits *limits = &self.side.limits
        bounds = plan.bounds
        limits.frame = min(bounds.frame_bytes, MOST_LIMIT)
        limits.message = min(bounds.message_bytes, MOST_LIMIT)
        limits.parts = min(bounds.parts, MOST_LIMIT)
        limits.command = min(bounds.command_bytes, MOST_LIMIT)
        limits.topic = min(bounds.topic_bytes, MOST_LIMIT)
        limits.topics = min(plan.max_subscriptions, MOST_LIMIT)
        self.side.sndhwm = min(plan.sndhwm, MOST_LIMIT)
        self.side.sndhwm_bytes = min(plan.sndhwm_bytes, MOST_LIMIT)
        self.side.requests = min(plan.requests_per_peer, MOST_LIMIT)
        self.side.max_age = plan.subscriber_max_age_s
        self.side.verbose = plan.xpub_verbose
        self.side.slow = SLOW_OF[plan.slow_subscriber]
        set_most(&self.side)
        if plan.last_values is not None:
            self.prefixes = keep_values(&self.side, plan.last_values)
        if plan.log is not None and self.side.kind == PUBLISHES:
            keep_log(&self.side, plan.log)
        self.side.stamps = plan.stamp
        adapt_counts(&self.side)
        self.made_of = plan

    def new_peer(self, *, queues_before):
        """A peer without a connection yet, see `geventrelay.switch.contract.Side.new_peer`."""
        cdef NativePeer made = NativePeer(self, queues_before)
        cdef Peer **peers
        if self.side.count == self.side.room:
            peers = <Peer **>realloc(self.side.peers, (2 * self.side.room + 4) * sizeof(Peer *))
            if peers == NULL:
                raise MemoryError
            self.side.peers = peers
            self.side.room = 2 * self.side.room + 4
        self.peers.append(made)
        self.side.peers[self.side.count] = &made.peer
        self.side.count += 1
        return made

    def remove(self, NativePeer peer, reason=Drop.LEFT):
        """Forget a peer, see `geventrelay.switch.contract.Side.remove`."""
        cdef Py_ssize_t at = self.peers.index(peer)
        cdef int why = DROPS.index(reason)
        peer.peer.dropped[why] += lose_all(&peer.peer.queue, &self.core.core.heap)
        leave_account(&peer.peer.queue.losses.lost)
        peer.peer.queues_before = False
        peer.become_unknown()
        free_peer(&peer.peer)
        add_peer(&self.side.past, &peer.peer)
        self.core.stalled.pop(peer, None)
        self.core.ended.pop(peer, None)
        del self.peers[at]
        self.side.count -= 1
        memmove(&self.side.peers[at], &self.side.peers[at + 1], (self.side.count - at) * sizeof(Peer *))
        if self.side.next > at:
            self.side.next -= 1

    def counts(self):
        """What has been counted of all its peers, see `geventrelay.switch.contract.Side.counts`."""
        cdef Counts total = self.side.past
        cdef Py_ssize_t index
        for index in range(self.side.count):
            add_peer(&total, self.side.peers[index])
        return counts_of(&total)

    @property
    def gate(self):
        """How many messages it may be given, see `geventrelay.switch.contract.Side`."""
        return self.permits

    @gate.setter
    def gate(self, NativeGate gate):
        self.side.gate = NULL if gate is None else &gate.gate
        self.permits = gate

    def free_places(self):
        """See `geventrelay.switch.contract.Side.free_places`."""
        return places_of(&self.side) if self.side.kind == PUSHES else 0

    def subscribe(self, bytes topic):
        """Ask every peer for a topic, see `geventrelay.switch.contract.Side.subscribe`."""
        askers = self.wanted().get(topic, 0)
        if not askers:
            self.begin(topic)
        self.topics[topic] = askers | OWN
        self.own[topic] = self.own.get(topic, 0) + 1

    def cancel(self, bytes topic):
        """Take one `subscribe` back, see `geventrelay.switch.contract.Side.cancel`."""
        self.wanted()
        count = self.own.pop(topic, 0)
        if count > 1:
            self.own[topic] = count - 1
        elif count:
            self.leave(topic, OWN)

    def kept_values(self):
        """What is kept for later subscribers, see `geventrelay.switch.contract.Side.kept_values`."""
        return kept_in(self.side.last_values)

    def last_values_from(self, bytes prefix, after, size_t most):
        """Some last values, see `geventrelay.switch.contract.Side.last_values_from`."""
        return values_from(self.side.last_values, prefix, after, most)

    def topic_counts(self):
        """What was counted by topic, see `geventrelay.switch.contract.Side.topic_counts`."""
        return topic_counts_of(&self.side)

    @property
    def on_message(self):
        """What is called with messages, see `geventrelay.switch.contract.Side`."""
        return self.called

    @on_message.setter
    def on_message(self, call):
        self.side.on_message = NULL if call is None else <PyObject *>call
        self.called = call

    def log_state(self):
        """What is in the log now, see `geventrelay.switch.contract.Side.log_state`."""
        return state_of(self.side.log)

    def logged(self, first, last, prefixes, most, double until):
        """Some messages of the log, see `geventrelay.switch.contract.Side.logged`."""
        return read_log(self.side.log, first, last, prefixes, most, until)

    def forget(self, double until):
        """Forget what is kept without peers, see `geventrelay.switch.contract.Side.forget`."""
        if forget_values(self.side.last_values, until) or forget_log(self.side.log, until):
            return True
        forget_counts(self.side.counts)
        while self.topics:
            self.end(next(reversed(self.topics)))
            if monotonic() >= until:
                return True
        return False

    def drop_too_old(self, double now):
        """Drop what has waited too long, see `geventrelay.switch.contract.Side.drop_too_old`."""
        cdef double first = INFINITY
        cdef Py_ssize_t index
        if self.side.max_age <= 0:
            return None
        for index in range(self.side.count):
            drop_before(self.side.peers[index], now - self.side.max_age)
            first = min(first, oldest(&self.side.peers[index].queue))
        return None if first == INFINITY else first + self.side.max_age

    @property
    def asks_for(self):
        """The topics that each peer is asked for, see `geventrelay.switch.contract.Side.asks_for`."""
        return list(self.topics or ())

    def follow(self, bytes topic, bint wanted, size_t way):
        """Do what a subscription from downstream says: of an XPUB it comes once a topic, and so does its end.

        Where several of them ask, a topic that one cancels stays for the others: `way` tells them apart.
        """
        if way not in self.ways:
            self.ways.append(way)
        asker = OWN << self.ways.index(way) + 1
        if not wanted:
            self.leave(topic, asker)
            return
        askers = self.topics.get(topic, 0)
        if askers:
            self.tell(topic, True, True)
        else:
            self.begin(topic)
        self.topics[topic] = askers | asker

    cdef int leave(self, bytes topic, asker) except -1:
        """Have one of those that ask for a topic ask for it no more."""
        askers = self.topics.get(topic, 0)
        if askers & ~asker:
            self.topics[topic] = askers & ~asker
        elif askers:
            self.end(topic)
        return 0

    cdef dict wanted(self):
        if self.topics is None:
            raise ValueError(f"subscriptions: expected a SUB or XSUB, got a {self.made_of.type}")
        return self.topics

    cdef int begin(self, bytes topic) except -1:
        if self.side.wants != NULL and not subscribe(self.side.wants, topic, len(topic)):
            raise MemoryError
        self.topics[topic] = OWN
        self.count(len(topic) + WANTED_BYTES)
        return self.tell(topic, True, False)

    cdef int end(self, bytes topic) except -1:
        cdef Node *node
        del self.topics[topic]
        self.count(-len(topic) - WANTED_BYTES)
        if self.side.wants != NULL:
            node = exact(&self.side.topics, topic, len(topic))
            remove_record(record_of(node, self.side.wants))
        return self.tell(topic, False, False)

    cdef void count(self, Py_ssize_t more) noexcept:
        """Have the account know of what `topics` takes."""
        self.topics_bytes += more
        self.core.core.heap.account.used += more

    cdef int tell(self, bytes topic, bint wanted, bint known) except -1:
        """Have every peer be told that a topic is wanted, or no more; `known` is whether it was told so before."""
        cdef NativePeer peer
        for peer in self.peers:
            if peer.peer.fd < 0 or peer.peer.over:
                continue
            if wanted:
                peer.news.subscribe(topic, known=known)
            else:
                peer.news.cancel(topic)
            peer.peer.has_news = True
            count_news(&peer.peer, peer.news.nbytes)
            note(self.side.core.stalled, &peer.peer)
        return 0

    cdef bytes own_id(self):
        """5 bytes that no other peer has, the first of them 0, as in libzmq."""
        while True:
            self.number = (self.number + 1) % OWN_IDS
            routing_id = b"\0" + self.number.to_bytes(4, "big")
            if routing_id not in self.by_id:
                return routing_id


cdef Member *new_member(Side *side, void *peer) except NULL:
    cdef Member *member = <Member *>calloc(1, sizeof(Member))
    if member == NULL:
        raise MemoryError
    member.side = side
    member.topics = &side.topics
    member.peer = peer
    return member
