"""Socket types: which fit each other, and what numbers ZMTP 2.0 has for them."""

from __future__ import annotations

from .errors import Fault, ProtocolError

# libzmq's mechanism_t::check_socket_type, and RFC 37 under "The READY Command".
FITTING: dict[str, frozenset[str]] = {
    "PAIR": frozenset({"PAIR"}),
    "PUB": frozenset({"SUB", "XSUB"}),
    "SUB": frozenset({"PUB", "XPUB"}),
    "REQ": frozenset({"REP", "ROUTER"}),
    "REP": frozenset({"REQ", "DEALER"}),
    "DEALER": frozenset({"REP", "DEALER", "ROUTER"}),
    "ROUTER": frozenset({"REQ", "DEALER", "ROUTER"}),
    "PULL": frozenset({"PUSH"}),
    "PUSH": frozenset({"PULL"}),
    "XPUB": frozenset({"SUB", "XSUB"}),
    "XSUB": frozenset({"PUB", "XPUB"}),
}
"""The types of the other end that each type can talk to."""


def told(kind: str) -> dict[str, str]:
    """What the log says of a peer whose type does not fit: this end's type, `kind`, and those that would."""
    return {"type": kind, "fitting": "/".join(sorted(FITTING.get(kind, ())))}


# zmq.h; RFC 15 has the first nine.
NUMBERS = ("PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB")
"""The types by number."""

TELL_ROUTING_ID = frozenset({"REQ", "DEALER", "ROUTER"})
"""The types that tell the other end what they call themselves (libzmq's mechanism_t::add_basic_properties)."""

_LONGEST_TOLD = 40
"""Of what the other end calls its type: it may be as long as a command, and goes to the log."""

TO_SUBSCRIBERS = frozenset({"PUB", "XPUB"})
"""The types to which subscriptions come."""


def require_fitting(mine: str, other: str) -> None:
    """Nothing, if this end's type `mine` can talk to the type `other`.

    :raises ProtocolError: WRONG_TYPE.
    """
    fitting = FITTING[mine]
    if other not in fitting:
        told = other[:_LONGEST_TOLD]
        raise ProtocolError(
            Fault.WRONG_TYPE, f"socket type: expected {' or '.join(sorted(fitting))} at a {mine}, got {told!r}"
        )


def by_number(number: int | None) -> str:
    """The type that has a `number`.

    :raises ProtocolError: WRONG_TYPE, if there is none.
    """
    if number is None or number >= len(NUMBERS):
        raise ProtocolError(Fault.WRONG_TYPE, f"socket type: expected 0 to {len(NUMBERS) - 1}, got {number}")
    return NUMBERS[number]
