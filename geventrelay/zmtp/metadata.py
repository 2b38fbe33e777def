"""What an end says of itself in a handshake: names and values (RFC 23, "Connection Metadata")."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import Fault, ProtocolError

SOCKET_TYPE, IDENTITY = "Socket-Type", "Identity"
_LONGEST_NAME = 255


def encode(properties: Mapping[str, bytes]) -> bytes:
    """The `properties` as bytes; each name has 1 to 255 characters of ASCII."""
    pieces = []
    for name, value in properties.items():
        raw = name.encode("ascii")
        if not 1 <= len(raw) <= _LONGEST_NAME:
            raise ValueError(f"a property's name: expected 1 to {_LONGEST_NAME} characters, got {len(raw)}")
        pieces.append(bytes([len(raw)]) + raw + len(value).to_bytes(4, "big") + value)
    return b"".join(pieces)


def parse(data: bytes) -> dict[str, bytes]:
    """The properties in `data`, by name in lower case, since case has no meaning in names. The last of one name counts.

    :raises ProtocolError: BAD_HANDSHAKE, if they do not fill `data` exactly, or a name is empty or not ASCII.
    """
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        value_at = name_end + 4
        value_end = value_at + int.from_bytes(data[name_end:value_at], "big")
        name = data[at + 1 : name_end]
        if not name or not name.isascii() or value_at > len(data) or value_end > len(data):
            raise ProtocolError(Fault.BAD_HANDSHAKE, f"metadata: expected names and values, got {data[at : at + 40]!r}")
        found[name.decode("ascii").lower()] = data[value_at:value_end]
        at = value_end
    return found
