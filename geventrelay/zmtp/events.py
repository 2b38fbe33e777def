"""What comes out of a connection, in the order in which the other end has sent it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .greeting import Version
from .session import Session


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of the other end once its handshake is done.

    :ivar version: of ZMTP, that both ends speak.
    :ivar socket_type: its type, as ``"PUSH"``; None if it speaks ZMTP 1.0, which does not tell.
    :ivar routing_id: what it calls itself; ``b""`` for nothing.
    :ivar metadata: all that it has said of itself, by name in lower case.
    :ivar session: how frames are sealed; None where they are not.
    """

    version: Version
    socket_type: str | None
    routing_id: bytes
    metadata: dict[str, bytes] = field(default_factory=dict)
    session: Session | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the other end shows for itself: the handshake goes on after `Connection.allow` or `Connection.deny`.

    :ivar mechanism: as ``"PLAIN"``.
    :ivar username: of PLAIN, and `password` too; that stands in no repr.
    :ivar public_key: of CURVE, 32 bytes: the other end has shown that it has the secret key.
    """

    mechanism: str
    username: bytes = b""
    password: bytes = field(default=b"", repr=False)
    public_key: bytes = b""


@dataclass(frozen=True, slots=True)
class Ready:
    """The handshake is done, and messages may come and go."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message: at least one part."""

    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The other end wants the messages that begin with `topic`; ``b""`` is all of them."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """The other end takes one `Subscribe` of the same `topic` back."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """The other end asks for a sign of life; the answer is among the bytes to send already.

    :ivar ttl_ds: after how many tenths of a second without another sign from it this end may give it up; 0 for never.
    """

    ttl_ds: int
    context: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a PING of this end, with the `context` that it had."""

    context: bytes


Event = Credentials | Ready | Message | Subscribe | Cancel | Ping | Pong
