# One peer, as Python has it.

cimport cython
from cpython.ref cimport PyObject
from libc.string cimport memcpy, memset

from .blocks cimport Block, data_of, let_go, new_block, place_copy
from .copies cimport put, recode_queue
from .frames cimport LARGE_HEAD, MORE, write_head
from .incoming cimport SAME_ID, TAKEN_OVER, Incoming
from .nodes cimport Node, Record
from .peer cimport PUBLISHES, ROUTES, Counts, Peer, mark_dirty, monotonic, note, room_of, takes
from .queue cimport run_at
from .reading cimport ENDED, MOST_SWEPT, NO_ROOM, NOT_READY, OVER_RATE, TURN_OVER, read_peer
from .shedding cimport keep_to_budget
from .subscribing cimport sweep, want_everything, welcome
from .table cimport put_in, take_out
from .topics cimport write_topic
from .unsealing cimport put_raw
from .writing cimport add_control, bury_member, count_news, disconnect, end_peer, free_peer, has_something, write_dirty, write_until

from ...zmtp.greeting import Version
from ..contract import Progress
from ..core_python.subscribe import Wishes

assert tuple(Progress) == (NOT_READY, NO_ROOM, TURN_OVER, ENDED, OVER_RATE)
cdef tuple PROGRESS = tuple(Progress(value) for value in range(len(Progress)))


@cython.no_gc_clear
@cython.final
cdef class NativePeer:
    """`geventrelay.switch.contract.Peer` in C."""

    cdef Peer peer
    cdef NativeSide side
    # Of a SUB or XSUB: what is to be told of its subscriptions.
    cdef readonly object news
    # See `geventrelay.switch.contract.Peer.on_ping`.
    cdef public object on_ping
    # By which a ROUTER knows it, and the last one that was to be so.
    cdef bytes routing_id
    cdef bytes claimed
    # What `peer` points to of what it may do.
    cdef tuple sends
    cdef tuple subscribes
    # Keeps it: `peer` points to what is its.
    cdef NativeRate rate

    def __cinit__(self, NativeSide side, queues_before):
        self.side = side
        self.peer.owner = <PyObject *>self
        self.peer.core = &side.core.core
        self.peer.side = &side.side
        self.peer.queues_before = queues_before
        self.peer.fd = -1
        self.peer.incoming.need = 1
        self.peer.queue.account = self.peer.core.heap.account
        count_losses(&self.peer)

    def __dealloc__(self):
        if self.peer.core != NULL:
            self.peer.queues_before = False
            free_peer(&self.peer)
            free_table(&self.peer.queue.losses.lost)
        free_prefixes(&self.peer.sends)
        free_prefixes(&self.peer.subscribes)

    def attach(self, int fd, peer, bytes rest, grant=None):
        """Go on with a connection, see `geventrelay.switch.contract.Peer.attach`."""
        cdef bytes greeting
        cdef Incoming *incoming = &self.peer.incoming
        if self.peer.fd >= 0:
            raise ValueError("attach: expected a peer without a connection")
        if peer.session is not None:
            self.peer.curve = new_curve(peer.session)
            if rest and not put_raw(&self.peer, rest, len(rest)):
                raise MemoryError
        elif rest:
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
        self.sends = take_prefixes(&self.peer.sends, None if grant is None else grant.send)
        self.subscribes = take_prefixes(&self.peer.subscribes, None if grant is None else grant.subscribe)
        if self.peer.subscribes.limited:
            bury_member(&self.peer)
        if self.side.side.kind == PUBLISHES and self.peer.member == NULL:
            self.peer.member = new_member(&self.side.side, &self.peer)
        if self.side.side.kind == PUBLISHES and self.peer.queue.v1_0:
            if not want_everything(&self.peer):
                raise MemoryError
            # Not now: what an XPUB has told of that is written by its caller.
            write_dirty(self.peer.core, 0)
        if self.side.side.kind == PUBLISHES:
            greeting = self.side.made_of.xpub_welcome_msg
            if greeting and not welcome(&self.peer, greeting, len(greeting)):
                raise MemoryError
        if self.side.topics is not None:
            self.news = Wishes(peer.version, self.side.topics)
            self.peer.has_news = len(self.side.topics) > 0
            count_news(&self.peer, self.news.nbytes)
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
        if not put_in(&self.side.side.routes, &self.peer, self.peer.routing_id, len(routing_id)):
            raise MemoryError
        self.side.by_id[routing_id] = self
        self.routing_id = routing_id
        return 0

    cdef int become_unknown(self) except -1:
        if self.routing_id is not None:
            take_out(&self.side.side.routes, self.peer.routing_id, self.peer.routing_id_size)
            del self.side.by_id[self.routing_id]
            self.routing_id = None
            self.peer.routing_id_size = 0
        return 0

    def detach(self):
        """The connection has gone, see `geventrelay.switch.contract.Peer.detach`."""
        disconnect(&self.peer)
        self.news = None
        if not self.peer.queues_before:
            self.become_unknown()
        sweep(self.peer.core, MOST_SWEPT)
        # Not now: what an XPUB has told of that is written by its caller.
        write_dirty(self.peer.core, 0)
        keep_to_budget(self.peer.core.heap.account)
        self.side.core.stalled.pop(self, None)
        self.side.core.ended.pop(self, None)

    def set_rate(self, NativeRate rate):
        """Move no more of its messages than a rate allows, see `geventrelay.switch.contract.Peer.set_rate`."""
        self.rate = rate
        self.peer.rate = NULL if rate is None else &rate.rate

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
        keep_to_budget(self.peer.core.heap.account)
        # Its caller is told here.
        self.side.core.stalled.pop(self, None)
        self.side.core.ended.pop(self, None)
        if self.peer.over:
            return Progress.ENDED
        return Progress.TURN_OVER if has_something(&self.peer) and not self.peer.stalled else Progress.NOT_READY

    def put(self, parts):
        """Have a message of ours wait for it, see `geventrelay.switch.contract.Peer.put`."""
        cdef bint waits = self.peer.queue.messages > 0
        if not takes(&self.peer) or (waits and (self.peer.core.heap.account.tight or not room_of(&self.peer))):
            return False
        put_parts(&self.peer, parts)
        if self.peer.core.telling:
            mark_dirty(&self.peer)
        keep_to_budget(self.peer.core.heap.account)
        return True

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
        cdef Counts counts
        memset(&counts, 0, sizeof(counts))
        add_peer(&counts, &self.peer)
        return counts_of(&counts)

    @property
    def waits_since(self):
        """When the oldest message came that waits for it, see `geventrelay.switch.contract.Peer.waits_since`."""
        return run_at(&self.peer.queue, 0).since if self.peer.queue.count else None

    def some_topics(self, Py_ssize_t most):
        """Some of the topics that it is subscribed to, see `geventrelay.switch.contract.Peer.some_topics`."""
        cdef Record *record = NULL if self.peer.member == NULL else self.peer.member.first
        found = []
        while record != NULL and len(found) < most:
            found.append(topic_of(record.node))
            record = record.next
        return sorted(found)

    def lost_topics(self):
        """What it has lost by topic, see `geventrelay.switch.contract.Peer.lost_topics`."""
        return losses_of(&self.peer)


cdef int put_parts(Peer *peer, parts) except -1:
    """Put a message in a peer's queue, which has room for it."""
    cdef Block *block = NULL
    cdef size_t at = 0, size = 0
    cdef bytes part
    cdef unsigned char *copy
    cdef Py_ssize_t left = len(parts)
    cdef bint done
    if not left:
        raise ValueError("put: expected a message of one part or more")
    for part in parts:
        size += LARGE_HEAD + len(part)
    copy = place_copy(&peer.core.heap, size, &block, &at)
    if copy == NULL:
        raise MemoryError
    size = 0
    for part in parts:
        left -= 1
        size += write_head(copy + size, MORE if left else 0, len(part))
        memcpy(copy + size, <const char *>part, len(part))
        size += len(part)
    if block == peer.core.heap.copies:
        peer.core.heap.copies_at = at + size
    peer.core.now = monotonic()
    done = put(peer, block, at, size, 1)
    let_go(&peer.core.heap, block)
    if not done:
        raise MemoryError
    peer.matched += 1
    return 0


cdef bytes topic_of(const Node *node):
    cdef bytearray topic = bytearray(node.topic_size)
    cdef unsigned char *start = topic
    write_topic(node, start + len(topic))
    return bytes(topic)
