# Why a connection has ended, in words.

import os

from .incoming cimport (
    BAD_COMMAND, BAD_FLAGS, BAD_LENGTH, BAD_PING, COMMAND_TOO_LARGE, CUT, FORGED, FRAME_TOO_LARGE, MESSAGE_TOO_LARGE,
    NO_MEMORY, NOT_SEALED, NOTHING, REPLAYED, SAME_ID, SUBSCRIPTIONS, TAKEN_OVER, TOO_MANY_PARTS, TOO_MANY_TOPICS, TOO_SLOW, TOPIC_TOO_LONG,
    UNFINISHED
)
from .peer cimport Peer

from ...zmtp import session
from ...zmtp.errors import Fault
from ..contract import SUBSCRIPTIONS_WHAT, UNFINISHED_WHAT, Ended
from ..core_python.publish import TOO_SLOW as WAS_SLOW


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
    if peer.fault == UNFINISHED:
        return Ended(Fault.MEMORY, UNFINISHED_WHAT.format(peer.incoming.refused))
    if peer.fault == SUBSCRIPTIONS:
        return Ended(Fault.MEMORY, SUBSCRIPTIONS_WHAT.format(peer.incoming.refused))
    if peer.fault == TOO_SLOW:
        return Ended(Fault.SLOW, WAS_SLOW)
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
        Fault.UNFINISHED, f"a message: expected at most {limits['message']} bytes"
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
    NOT_SEALED: lambda got, limits: (Fault.BAD_FRAME, session.NO_MESSAGE),
    REPLAYED: lambda got, limits: (Fault.REPLAYED, session.OLD_NONCE),
    FORGED: lambda got, limits: (Fault.FORGED, session.BAD_BOX),
    CUT: lambda got, limits: (Fault.CUT, "the connection has ended within a message"),
}
