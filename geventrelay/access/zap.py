"""ZAP, how libzmq asks whether a peer may connect: frames -> a request, and a verdict -> frames (RFC 27)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .decision import Allowed, Mechanism, Request, Verdict

ADDRESS = "inproc://zeromq.zap.01"
"""Where libzmq asks, in each context."""

_VERSION = b"1.0"
_IN, _LATER, _NEVER = b"200", b"300", b"400"
_MOST_ID_BYTES = 255
_KEY_BYTES = 32
# What libzmq says of a peer over ipc: which user, group and process it is (stream_engine_base.cpp), behind a name that
# getnameinfo gives to every socket of this kind.
_IPC = re.compile(r"(?:localhost)?(?::\d+){3}")

_NO_ADDRESS = "unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """What libzmq asks.

    :ivar envelope: what the answer has to begin with.
    :ivar id: which question it is.
    :ivar domain: of the socket, as it was set there.
    :ivar request: the peer; None if it could not be understood.
    """

    envelope: tuple[bytes, ...]
    id: bytes
    domain: str
    request: Request | None


def read(message: Sequence[bytes]) -> Asked | None:
    """What the frames of a `message` ask, as a ROUTER has read them; None if nothing could be answered.

    Does not yield.
    """
    end = 2 if len(message) > 2 and message[1] == b"" else 1
    envelope, frames = tuple(message[:end]), message[end:]
    if len(frames) < 2 or frames[0] != _VERSION or len(frames[1]) > _MOST_ID_BYTES:
        return None
    domain = _text(frames[2]) if len(frames) > 2 else ""
    return Asked(envelope, frames[1], domain, _request(domain, frames[2:]))


def _request(domain: str, frames: Sequence[bytes]) -> Request | None:
    # Domain, address, routing id, mechanism, credentials.
    if len(frames) < 4:
        return None
    address, name, credentials = _text(frames[1]), frames[3], frames[4:]
    # Of a connection that has ended, libzmq finds no address: that is not ipc, which rules for addresses let in.
    address = "" if _IPC.fullmatch(address) else address or _NO_ADDRESS
    if name == b"NULL" and not credentials:
        return Request(Mechanism.NULL, domain, address)
    if name == b"PLAIN" and len(credentials) == 2:
        username, password = map(_text, credentials)
        return Request(Mechanism.PLAIN, domain, address, username, password)
    if name == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == _KEY_BYTES:
        return Request(Mechanism.CURVE, domain, address, public_key=bytes(credentials[0]))
    return None


def answer(asked: Asked, verdict: Verdict, metadata: Mapping[str, str]) -> list[bytes]:
    """The frames of an answer, as a ROUTER sends them. Does not yield.

    :param asked: what was asked.
    :param verdict: what was decided.
    :param metadata: what libzmq is to put on every message of the peer, if it is let in (RFC 27, *metadata*).
    """
    if isinstance(verdict, Allowed):
        rest = [_IN, b"OK", _bytes(verdict.user), _written(metadata)]
    else:
        rest = [_LATER if verdict.later else _NEVER, verdict.reason.value.encode(), b"", b""]
    return [*asked.envelope, _VERSION, asked.id, *rest]


def _written(metadata: Mapping[str, str]) -> bytes:
    """The properties as a handshake has them (RFC 23): lengths of 1 and 4 bytes."""
    written = b""
    for name, text in metadata.items():
        value = _bytes(text)
        written += bytes((len(name),)) + name.encode() + len(value).to_bytes(4, "big") + value
    return written


def _text(frame: bytes) -> str:
    # So that bytes that are no UTF-8 stay what they are, and equal nothing else.
    return bytes(frame).decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
