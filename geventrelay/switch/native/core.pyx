# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The core of the switch in Cython: no object and no allocation per message.

`geventrelay.switch.contract` has the contract, `geventrelay.switch.core_python` the same in Python; a difference in
what the two do is a bug.

    descriptor --recv--> block --frames where they lie--> way --runs--> queues of peers --sendmsg--> descriptors

Here are the classes, and what they have of Python. A turn begins in reading.pxd. blocks.pxd has the memory, incoming.pxd
what has come and what is understood of it, sending.pxd where a message goes, queue.pxd what waits for a peer, peer.pxd
how that is written. Theirs are inline functions: all of it is compiled as one piece.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove

import os
import random

from .blocks cimport data_of, free_heap, new_block
from .copies cimport recode_queue
from .incoming cimport (
    BAD_COMMAND, BAD_FLAGS, BAD_LENGTH, BAD_PING, COMMAND_TOO_LARGE, CUT, FRAME_TOO_LARGE, MESSAGE_TOO_LARGE,
    NO_MEMORY, NOTHING, SAME_ID, TAKEN_OVER, TOO_MANY_PARTS, TOO_MANY_TOPICS, TOO_SLOW, TOPIC_TOO_LONG, Incoming,
    Limits
)
from .peer cimport (
    ASKS, AUTO, BLOCK, DISCONNECT, DROP_COUNT, DROP_NEWEST, DROP_OLDEST, NO_PEER, PARTS, PUBLISHES, PUSHES,
    ROUTES, SPACE, SWAP, TAKES_NONE, WHOLE, Core, Destination, Peer, Side, Way, add_control, disconnect,
    drop_too_old, end_peer, free_peer, has_something, monotonic, note, write_dirty, write_until
)
from .reading cimport ENDED, MOST_SWEPT, NO_ROOM, NOT_READY, TURN_OVER, read_peer
from .routes cimport add_route, remove_route
from .sending cimport has_room
from .subscribing cimport sweep, want_everything
from .topics cimport Member, Node, exact, free_topics, record_of, remove_record, subscribe

from ...engine.counters import Drop, OutletCounters, PumpCounters
from ...terms import Payload, WhenFull
from ...zmtp.errors import Fault
from ...zmtp.greeting import Version
from ..contract import Ended, PeerCounts, Progress, SlowSubscriber
from ..core_python.subscribe import Wishes

assert (Progress.NOT_READY, Progress.NO_ROOM, Progress.TURN_OVER, Progress.ENDED) == (NOT_READY, NO_ROOM, TURN_OVER, ENDED)
cdef tuple PROGRESS = tuple(Progress(value) for value in range(len(Progress)))

# How many peers of a ROUTER may call themselves nothing.
cdef object OWN_IDS = 1 << 32

cdef tuple DROPS = (Drop.NO_PEER, Drop.FULL, Drop.SLOW, Drop.TOO_OLD, Drop.MALFORMED, Drop.UNROUTABLE)
assert len(DROPS) == DROP_COUNT

cdef dict SLOW_OF = {
    SlowSubscriber.DROP: DROP_NEWEST,
    SlowSubscriber.DROP_OLDEST: DROP_OLDEST,
    SlowSubscriber.DISCONNECT: DISCONNECT,
    SlowSubscriber.BLOCK: BLOCK,
}

cdef dict PAYLOADS = {
    Payload.WHOLE: WHOLE, Payload.AUTO: AUTO, Payload.SPACE: SPACE, Payload.PARTS: PARTS, Payload.SWAP: SWAP
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

# No bound is larger: sums of two lengths fit.
cdef long long MOST_LIMIT = <long long>1 << 62


# What one of these classes points to in C belongs to an object that it refers to. So the collector of cycles must not take
# that away before its end (no_gc_clear); it breaks cycles at their lists and dicts, and each cycle has one.

@cython.no_gc_clear
@cython.final
cdef class NativeCore:
    """`geventrelay.switch.contract.Core` in C."""

    cdef Core core
    cdef dict stalled
    cdef dict ended

    def __cinit__(self):
        self.stalled = {}
        self.ended = {}
        self.core.stalled = <PyObject *>self.stalled
        self.core.ended = <PyObject *>self.ended

    def __dealloc__(self):
        cdef Member *member
        # Its sides have gone, and with them all records.
        while self.core.dead != NULL:
            member = self.core.dead
            self.core.dead = member.next_dead
            free(member)
        free_heap(&self.core.heap)

    def side(self, plan):
        """Make a side, see `geventrelay.switch.contract.Core.side`."""
        return NativeSide(self, plan)

    def way(self, NativeSide source, destinations):
        """Join sides, see `geventrelay.switch.contract.Core.way`."""
        return NativeWay(source, destinations)

    def tidy(self, double until):
        """Go on forgetting what peers were subscribed to that have gone; whether more can be done now."""
        cdef bint moved
        while self.core.dead != NULL:
            moved = sweep(&self.core, MOST_SWEPT)
            write_dirty(&self.core, until)
            if not moved:
                return False
            if monotonic() >= until:
                break
        return self.core.dead != NULL

    def take_stalled(self):
        """The peers that have had to wait with a write since the last call."""
        return [peer for peer in take_all(self.stalled) if peer.wants_write]

    def take_ended(self):
        """The peers whose connection has turned out to have ended in a write since the last call."""
        return take_all(self.ended)


cdef Member *new_member(Side *side, void *peer) except NULL:
    cdef Member *member = <Member *>calloc(1, sizeof(Member))
    if member == NULL:
        raise MemoryError
    member.side = side
    member.topics = &side.topics
    member.peer = peer
    return member


cdef list take_all(dict peers):
    cdef list taken
    if not peers:
        return []
    taken = list(peers)
    peers.clear()
    return taken


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
    # Of a SUB or XSUB: how often each topic was asked for.
    cdef dict topics
    # Of a ROUTER: its peers, and the number of the last one that calls itself nothing.
    cdef dict by_id
    cdef object number

    def __cinit__(self, NativeCore core, plan):
        if plan.type not in KINDS:
            raise ValueError(f"socket type: expected one of {', '.join(KINDS)}, got {plan.type!r}")
        self.core = core
        self.peers = []
        self.side.core = &core.core
        self.side.owner = <PyObject *>self
        self.side.kind = KINDS[plan.type]
        self.side.tells = plan.type == "XPUB"
        if plan.type in ("SUB", "XSUB"):
            self.topics = {}
        if plan.type == "SUB":
            self.side.wants = new_member(&self.side, NULL)
        self.by_id = {}
        self.number = random.randrange(OWN_IDS)
        self.side.routes.seed = random.getrandbits(64)
        self.plan = plan
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
        # Members that are left in the list have none of its records then.
        free_topics(&self.side.topics)
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
        self.side.max_age = plan.subscriber_max_age_s
        self.side.verbose = plan.xpub_verbose
        self.side.slow = SLOW_OF[plan.slow_subscriber]
        self.side.credit = 0
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

    def remove(self, NativePeer peer):
        """Forget a peer, see `geventrelay.switch.contract.Side.remove`."""
        cdef Py_ssize_t at = self.peers.index(peer)
        peer.peer.dropped[NO_PEER] += peer.peer.queue.messages
        peer.peer.queues_before = False
        peer.become_unknown()
        free_peer(&peer.peer)
        self.core.stalled.pop(peer, None)
        self.core.ended.pop(peer, None)
        del self.peers[at]
        self.side.count -= 1
        memmove(&self.side.peers[at], &self.side.peers[at + 1], (self.side.count - at) * sizeof(Peer *))
        if self.side.next > at:
            self.side.next -= 1

    def subscribe(self, bytes topic):
        """Ask every peer for a topic, see `geventrelay.switch.contract.Side.subscribe`."""
        count = self.wanted().get(topic, 0)
        if not count:
            self.begin(topic)
        self.topics[topic] = count + 1

    def cancel(self, bytes topic):
        """Take one `subscribe` back, see `geventrelay.switch.contract.Side.cancel`."""
        count = self.wanted().get(topic, 0)
        if count > 1:
            self.topics[topic] = count - 1
        elif count:
            self.end(topic)

    @property
    def asks_for(self):
        """The topics that each peer is asked for, see `geventrelay.switch.contract.Side.asks_for`."""
        return list(self.topics or ())

    def follow(self, bytes topic, bint wanted):
        """Do what a subscription from downstream says: of an XPUB it comes once a topic, and so does its end."""
        if wanted and topic in self.topics:
            self.tell(topic, True, True)
        elif wanted:
            self.begin(topic)
        elif topic in self.topics:
            self.end(topic)

    cdef dict wanted(self):
        if self.topics is None:
            raise ValueError(f"subscriptions: expected a SUB or XSUB, got a {self.made_of.type}")
        return self.topics

    cdef int begin(self, bytes topic) except -1:
        if self.side.wants != NULL and not subscribe(self.side.wants, topic, len(topic)):
            raise MemoryError
        self.topics[topic] = 1
        return self.tell(topic, True, False)

    cdef int end(self, bytes topic) except -1:
        cdef Node *node
        del self.topics[topic]
        if self.side.wants != NULL:
            node = exact(&self.side.topics, topic, len(topic))
            remove_record(record_of(node, self.side.wants))
        return self.tell(topic, False, False)

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
            note(self.side.core.stalled, &peer.peer)
        return 0

    cdef bytes own_id(self):
        """5 bytes that no other peer has, the first of them 0, as in libzmq."""
        while True:
            self.number = (self.number + 1) % OWN_IDS
            routing_id = b"\0" + self.number.to_bytes(4, "big")
            if routing_id not in self.by_id:
                return routing_id


@cython.no_gc_clear
@cython.final
cdef class NativePeer:
    """`geventrelay.switch.contract.Peer` in C."""

    cdef Peer peer
    cdef NativeSide side
    # Of a SUB or XSUB: what is to be told of its subscriptions.
    cdef readonly object news
    # By which a ROUTER knows it, and the last one that was to be so.
    cdef bytes routing_id
    cdef bytes claimed

    def __cinit__(self, NativeSide side, queues_before):
        self.side = side
        self.peer.owner = <PyObject *>self
        self.peer.core = &side.core.core
        self.peer.side = &side.side
        self.peer.queues_before = queues_before
        self.peer.fd = -1
        self.peer.incoming.need = 1

    def __dealloc__(self):
        if self.peer.core != NULL:
            self.peer.queues_before = False
            free_peer(&self.peer)

    def attach(self, int fd, peer, bytes rest):
        """Go on with a connection, see `geventrelay.switch.contract.Peer.attach`."""
        cdef Incoming *incoming = &self.peer.incoming
        if self.peer.fd >= 0:
            raise ValueError("attach: expected a peer without a connection")
        if rest:
            incoming.block = new_block(&self.peer.core.heap, len(rest))
            if incoming.block == NULL:
                raise MemoryError
            memcpy(data_of(incoming.block), <const char *>rest, len(rest))
            incoming.end = len(rest)
        if self.peer.queue.v1_0 != (peer.version is Version.V1_0) and not recode_queue(&self.peer):
            raise MemoryError
        incoming.v1_0 = self.peer.queue.v1_0
        self.peer.has_commands = peer.version is Version.V3_0 or peer.version is Version.V3_1
        self.peer.v3_1 = peer.version is Version.V3_1
        self.peer.heard += len(rest)
        self.peer.fd = fd
        if self.side.side.kind == PUBLISHES and self.peer.member == NULL:
            self.peer.member = new_member(&self.side.side, &self.peer)
            if self.peer.queue.v1_0:
                if not want_everything(&self.peer):
                    raise MemoryError
                # Not now: what an XPUB has told of that is written by its caller.
                write_dirty(self.peer.core, 0)
        if self.side.topics is not None:
            self.news = Wishes(peer.version)
            for topic in self.side.topics:
                self.news.subscribe(topic, known=False)
            self.peer.has_news = len(self.side.topics) > 0
        if self.side.side.kind == ROUTES:
            self.become_known(peer.routing_id)

    cdef int become_known(self, bytes announced) except -1:
        """Have a ROUTER know this peer by what it calls itself. A second peer of that name is refused, or takes over."""
        cdef bytes routing_id
        cdef NativePeer other
        if self.routing_id is not None and (not announced or announced == self.routing_id):
            return 0
        self.become_unknown()
        routing_id = announced or self.side.own_id()
        self.claimed = routing_id
        other = self.side.by_id.get(routing_id)
        if other is not None:
            if not self.side.made_of.router_handover:
                end_peer(&self.peer, SAME_ID, 0)
                return 0
            other.become_unknown()
            end_peer(&other.peer, TAKEN_OVER, 0)
        memcpy(self.peer.routing_id, <const char *>routing_id, len(routing_id))
        self.peer.routing_id_size = len(routing_id)
        if not add_route(&self.side.side.routes, &self.peer, self.peer.routing_id, len(routing_id)):
            raise MemoryError
        self.side.by_id[routing_id] = self
        self.routing_id = routing_id
        return 0

    cdef int become_unknown(self) except -1:
        if self.routing_id is not None:
            remove_route(&self.side.side.routes, self.peer.routing_id, self.peer.routing_id_size)
            del self.side.by_id[self.routing_id]
            self.routing_id = None
            self.peer.routing_id_size = 0
        return 0

    def detach(self):
        """The connection has gone, see `geventrelay.switch.contract.Peer.detach`."""
        disconnect(&self.peer)
        if not self.peer.queues_before:
            self.become_unknown()
        sweep(self.peer.core, MOST_SWEPT)
        # Not now: what an XPUB has told of that is written by its caller.
        write_dirty(self.peer.core, 0)
        self.side.core.stalled.pop(self, None)
        self.side.core.ended.pop(self, None)

    def read(self, double until):
        """Read and move messages, see `geventrelay.switch.contract.Peer.read`."""
        cdef int progress = read_peer(&self.peer, until)
        if progress == ENDED:
            self.side.core.ended.pop(self, None)
        return PROGRESS[progress]

    def write(self, double until):
        """Write what waits, see `geventrelay.switch.contract.Peer.write`."""
        if self.peer.fd < 0 or self.peer.over:
            return Progress.ENDED
        self.peer.stalled = False
        write_until(&self.peer, until)
        # Its caller is told here.
        self.side.core.stalled.pop(self, None)
        self.side.core.ended.pop(self, None)
        if self.peer.over:
            return Progress.ENDED
        return Progress.TURN_OVER if has_something(&self.peer) and not self.peer.stalled else Progress.NOT_READY

    @property
    def wants_write(self):
        """Whether something waits to be written to its connection."""
        return self.peer.fd >= 0 and not self.peer.over and has_something(&self.peer)

    def ping(self, int ttl_ds):
        """Put a PING in front of the messages that wait, see `geventrelay.switch.contract.Peer.ping`."""
        cdef bytes frame = b"\x04\x07\x04PING" + ttl_ds.to_bytes(2, "big")
        if not self.peer.v3_1 or self.peer.fd < 0:
            raise ValueError("PING: expected a peer with ZMTP 3.1 that is connected")
        if not add_control(&self.peer, frame, len(frame)):
            raise MemoryError
        note(self.peer.core.stalled, &self.peer)

    @property
    def heard(self):
        """How many bytes have come from it."""
        return self.peer.heard

    @property
    def ended(self):
        """Why its connection has ended; None while it goes on, and while there is none."""
        return explain(self) if self.peer.over else None

    def counts(self):
        """What has been counted up to now, over all its connections."""
        drop_too_old(&self.peer)
        return PeerCounts(
            received=self.peer.received,
            received_bytes=self.peer.received_bytes,
            matched=self.peer.matched,
            delivered=self.peer.delivered,
            dropped=drops_of(self.peer.dropped),
            waiting=self.peer.queue.messages,
            waiting_bytes=self.peer.queue.nbytes,
            subscriptions=0 if self.peer.member == NULL else self.peer.member.count,
        )


cdef dict drops_of(const long long *dropped):
    return {DROPS[index]: dropped[index] for index in range(DROP_COUNT) if dropped[index]}


@cython.no_gc_clear
@cython.final
cdef class NativeWay:
    """`geventrelay.switch.contract.Way` in C."""

    cdef Way way
    cdef NativeSide source
    # Keeps them: `way` points to what is theirs.
    cdef list sides
    cdef object tap

    def __cinit__(self, NativeSide source, destinations):
        cdef NativeSide side
        self.source = source
        self.sides = [destination.side for destination in destinations]
        self.way.destinations = <Destination *>calloc(len(self.sides) or 1, sizeof(Destination))
        if self.way.destinations == NULL:
            raise MemoryError
        for destination in destinations:
            side = destination.side
            if side.side.kind == TAKES_NONE:
                raise ValueError(f"a destination: expected a type that sends, got {side.made_of.type}")
            self.way.destinations[self.way.count].side = &side.side
            self.way.destinations[self.way.count].payload = PAYLOADS[destination.payload]
            self.way.destinations[self.way.count].drops = destination.when_full is WhenFull.DROP
            self.way.count += 1
        source.side.way = &self.way
        source.way = [self]

    def __dealloc__(self):
        free(self.way.destinations)

    @property
    def counters(self):
        """What it has moved so far."""
        cdef Destination *destination
        cdef Py_ssize_t index
        outlets = []
        for index in range(self.way.count):
            destination = &self.way.destinations[index]
            outlets.append(
                OutletCounters(
                    sent=destination.sent,
                    sent_parts=destination.sent_parts,
                    sent_bytes=destination.sent_bytes,
                    uncut=destination.uncut,
                    dropped=drops_of(destination.dropped),
                )
            )
        return PumpCounters(
            tuple(outlets),
            received=self.way.received,
            received_parts=self.way.received_parts,
            received_bytes=self.way.received_bytes,
            bursts=self.way.reads,
        )

    @property
    def has_room(self):
        """Whether no destination that blocks is full."""
        return has_room(&self.way)

    def set_tap(self, tap):
        """Call `tap` with the parts of each message, see `geventrelay.switch.contract.Way.set_tap`."""
        self.tap = tap
        self.way.tap = NULL if tap is None else <PyObject *>tap


cdef object explain(NativePeer owner):
    """Why its connection has ended, in words; `geventrelay.zmtp.connection` has the same."""
    cdef Peer *peer = &owner.peer
    if peer.fault == NOTHING:
        return Ended(None, os.strerror(peer.error) if peer.error else "the other end has closed the connection")
    if peer.fault == NO_MEMORY:
        return Ended(None, "there is no memory for what has come")
    if peer.fault == SAME_ID:
        return Ended(None, f"another peer has its routing id, {owner.claimed!r}")
    if peer.fault == TAKEN_OVER:
        return Ended(None, f"another peer has taken over its routing id, {owner.claimed!r}")
    if peer.fault == TOO_SLOW:
        hwm = owner.side.made_of.sndhwm
        return Ended(None, f"it was slow: {hwm} messages, its high-water mark, were waiting for it")
    return Ended(*EXPLAINED[peer.fault](peer.incoming.refused, peer.side.limits))


cdef dict EXPLAINED = {
    BAD_FLAGS: lambda got, limits: (Fault.BAD_FRAME, f"a frame's flags: expected 0 to 4 or 6, got {got}"),
    FRAME_TOO_LARGE: lambda got, limits: (
        Fault.TOO_LARGE, f"a frame: expected at most {limits['frame']} bytes, got {got}"
    ),
    COMMAND_TOO_LARGE: lambda got, limits: (
        Fault.TOO_LARGE, f"a command: expected at most {limits['command']} bytes, got {got}"
    ),
    MESSAGE_TOO_LARGE: lambda got, limits: (
        Fault.TOO_LARGE, f"a message: expected at most {limits['message']} bytes"
    ),
    TOO_MANY_PARTS: lambda got, limits: (
        Fault.TOO_MANY_PARTS, f"a message: expected at most {limits['parts']} parts"
    ),
    BAD_LENGTH: lambda got, limits: (Fault.BAD_FRAME, "a frame's length in ZMTP 1.0: expected at least 1, got 0"),
    BAD_COMMAND: lambda got, limits: (Fault.BAD_FRAME, "a command: expected its name, of a peer with ZMTP 3"),
    TOPIC_TOO_LONG: lambda got, limits: (
        Fault.TOPIC_TOO_LONG, f"a topic: expected at most {limits['topic']} bytes, got {got}"
    ),
    TOO_MANY_TOPICS: lambda got, limits: (
        Fault.TOO_MANY_SUBSCRIPTIONS, f"subscriptions: expected at most {limits['topics']} topics"
    ),
    BAD_PING: lambda got, limits: (Fault.BAD_FRAME, "PING: expected at least 2 bytes"),
    CUT: lambda got, limits: (Fault.CUT, "the connection has ended within a message"),
}
