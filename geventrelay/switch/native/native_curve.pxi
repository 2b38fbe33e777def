# What a connection of CURVE has, as Python has it.

from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy

from .curve cimport KEY, Box, Curve

from .boxes import addresses


cdef Curve *new_curve(session) except NULL:
    """What `geventrelay.zmtp.session.Session` has, for a peer; its end frees it."""
    cdef uintptr_t seal, unseal
    cdef Curve *curve
    cdef bytes key = session.key, own = session.own_prefix, other = session.other_prefix
    seal, unseal = addresses()
    if len(key) != KEY or len(own) != 16 or len(other) != 16:
        raise ValueError("a session: expected a key of 32 bytes, and nonces that begin with 16")
    curve = <Curve *>calloc(1, sizeof(Curve))
    if curve == NULL:
        raise MemoryError
    curve.seal = <Box>seal
    curve.unseal = <Box>unseal
    memcpy(curve.key, <const char *>key, KEY)
    memcpy(curve.own, <const char *>own, 16)
    memcpy(curve.other, <const char *>other, 16)
    curve.sent = session.sent
    curve.received = session.received
    return curve
