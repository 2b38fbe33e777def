# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The core of the switch in Cython: no object and no allocation per message.

`geventrelay.switch.contract` has the contract, `geventrelay.switch.core_python` the same in Python; a difference in
what the two do is a bug.

    descriptor --recv--> block --frames where they lie--> way --runs--> queues of peers --sendmsg--> descriptors

Here are the classes, and what they have of Python. blocks.pxd has the memory, incoming.pxd what has come and what is
understood of it, queue.pxd what waits for a peer, peer.pxd how that is written, sending.pxd where a message goes. Theirs
are inline functions: all of it is compiled as one piece.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memmove, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import os

from .blocks cimport data_of, free_heap, make_current, new_block
from .frames cimport COMMAND, write_head
from .incoming cimport (
    A_COMMAND, BAD_COMMAND, BAD_FLAGS, BAD_LENGTH, BAD_PING, COMMAND_TOO_LARGE, CUT, FRAME_TOO_LARGE, MESSAGE, MESSAGE_TOO_LARGE,
    NO_MEMORY, NOTHING, TOO_MANY_PARTS, Event, Incoming, Limits, forget, is_between_messages, make_room, next_event,
    next_message, settle
)
from .peer cimport (
    MOST_PONGS, MSG_DONTWAIT, Core, Destination, Peer, Side, Way, add_control, disconnect, end, free_control, free_peer,
    has_something, recv, write_dirty, write_out
)
from .sending cimport NO_PEER, has_room_for_more, move_message, recode_queue

from ...engine.counters import Drop, OutletCounters, PumpCounters
from ...terms import Payload, WhenFull
from ...zmtp.errors import Fault
from ...zmtp.greeting import Version
from ..contract import Ended, PeerCounts, Progress

cdef enum:
    NOT_READY = 0
    NO_ROOM = 1
    TURN_OVER = 2
    ENDED = 3
assert (Progress.NOT_READY, Progress.NO_ROOM, Progress.TURN_OVER, Progress.ENDED) == (NOT_READY, NO_ROOM, TURN_OVER, ENDED)
cdef tuple PROGRESS = tuple(Progress(value) for value in range(len(Progress)))

cdef tuple DROPS = (Drop.NO_PEER, Drop.FULL)
cdef enum:
    DROP_COUNT = 2

cdef tuple TYPES = ("PULL", "PUSH")

cdef enum:
    # After so many bytes in queues they are written, and the clock is looked at.
    SLICE_BYTES = 1048576
    # A turn goes on for a first message, but not for one that is larger.
    MOST_UNHANDLED_BYTES = 1048576

# No bound is larger: sums of two lengths fit.
cdef long long MOST_LIMIT = <long long>1 << 62


cdef double now() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + time.tv_nsec * 1e-9


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
        free_heap(&self.core.heap)
        free_heap(&self.core.copies)

    def side(self, plan):
        """Make a side, see `geventrelay.switch.contract.Core.side`."""
        return NativeSide(self, plan)

    def way(self, NativeSide source, destinations):
        """Join sides, see `geventrelay.switch.contract.Core.way`."""
        return NativeWay(source, destinations)

    def take_stalled(self):
        """The peers that have had to wait with a write since the last call."""
        return take_all(self.stalled)

    def take_ended(self):
        """The peers whose connection has turned out to have ended in a write since the last call."""
        return take_all(self.ended)


cdef list take_all(dict peers):
    cdef list taken
    if not peers:
        return []
    taken = list(peers)
    peers.clear()
    return taken


@cython.final
cdef class NativeSide:
    """`geventrelay.switch.contract.Side` in C."""

    cdef Side side
    cdef NativeCore core
    cdef object made_of
    # Keeps them: `side` points to what is theirs.
    cdef list peers
    cdef NativeWay way

    def __cinit__(self, NativeCore core, plan):
        if plan.type not in TYPES:
            raise ValueError(f"socket type: expected one of {', '.join(TYPES)}, got {plan.type!r}")
        self.core = core
        self.peers = []
        self.plan = plan

    def __dealloc__(self):
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
        free_peer(&peer.peer)
        self.core.stalled.pop(peer, None)
        self.core.ended.pop(peer, None)
        del self.peers[at]
        self.side.count -= 1
        memmove(&self.side.peers[at], &self.side.peers[at + 1], (self.side.count - at) * sizeof(Peer *))
        if self.side.next > at:
            self.side.next -= 1


@cython.final
cdef class NativePeer:
    """`geventrelay.switch.contract.Peer` in C."""

    cdef Peer peer
    cdef NativeSide side

    def __cinit__(self, NativeSide side, queues_before):
        self.side = side
        self.peer.owner = <PyObject *>self
        self.peer.core = &side.core.core
        self.peer.side = &side.side
        self.peer.queues_before = queues_before
        self.peer.fd = -1
        self.peer.incoming.need = 1

    def __dealloc__(self):
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
        self.peer.fd = fd
        self.peer.has_commands = peer.version is Version.V3_0 or peer.version is Version.V3_1

    def detach(self):
        """The connection has gone, see `geventrelay.switch.contract.Peer.detach`."""
        disconnect(&self.peer)
        self.side.core.stalled.pop(self, None)
        self.side.core.ended.pop(self, None)

    def read(self, double until):
        """Read and move messages, see `geventrelay.switch.contract.Peer.read`."""
        return PROGRESS[read_peer(&self.peer, until)]

    def write(self, double until):
        """Write what waits, see `geventrelay.switch.contract.Peer.write`."""
        self.peer.stalled = False
        write_out(&self.peer)
        return PROGRESS[ENDED if self.peer.over else NOT_READY]

    @property
    def wants_write(self):
        """Whether something waits to be written to its connection."""
        return self.peer.fd >= 0 and has_something(&self.peer)

    def ping(self, int ttl_ds):
        """Put a PING in front of the messages that wait, see `geventrelay.switch.contract.Peer.ping`."""
        cdef bytes frame = b"\x04\x07\x04PING" + ttl_ds.to_bytes(2, "big")
        if not add_control(&self.peer, frame, len(frame)):
            raise MemoryError
        write_dirty(self.peer.core)

    @property
    def heard(self):
        """How many bytes have come from it."""
        return self.peer.heard

    @property
    def ended(self):
        """Why its connection has ended; None while it goes on, and while there is none."""
        return explain(&self.peer) if self.peer.over else None

    def counts(self):
        """What has been counted up to now, over all its connections."""
        return PeerCounts(
            received=self.peer.received,
            received_bytes=self.peer.received_bytes,
            matched=self.peer.matched,
            delivered=self.peer.delivered,
            dropped=drops_of(self.peer.dropped),
            waiting=self.peer.queue.messages,
            waiting_bytes=self.peer.queue.body,
        )


cdef dict drops_of(const long long *dropped):
    return {DROPS[index]: dropped[index] for index in range(DROP_COUNT) if dropped[index]}


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
            self.way.destinations[self.way.count].side = &side.side
            self.way.destinations[self.way.count].drops = destination.when_full is WhenFull.DROP
            self.way.count += 1
        source.side.way = &self.way
        source.way = self

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
        return has_room_for_more(&self.way)

    def set_tap(self, tap):
        """Call `tap` with the parts of each message, see `geventrelay.switch.contract.Way.set_tap`."""
        self.tap = tap
        self.way.tap = NULL if tap is None else <PyObject *>tap


# Reading ------------------------------------------------------------------------------------------------------

# What `move_some` says besides a `Progress`: all that is there is moved.
cdef enum:
    ALL_MOVED = -1


cdef int read_peer(Peer *peer, double until) noexcept nogil:
    cdef Core *core = peer.core
    cdef int progress
    cdef unsigned long long heard = peer.heard
    cdef unsigned long long handled = peer.handled
    if peer.fd < 0:
        return NOT_READY
    if peer.side.way != NULL:
        peer.side.way.reads += 1
    progress = ENDED if peer.over else NOT_READY
    while not peer.over:
        progress = move_some(peer)
        write_dirty(core)
        if peer.over:
            progress = ENDED
        elif (
            progress != NO_ROOM
            and (peer.handled != handled or peer.heard - heard > MOST_UNHANDLED_BYTES)
            and now() >= until
        ):
            progress = TURN_OVER
        elif progress == ALL_MOVED:
            progress = receive(peer)
            if progress == ALL_MOVED:
                continue
        elif progress == TURN_OVER:
            continue
        break
    if not settle(&peer.incoming, &core.heap):
        peer.fault = NO_MEMORY
        end(peer, 0)
    return ENDED if peer.over else progress


cdef int move_some(Peer *peer) noexcept nogil:
    # Moves what has come until it is time to write: ALL_MOVED, TURN_OVER, NO_ROOM or ENDED.
    cdef Incoming *incoming = &peer.incoming
    cdef Event event
    while peer.core.queued < SLICE_BYTES:
        event = next_event(incoming, &peer.side.limits)
        if event == NOTHING:
            return ALL_MOVED
        if event == MESSAGE:
            if peer.side.way != NULL:
                if not move_message(peer.side.way, peer, incoming):
                    return NO_ROOM
                peer.received += 1
                peer.received_bytes += incoming.body
            peer.handled += 1
            next_message(incoming)
            continue
        if event == A_COMMAND:
            peer.handled += 1
            event = take_command(peer)
        if event != NOTHING:
            peer.fault = event
            end(peer, 0)
            return ENDED
    return TURN_OVER


cdef int receive(Peer *peer) noexcept nogil:
    # ALL_MOVED if something has come, for what there was is moved; else NOT_READY or ENDED.
    cdef Core *core = peer.core
    cdef Incoming *incoming = &peer.incoming
    cdef size_t room = make_room(incoming, &core.heap)
    cdef Py_ssize_t size
    if not room:
        peer.fault = NO_MEMORY
        end(peer, 0)
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
    if size < 0 and errno == EAGAIN:
        return NOT_READY
    if not size and not is_between_messages(incoming):
        peer.fault = CUT
    end(peer, errno if size < 0 else 0)
    return ENDED


cdef Event take_command(Peer *peer) noexcept nogil:
    # Does what the last command says; NOTHING, or what is wrong with it. Commands that are not known mean nothing.
    cdef const unsigned char *body = data_of(peer.incoming.block) + peer.incoming.command
    cdef size_t size = peer.incoming.command_size
    if not peer.has_commands:
        return BAD_COMMAND
    if not size or not body[0] or size <= body[0]:
        return BAD_COMMAND
    if body[0] == 4 and not memcmp(body + 1, <const char *>b"PING", 4):
        return answer_ping(peer, body + 5, size - 5)
    return NOTHING


cdef Event answer_ping(Peer *peer, const unsigned char *data, size_t size) noexcept nogil:
    # See `geventrelay.zmtp.commands.parse_ping`.
    cdef unsigned char pong[32]
    cdef size_t context
    if size < 2:
        return BAD_PING
    if peer.control.size > MOST_PONGS:
        return NOTHING
    context = min(size - 2, <size_t>16)
    memcpy(pong, <const char *>b"\x04\x00\x04PONG", 7)
    pong[1] = 5 + context
    memcpy(pong + 7, data + 2, context)
    return NOTHING if add_control(peer, pong, 7 + context) else NO_MEMORY


cdef object explain(Peer *peer):
    """Why its connection has ended, in words; `geventrelay.zmtp.connection` has the same."""
    bounds = peer.side.limits
    if peer.fault == NOTHING:
        return Ended(None, os.strerror(peer.error) if peer.error else "the other end has closed the connection")
    if peer.fault == NO_MEMORY:
        return Ended(None, "there is no memory for what has come")
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
    BAD_PING: lambda got, limits: (Fault.BAD_FRAME, "PING: expected at least 2 bytes"),
    CUT: lambda got, limits: (Fault.CUT, "the connection has ended within a message"),
}
