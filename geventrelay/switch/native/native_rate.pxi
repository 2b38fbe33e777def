# How much may come in within a second, as Python has it.

cimport cython

from .rate cimport Bucket, Rate, allows_one, wait_of

from ...engine.rate import SHORTEST_WAIT_S


@cython.final
cdef class NativeRate:
    """`geventrelay.switch.contract.Rate` in C."""

    cdef Rate rate
    cdef readonly object limit

    def __cinit__(self, limit):
        self.limit = limit
        self.rate.drops = limit.drops
        fill(&self.rate.messages, limit.messages_per_s, limit.seconds_at_once)
        fill(&self.rate.nbytes, limit.bytes_per_s, limit.seconds_at_once)

    def has_room(self, double now):
        """Whether a message may come in, see `geventrelay.engine.rate.Rate.has_room`."""
        return allows_one(&self.rate, now)

    def wait_s(self, double now):
        """How long to wait until more may come in, see `geventrelay.engine.rate.Rate.wait_s`."""
        return max(SHORTEST_WAIT_S, wait_of(&self.rate.messages, now), wait_of(&self.rate.nbytes, now))

    def is_full(self, double now):
        """Whether it is as a new one, see `geventrelay.engine.rate.Rate.is_full`."""
        allows_one(&self.rate, now)
        return is_filled(&self.rate.messages) and is_filled(&self.rate.nbytes)


cdef void fill(Bucket *bucket, double per_s, double seconds_at_once) noexcept:
    bucket.per_s = per_s
    bucket.most = bucket.level = max(1.0, per_s * seconds_at_once)


cdef bint is_filled(const Bucket *bucket) noexcept:
    return not bucket.per_s or bucket.level >= bucket.most
