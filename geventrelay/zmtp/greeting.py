"""The first bytes of a connection: which version and which mechanism the other end has.

ZMTP 3.x begins with 64 bytes (RFC 23, "Greeting")::

    signature                     version      mechanism         as-server   filler
    %xFF  8 bytes  %x7F           3, minor     20 bytes          1 byte      31 bytes

To a peer that speaks ZMTP 1.0 the signature is the head of a long frame: the 8 bytes are the length of what this end
calls itself, and 1. So a peer of any version can be answered, if the bytes after the signature are held back until its
own first bytes have come (RFC 23, "Backwards Interoperability"; libzmq's ``zmtp_engine_t::receive_greeting``).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .errors import Fault, ProtocolError

SIGNATURE_BYTES = 10
GREETING_BYTES = 64
_MECHANISM = slice(12, 32)
_AS_SERVER = 32
_REVISION_2_0 = 1
# Of ZMTP 2.0: the signature, the revision, and the socket type.
_GREETING_2_0_BYTES = 12


class Version(enum.Enum):
    """Of ZMTP."""

    V1_0 = (1, 0)
    V2_0 = (2, 0)
    V3_0 = (3, 0)
    V3_1 = (3, 1)

    @property
    def is_legacy(self) -> bool:
        """Whether it has neither mechanisms nor commands."""
        return self in (Version.V1_0, Version.V2_0)

    def __str__(self) -> str:
        return f"{self.value[0]}.{self.value[1]}"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the first bytes of the other end say.

    :ivar version: that both ends speak from now on.
    :ivar size: how many bytes the greeting has; what follows are frames. With ZMTP 1.0 there is none.
    :ivar mechanism: as ``"NULL"``; ``""`` for legacy versions.
    :ivar as_server: whether the other end is the server of its mechanism.
    :ivar type_number: libzmq's number of the socket type, which ZMTP 2.0 has here; None otherwise.
    """

    version: Version
    size: int
    mechanism: str = ""
    as_server: bool = False
    type_number: int | None = None


def signature(routing_id: bytes) -> bytes:
    """The first 10 bytes that this end sends, whatever the other end speaks; `routing_id` is what it calls itself."""
    return b"\xff" + (len(routing_id) + 1).to_bytes(8, "big") + b"\x7f"


MAJOR = b"\x03"
"""What follows the signature, once it is known that the other end has versions."""


def rest_of_greeting(mechanism: str, *, as_server: bool) -> bytes:
    """The 53 bytes after `MAJOR`, for a peer that speaks ZMTP 3.x: this end speaks 3.1.

    :param mechanism: at most 20 characters of ASCII.
    :param as_server: whether this end is the mechanism's server.
    """
    return b"\x01" + mechanism.encode("ascii").ljust(20, b"\0") + bytes([as_server]) + bytes(31)


def rest_of_greeting_2_0(type_number: int) -> bytes:
    """The byte after `MAJOR`, for a peer that speaks ZMTP 2.0 (RFC 15); `type_number` is libzmq's."""
    return bytes([type_number])


def is_versioned(received: bytes) -> bool | None:
    """Whether the other end speaks more than ZMTP 1.0; None if `received` is too short to know.

    With ZMTP 1.0 it begins with a frame: either its length is short, or the 10th byte is a frame's flags without MORE.
    """
    if received and received[0] != 0xFF:
        return False
    if len(received) < SIGNATURE_BYTES:
        return None
    return bool(received[SIGNATURE_BYTES - 1] & 1)


def parse(received: bytes) -> Greeting | None:
    """What the other end's first bytes say; None if there are too few as yet.

    :param received: all that has come, with what may follow the greeting.
    :raises ProtocolError: NOT_ZMTP.
    """
    versioned = is_versioned(received)
    if versioned is None:
        return None
    if not versioned:
        return Greeting(Version.V1_0, 0)
    if len(received) <= SIGNATURE_BYTES:
        return None
    revision = received[SIGNATURE_BYTES]
    if revision == 0:
        raise ProtocolError(Fault.NOT_ZMTP, "greeting: expected a revision >= 1, got 0")
    if revision == _REVISION_2_0:
        return _parse_2_0(received)
    if len(received) < GREETING_BYTES:
        return None
    return _parse_3_x(received)


def _parse_2_0(received: bytes) -> Greeting | None:
    if len(received) < _GREETING_2_0_BYTES:
        return None
    return Greeting(Version.V2_0, _GREETING_2_0_BYTES, type_number=received[_GREETING_2_0_BYTES - 1])


def _parse_3_x(received: bytes) -> Greeting:
    name = bytes(received[_MECHANISM]).rstrip(b"\0")
    if not name.isascii() or b"\0" in name or not name:
        raise ProtocolError(
            Fault.NOT_ZMTP, f"greeting: expected a mechanism's name in ASCII, filled up with zeros, got {name!r}"
        )
    # A later version has to speak 3.1 to us: it has seen our greeting.
    version = Version.V3_0 if received[SIGNATURE_BYTES : SIGNATURE_BYTES + 2] == b"\x03\x00" else Version.V3_1
    return Greeting(version, GREETING_BYTES, name.decode("ascii"), received[_AS_SERVER] == 1)
