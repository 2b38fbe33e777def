"""CURVE after its handshake: each frame in a box, which only the two ends can make and open.

A frame goes as one whose body is ``%x07 "MESSAGE" nonce box`` (RFC 26, "The MESSAGE Command"; libzmq's
``curve_mechanism_base.cpp``). In the box are the frame's own flags and its body. libzmq marks the outer frame as no
command; both are taken. A nonce is a number that grows with each frame, so no frame can be sent a second time.
"""

from __future__ import annotations

from . import sodium
from .errors import Fault, ProtocolError
from .frames import Frame

MESSAGE = b"\7MESSAGE"
SEALED_BYTES = len(MESSAGE) + 8 + sodium.MAC_BYTES + 1
"""By how much the body of a sealed frame is longer than that of the frame within."""

MORE, COMMAND = 1, 2
"""Flags within the box. They are not as those of a frame."""

OF_SERVER, OF_CLIENT = b"CurveZMQMESSAGES", b"CurveZMQMESSAGEC"
"""What the nonces of an end begin with."""

NO_MESSAGE = f"CURVE: expected a frame with MESSAGE and at least {SEALED_BYTES} bytes"
OLD_NONCE = "CURVE: expected nonces that grow, got an earlier one again"
BAD_FLAGS = "CURVE: expected the flags of a message or of a command, got both"
BAD_BOX = "CURVE: a frame was changed on its way, or made with other keys"


class Session:
    """What the two ends of one connection of CURVE have in common, and how far each has counted.

    :param key: the shared key.
    :param as_server: whether this end is the server.
    :param sent: the last nonce that this end has used, and `received` the other's.
    :ivar key: the shared key.
    :ivar own_prefix: what the nonces of this end begin with, and `other_prefix` those of the other.
    :ivar sent: the last nonce that this end has used, and `received` the other's.
    """

    __slots__ = ("key", "other_prefix", "own_prefix", "received", "sent")

    def __init__(self, key: bytes, *, as_server: bool, sent: int, received: int) -> None:
        self.key = key
        self.own_prefix, self.other_prefix = (OF_SERVER, OF_CLIENT) if as_server else (OF_CLIENT, OF_SERVER)
        self.sent = sent
        self.received = received

    def seal(self, body: bytes, *, more: bool = False, command: bool = False) -> bytes:
        """The body of a frame that has another within.

        :param body: the other's.
        :param more: whether another frame of the same message follows.
        :param command: whether it is a command.
        """
        self.sent += 1
        nonce = self.sent.to_bytes(8, "big")
        flags = bytes([MORE * more | COMMAND * command])
        return MESSAGE + nonce + sodium.seal(flags + body, self.own_prefix + nonce, self.key)

    def open(self, frame: Frame) -> Frame:
        """The frame within a `frame`.

        :raises ProtocolError: BAD_FRAME, REPLAYED or FORGED.
        """
        body = frame.body
        if frame.more or len(body) < SEALED_BYTES or not body.startswith(MESSAGE):
            raise ProtocolError(Fault.BAD_FRAME, NO_MESSAGE)
        nonce, boxed = body[len(MESSAGE) : len(MESSAGE) + 8], body[len(MESSAGE) + 8 :]
        number = int.from_bytes(nonce, "big")
        if number <= self.received:
            raise ProtocolError(Fault.REPLAYED, OLD_NONCE)
        try:
            found = sodium.unseal(boxed, self.other_prefix + nonce, self.key)
        except sodium.Forged:
            raise ProtocolError(Fault.FORGED, BAD_BOX) from None
        self.received = number
        flags = found[0] & (MORE | COMMAND)
        if flags == MORE | COMMAND:
            raise ProtocolError(Fault.BAD_FRAME, BAD_FLAGS)
        return Frame(found[1:], bool(flags & MORE), bool(flags & COMMAND))
