"""What an end says of itself in the handshake, and who the other end is by what it says."""

from __future__ import annotations

from . import metadata, socket_types
from .errors import Fault, ProtocolError
from .events import Peer
from .frames import Frame
from .greeting import Version
from .session import Session

MOST_ROUTING_ID_BYTES = 255
"""Of what an end calls itself: zmq_setsockopt(3), ZMQ_ROUTING_ID."""


def properties(socket_type: str, routing_id: bytes) -> dict[str, bytes]:
    """What an end of `socket_type` says of itself; its `routing_id` only where this type tells it."""
    found = {metadata.SOCKET_TYPE: socket_type.encode()}
    if socket_type in socket_types.TELL_ROUTING_ID:
        found[metadata.IDENTITY] = routing_id
    return found


def fitting(own_type: str, version: Version, found: dict[str, bytes], session: Session | None) -> Peer:
    """The other end by what it has said of itself, if it fits.

    :param own_type: the type of this end.
    :param version: that both ends speak.
    :param found: what the other end has said, by name in lower case.
    :param session: how frames are sealed; None where they are not.
    :raises ProtocolError: if its type does not fit, or its routing id is too long.
    """
    socket_type = found.get(metadata.SOCKET_TYPE.lower(), b"").decode("ascii", "backslashreplace")
    socket_types.require_fitting(own_type, socket_type)
    routing_id = found.get(metadata.IDENTITY.lower(), b"")
    if len(routing_id) > MOST_ROUTING_ID_BYTES:
        raise ProtocolError(
            Fault.BAD_HANDSHAKE,
            f"identity: expected at most {MOST_ROUTING_ID_BYTES} bytes, got {len(routing_id)}",
        )
    return Peer(version, socket_type, routing_id, found, session)


def legacy(version: Version, socket_type: str | None, frame: Frame) -> Peer:
    """The other end where it speaks ZMTP 1.0 or 2.0.

    :param version: which of them.
    :param socket_type: its type; None where it does not tell.
    :param frame: the first after its greeting, which has its routing id.
    :raises ProtocolError: if that is none.
    """
    if frame.more or frame.command or len(frame.body) > MOST_ROUTING_ID_BYTES:
        raise ProtocolError(
            Fault.BAD_HANDSHAKE,
            f"identity: expected one frame of at most {MOST_ROUTING_ID_BYTES} bytes, got {len(frame.body)} bytes",
        )
    return Peer(version, socket_type, frame.body)
