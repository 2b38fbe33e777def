"""What is wrong with the bytes of another end: one exception, with a reason to count it by."""

from __future__ import annotations

import enum


class Fault(enum.Enum):
    """Why a connection cannot go on. Each is the other end's fault.

    The values are what it is counted by. Where libzmq reports the same, they are as with its sockets
    (`geventrelay.engine.peertable.PeersSnapshot`).
    """

    NOT_ZMTP = "not_zmtp3"
    """The first bytes are no greeting, or one of ZMTP 1.0 or 2.0, which this end does not speak."""
    WRONG_MECHANISM = "zmtp_mechanism_mismatch"
    """The two ends have different mechanisms."""
    BAD_HANDSHAKE = "bad_handshake"
    """A command of the handshake is none that may come now, or its content is not well formed."""
    WRONG_TYPE = "wrong_type"
    """The socket types of the two ends do not fit."""
    REFUSED = "refused"
    """The other end has sent ERROR."""
    FORGED = "zmtp_cryptographic"
    """What came was sealed with other keys, or was changed on its way."""
    REPLAYED = "zmtp_invalid_sequence"
    """What came has a number that was used before."""
    BAD_FRAME = "bad_frame"
    """A frame has flags that have no meaning, or a command has no name or a wrong length."""
    TOO_LARGE = "too_large"
    """A frame or a command is larger than this end takes."""
    UNFINISHED = "unfinished"
    """A message has more bytes than this end keeps of one, and it is not known whether it ever ends."""
    TOO_MANY_PARTS = "too_many_parts"
    """A message has more parts than this end takes."""
    TOPIC_TOO_LONG = "topic_too_long"
    """A subscription has a longer topic than this end takes."""
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    """It subscribes to more topics than this end keeps."""
    SLOW = "slow"
    """It subscribes, and takes messages more slowly than they come."""
    NOT_READ = "not_read"
    """It goes on asking, and does not read the answers."""
    SILENT = "silent"
    """Nothing has come from it for longer than a heartbeat allows."""
    MEMORY = "memory"
    """What this end kept for it was the most of all, when the memory budget was used up."""
    REVOKED = "revoked"
    """What it was let in by counts no more."""
    CUT = "EPIPE"
    """The connection has ended within a handshake, a frame or a message."""


class ProtocolError(Exception):
    """The other end has sent what it must not send; nothing more can be understood of it.

    :param fault: the kind.
    :param what: one sentence: what was expected, and what came.
    :ivar fault: the kind.
    """

    def __init__(self, fault: Fault, what: str) -> None:
        super().__init__(what)
        self.fault = fault
