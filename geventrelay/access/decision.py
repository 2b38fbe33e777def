"""A peer asks to be let in, and one place decides: what is asked, and what the answer can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ..engine.grant import Grant
from ..terms import Denial as Denial
from ..terms import Mechanism as Mechanism
from .passwords import Hashed


@dataclass(frozen=True, slots=True)
class Request:
    """What a peer says of itself.

    :ivar mechanism: how it says so.
    :ivar domain: which socket it asks, ``DEVICE.KEY``, e.g. ``streamer.frontend``.
    :ivar address: its IP address without a port; ``""`` over ipc.
    :ivar username: with PLAIN.
    :ivar password: with PLAIN; it is shown nowhere.
    :ivar public_key: with CURVE, 32 bytes.
    """

    mechanism: Mechanism
    domain: str
    address: str
    username: str = ""
    password: str = field(default="", repr=False)
    public_key: bytes = b""


@dataclass(frozen=True, slots=True)
class Pass:
    """By what a peer was let in, so that it can be seen later whether that still counts.

    :ivar domain: see `Request`, and there of `address`.
    :ivar user: who it is; ``""`` for a peer without a name.
    :ivar public_key: with CURVE, where keys are known; else ``b""``.
    :ivar password: with PLAIN: what was kept of its password.
    """

    domain: str
    address: str
    user: str = ""
    public_key: bytes = b""
    password: Hashed | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """It is let in.

    :ivar user: who it is; ``""`` for a peer without a name.
    :ivar grant: what it may do at this socket, as libzmq has to be told; None for everything.
    :ivar by: what it was let in by.
    """

    user: str = ""
    grant: Grant | None = None
    by: Pass | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """It is not let in.

    :ivar reason: why.
    :ivar later: whether it may try again (ZAP 300). If not, a peer of libzmq never does (ZAP 400).
    """

    reason: Denial
    later: bool = False


Verdict = Allowed | Denied


class Decide(Protocol):
    """Says whether a peer is let in."""

    def __call__(self, request: Request) -> Verdict:
        """The answer to `request`.

        Pure. May take 0.1 s for a request with PLAIN: call it in the thread pool then. What it raises is no permission:
        the peer is not let in.
        """
