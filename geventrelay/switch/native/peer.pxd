# What the core has of one peer, one socket and one direction, and what is asked of them most. Without Python, but for the
# two lists of peers that need attention.

from cpython.ref cimport PyObject
from libc.stdlib cimport free
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from .account cimport Account
from .blocks cimport Block, Heap
from .curve cimport Curve
from .granted cimport Prefixes
from .incoming cimport Event, Incoming, Limits
from .last_values cimport LastValues
from .log cimport Log
from .nodes cimport Member, Topics
from .queue cimport Queue
from .rate cimport Rate
from .table cimport Table
from .topic_counts cimport CountedTopics

# Indices of what is dropped; counts.pxi has their names.
cdef enum:
    NO_PEER
    FULL
    SLOW
    TOO_OLD
    MALFORMED
    UNROUTABLE
    LEFT
    STOPPED
    BY_REQUEST
    MEMORY
    FORBIDDEN
    RATE
    DROP_COUNT


cdef enum:
    # zmq_setsockopt(3), ZMQ_ROUTING_ID
    MOST_ID = 255


# What is counted of one peer, or of several together.
cdef struct Counts:
    long long received
    long long received_bytes
    long long matched
    long long delivered
    long long dropped[DROP_COUNT]
    long long waiting
    size_t waiting_bytes
    size_t subscriptions
    long long forbidden
    long long forbidden_subscriptions
    long long over_rate


# Commands that go before the messages that wait.
cdef struct Control:
    unsigned char *bytes
    size_t size
    size_t room
    size_t written


cdef struct Peer:
    PyObject *owner
    Core *core
    Side *side
    # -1 without a connection.
    int fd
    bint queues_before
    # Whether the kernel takes no more as far as is known, and whether something is to be written in this turn.
    bint stalled
    bint dirty
    Peer *next_dirty
    # Why the connection has ended: what it sent, or an errno; `over` says that it has.
    bint over
    Event fault
    int error
    Incoming incoming
    Queue queue
    Control control
    # NULL unless its connection is of CURVE.
    Curve *curve
    bint has_commands
    # Whether its owner has subscriptions to tell, and how much the account has of them.
    bint has_news
    size_t news_bytes
    bint v3_1
    # Of a connection to a PUB or XPUB.
    Member *member
    # What it may send, and subscribe to.
    Prefixes sends
    Prefixes subscribes
    # How much may come from it; NULL for any number.
    Rate *rate
    # How many requests it was given and has not answered, where their number has a limit.
    long long unanswered
    # By which a ROUTER knows it.
    unsigned char routing_id[MOST_ID]
    size_t routing_id_size
    # Messages, commands, and last values that were found for it, over all its connections.
    unsigned long long handled
    # What is counted.
    unsigned long long heard
    long long received
    long long received_bytes
    long long forbidden
    long long forbidden_subscriptions
    long long over_rate
    long long matched
    long long delivered
    long long dropped[DROP_COUNT]


# `geventrelay.switch.contract.SlowSubscriber`
cdef enum Slow:
    DROP_NEWEST
    DROP_OLDEST
    DISCONNECT
    BLOCK


# Messages that came one behind the other and go to the same subscribers, who have not got them yet.
cdef struct Group:
    Block *block
    size_t at
    size_t size
    Py_ssize_t messages


# How many messages a side may be given.
cdef struct Gate:
    long long permits


# What a type does with a message that goes there.
cdef enum Kind:
    TAKES_NONE
    PUSHES
    PUBLISHES
    ROUTES
    ASKS


cdef struct Side:
    PyObject *owner
    Core *core
    Kind kind
    # Whether news of subscriptions go its way, as those of an XPUB do, and whether all of them.
    bint tells
    bint verbose
    # Of a ROUTER.
    Table routes
    # In the order in which they came.
    Peer **peers
    Py_ssize_t count
    Py_ssize_t room
    # Of those that were removed.
    Counts past
    # Whose turn it is, and which one was found last that has room: the turn is its own until it is given something.
    Py_ssize_t next
    Py_ssize_t found
    Limits limits
    long long sndhwm
    size_t sndhwm_bytes
    # How many messages may wait for a peer now: the high-water mark, or 1 while memory is short.
    long long most
    # How many messages a peer has at most that it has not answered; 0 for no limit.
    long long requests
    # NULL for any number.
    Gate *gate
    double max_age
    Slow slow
    # What subscribers have asked for; of a SUB, what it asks for itself.
    Topics topics
    Member *wants
    # What subscribers get that come later; NULL where nothing is kept.
    LastValues *last_values
    # What can be read again of all that it has published; NULL likewise. And whether what it sends has the numbers in that.
    Log *log
    bint stamps
    # What is counted by topic of what it publishes; NULL where nothing is.
    CountedTopics *counts
    Group group
    # Where all wait for the slowest: for how many messages there is room at each subscriber that was found last, and the one
    # for which a message had to wait.
    long long credit
    Peer *full
    Way *way
    # Of a ROUTER without a way: is called with each message, unless it is NULL.
    PyObject *on_message
    Side *next_side


# A whole message as frames of ZMTP 2.0 and later.
cdef struct Message:
    Block *block
    size_t at
    size_t size
    # The bytes of its parts alone, and how many there are.
    size_t body
    size_t parts


# `geventrelay.terms.Payload`
cdef enum Payload:
    WHOLE
    AUTO
    SPACE
    PARTS
    SWAP


cdef struct Destination:
    Side *side
    Payload payload
    bint drops
    # What gets what the side cannot take; NULL for none. It is of the same kind.
    Side *otherwise
    long long elsewhere
    # What neither took, but for malformed messages.
    long long refused
    long long sent
    long long sent_parts
    long long sent_bytes
    long long uncut
    long long dropped[DROP_COUNT]


cdef struct Way:
    Destination *destinations
    Py_ssize_t count
    # Everything is dropped.
    bint over
    PyObject *tap
    long long reads
    long long rate_waits
    long long received
    long long received_parts
    long long received_bytes


cdef struct Core:
    Heap heap
    # The next one of the same account.
    Core *next_core
    # Called when the account has had something done here, unless it is NULL.
    PyObject *attention
    # Messages dropped for want of memory.
    long long shed
    # With how many bytes in blocks it is time to look for those that are kept for little.
    size_t compact_at
    Side *sides
    Peer *dirty
    # Of connections that have ended.
    Member *dead
    # When what is read now came, by CLOCK_MONOTONIC.
    double now
    # How many bytes were put in queues in this turn and are not written yet.
    size_t queued
    # Whether a message is being handed to Python, which may put others in queues: they are written in this turn.
    bint telling
    # Dicts, as sets in order.
    PyObject *stalled
    PyObject *ended


cdef inline void free_control(Control *control) noexcept nogil:
    free(control.bytes)
    memset(control, 0, sizeof(Control))


cdef inline bint takes(const Peer *peer) noexcept nogil:
    # Whether messages may be put in its queue.
    return (peer.fd >= 0 and not peer.over) or peer.queues_before


cdef inline void count_sent(Destination *destination, const Message *message) noexcept nogil:
    destination.sent += 1
    destination.sent_parts += message.parts
    destination.sent_bytes += message.body


cdef inline Py_ssize_t room_of(Peer *peer) noexcept nogil:
    # How many messages it may take now; if it is busy, none all the same.
    cdef const Side *side = peer.side
    cdef long long room = side.most - (peer.queue.messages - peer.queue.beyond)
    if side.sndhwm_bytes:
        # One at a time: how large the next ones are is not known here.
        room = min(room, 1) if peer.queue.nbytes - peer.queue.beyond_bytes < side.sndhwm_bytes else 0
    return max(room, 0)


cdef inline bint is_busy(const Peer *peer) noexcept nogil:
    # Whether it has as many requests as it may.
    return peer.side.requests > 0 and peer.unanswered >= peer.side.requests


cdef inline bint is_shut(const Side *side) noexcept nogil:
    # Whether it has a gate without a permit.
    return side.gate != NULL and side.gate.permits <= 0


cdef inline bint holds_back(const Side *side) noexcept nogil:
    # Whether it takes no more of what comes while memory is short. Elsewhere what waits is dropped.
    return side.kind != PUBLISHES or side.slow == BLOCK


cdef inline void set_most(Side *side) noexcept nogil:
    side.most = side.sndhwm or <long long>1 << 30
    if side.core.heap.account.tight and holds_back(side):
        side.most = 1
    # It is found anew.
    side.credit = 0


cdef inline int why_full(const Peer *peer) noexcept nogil:
    # Of a peer that takes no message now.
    cdef const Side *side = peer.side
    if is_busy(peer):
        return FULL
    if side.core.heap.account.tight and (not side.sndhwm or peer.queue.messages < side.sndhwm):
        return MEMORY
    return FULL


cdef inline void mark_dirty(Peer *peer) noexcept nogil:
    # Written before this turn is over.
    if not peer.dirty:
        peer.dirty = True
        peer.next_dirty = peer.core.dirty
        peer.core.dirty = peer


cdef inline double monotonic() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + time.tv_nsec * 1e-9


cdef inline void note(PyObject *peers, Peer *peer) noexcept nogil:
    with gil:
        (<dict>peers)[<object>peer.owner] = None
