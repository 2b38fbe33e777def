"""Commands: frames that are no part of a message. Each has a name, and what the name calls for (RFC 37)."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Fault, ProtocolError

READY, ERROR = b"READY", b"ERROR"
HELLO, WELCOME, INITIATE = b"HELLO", b"WELCOME", b"INITIATE"
SUBSCRIBE, CANCEL = b"SUBSCRIBE", b"CANCEL"
PING, PONG = b"PING", b"PONG"

# How libzmq writes ERROR of PLAIN: in plain_common.hpp stands "\\x05ERROR", and C reads the E as a part of the number.
_ERROR_OF_LIBZMQ = b"^RROR"

_TTL_BYTES = 2
MOST_CONTEXT_BYTES = 16
"""Of a PING: RFC 37, "Heartbeating"."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its `name`, and the bytes after it."""

    name: bytes
    data: bytes = b""

    @property
    def body(self) -> bytes:
        """The same as a frame's body; `parse` of it is this again."""
        return bytes([len(self.name)]) + self.name + self.data


def parse(body: bytes) -> Command:
    """The command in a frame's `body`.

    :raises ProtocolError: BAD_FRAME, if it has no name.
    """
    if not body or not body[0] or len(body) <= body[0]:
        if body.startswith(_ERROR_OF_LIBZMQ):
            return Command(ERROR, body[len(_ERROR_OF_LIBZMQ) :])
        raise ProtocolError(Fault.BAD_FRAME, f"a command: expected its name, got {body[:40]!r}")
    return Command(body[1 : 1 + body[0]], body[1 + body[0] :])


def ping(ttl_ds: int, context: bytes = b"") -> Command:
    """PING.

    :param ttl_ds: after how many tenths of a second without another sign the other end may give this one up; 0 to
        65535.
    :param context: what the answer is to have, at most 16 bytes.
    """
    if len(context) > MOST_CONTEXT_BYTES:
        raise ValueError(f"the context of a PING: expected at most {MOST_CONTEXT_BYTES} bytes, got {len(context)}")
    return Command(PING, ttl_ds.to_bytes(_TTL_BYTES, "big") + context)


def parse_ping(data: bytes) -> tuple[int, bytes]:
    """The time to live, in tenths of a second, and the context of a PING's `data`.

    Of a context that is too long the first 16 bytes count, as in libzmq (zmtp_engine_t::process_heartbeat_message).

    :raises ProtocolError: BAD_FRAME.
    """
    if len(data) < _TTL_BYTES:
        raise ProtocolError(Fault.BAD_FRAME, f"PING: expected at least {_TTL_BYTES} bytes, got {len(data)}")
    return int.from_bytes(data[:_TTL_BYTES], "big"), data[_TTL_BYTES : _TTL_BYTES + MOST_CONTEXT_BYTES]


def parse_error(data: bytes) -> str:
    """The reason in an ERROR's `data`, as printable text; what is not ASCII is shown escaped.

    :raises ProtocolError: BAD_HANDSHAKE.
    """
    if not data or len(data) != 1 + data[0]:
        raise ProtocolError(Fault.BAD_HANDSHAKE, f"ERROR: expected a reason with its length, got {data[:40]!r}")
    return data[1:].decode("ascii", "backslashreplace")
