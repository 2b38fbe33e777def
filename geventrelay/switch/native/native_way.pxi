# One direction of a device, as Python has it.

cimport cython
from cpython.ref cimport PyObject
from libc.stdlib cimport calloc, free

from .peer cimport AUTO, PARTS, SPACE, SWAP, TAKES_NONE, WHOLE, Destination, Way
from .sending cimport has_room, lacks_permits

from ...engine.counters import OutletCounters, PumpCounters
from ...terms import Payload, WhenFull

cdef dict PAYLOADS = {
    Payload.WHOLE: WHOLE, Payload.AUTO: AUTO, Payload.SPACE: SPACE, Payload.PARTS: PARTS, Payload.SWAP: SWAP
}


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
        cdef NativeSide side, other
        self.source = source
        self.sides = [destination.side for destination in destinations]
        self.way.destinations = <Destination *>calloc(len(self.sides) or 1, sizeof(Destination))
        if self.way.destinations == NULL:
            raise MemoryError
        for destination in destinations:
            side = destination.side
            if side.side.kind == TAKES_NONE:
                raise ValueError(f"a destination: expected a type that sends, got {side.made_of.type}")
            if destination.otherwise is not None:
                other = destination.otherwise
                if side.side.kind not in (PUSHES, ROUTES) or other.side.kind != side.side.kind:
                    raise ValueError(f"otherwise: expected a type like {side.made_of.type}, got {other.made_of.type}")
                self.sides.append(other)
                self.way.destinations[self.way.count].otherwise = &other.side
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
                    elsewhere=destination.elsewhere,
                    dropped=drops_of(destination.dropped),
                )
            )
        return PumpCounters(
            tuple(outlets),
            received=self.way.received,
            received_parts=self.way.received_parts,
            received_bytes=self.way.received_bytes,
            bursts=self.way.reads,
            rate_waits=self.way.rate_waits,
        )

    @property
    def has_room(self):
        """See `geventrelay.switch.contract.Way.has_room`."""
        return has_room(&self.way)

    @property
    def lacks_permits(self):
        """See `geventrelay.switch.contract.Way.lacks_permits`."""
        return lacks_permits(&self.way)

    @property
    def refused(self):
        """See `geventrelay.switch.contract.Way.refused`."""
        cdef Py_ssize_t index
        cdef long long refused = 0
        for index in range(self.way.count):
            refused += self.way.destinations[index].refused
        return refused

    def stop(self):
        """See `geventrelay.switch.contract.Way.stop`."""
        self.way.over = True

    def set_tap(self, tap):
        """Call `tap` with the parts of each message, see `geventrelay.switch.contract.Way.set_tap`."""
        self.tap = tap
        self.way.tap = NULL if tap is None else <PyObject *>tap
