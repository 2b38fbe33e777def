# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The core of the switch in Cython: no object and no allocation per message.

`geventrelay.switch.contract` has the contract, `geventrelay.switch.core_python` the same in Python; a difference in
what the two do is a bug.

    descriptor --recv--> block --frames where they lie--> way --runs--> queues of peers --sendmsg--> descriptors

Here is the class of a core. Those of sides, peers and ways are in native_side.pxi and its kin, and have of Python what
there is. A turn begins in reading.pxd. blocks.pxd has the memory, incoming.pxd what has come and what is understood of it,
sending.pxd where a message goes, queue.pxd what waits for a peer, writing.pxd how that is written. Theirs are inline
functions: all of it is compiled as one piece.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdlib cimport free

from .blocks cimport free_heap
from .nodes cimport Member
from .peer cimport Core, monotonic
from .reading cimport MOST_SWEPT
from .subscribing cimport sweep
from .writing cimport write_dirty

# What one of these classes points to in C belongs to an object that it refers to. So the collector of cycles must not take
# that away before its end (no_gc_clear); it breaks cycles at their lists and dicts, and each cycle has one.

@cython.no_gc_clear
@cython.final
cdef class NativeCore:
    """`geventrelay.switch.contract.Core` in C."""

    cdef Core core
    cdef dict stalled
    cdef dict ended
    cdef NativeAccount account
    cdef object calls

    def __cinit__(self, account=None):
        self.account = NativeAccount() if account is None else account
        self.core.heap.account = &self.account.account
        self.core.next_core = <Core *>self.account.account.cores
        self.account.account.cores = &self.core
        self.stalled = {}
        self.ended = {}
        self.core.stalled = <PyObject *>self.stalled
        self.core.ended = <PyObject *>self.ended

    def __dealloc__(self):
        cdef Member *member
        self.account.remove(&self.core)
        # Its sides have gone, and with them all records.
        while self.core.dead != NULL:
            member = self.core.dead
            self.core.dead = member.next_dead
            free(member)
        free_heap(&self.core.heap)

    def side(self, plan):
        """Make a side, see `geventrelay.switch.contract.Core.side`."""
        return NativeSide(self, plan)

    def rate(self, limit):
        """Make a rate, see `geventrelay.switch.contract.Core.rate`."""
        return NativeRate(limit)

    def gate(self):
        """Make a gate, see `geventrelay.switch.contract.Core.gate`."""
        return NativeGate()

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
        """The peers whose connection has turned out to have ended since the last call, but in a read."""
        return take_all(self.ended)

    def take_shed(self):
        """Messages dropped for want of memory, see `geventrelay.switch.contract.Core.take_shed`."""
        cdef long long shed = self.core.shed
        self.core.shed = 0
        return shed

    def set_attention(self, call):
        """See `geventrelay.switch.contract.Core.set_attention`."""
        self.calls = call
        self.core.attention = NULL if call is None else <PyObject *>call


cdef list take_all(dict peers):
    cdef list taken
    if not peers:
        return []
    taken = list(peers)
    peers.clear()
    return taken


include "native_account.pxi"
include "counts.pxi"
include "faults.pxi"
include "native_gate.pxi"
include "native_side.pxi"
include "native_granted.pxi"
include "native_last_values.pxi"
include "native_log.pxi"
include "native_topics.pxi"
include "native_rate.pxi"
include "native_curve.pxi"
include "native_peer.pxi"
include "native_way.pxi"
