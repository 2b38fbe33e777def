"""The handshake between the greeting and the first message: what a mechanism is, and the one without security."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from . import metadata
from .commands import ERROR, READY, Command, parse_error
from .errors import Fault, ProtocolError


class Mechanism(Protocol):
    """One end's part in one handshake.

    :ivar name: as the greeting has it.
    :ivar as_server: whether this end is the server.
    :ivar found: what the other end has said of itself, by name in lower case; None as long as that is not known.
    """

    name: str
    as_server: bool
    found: dict[str, bytes] | None

    def open(self) -> list[Command]:
        """What this end sends first, once the other end's greeting is there."""

    def receive(self, command: Command) -> list[Command]:
        """Take in a command of the other end; what this end sends then.

        :raises ProtocolError: BAD_HANDSHAKE or REFUSED.
        """


class Null:
    """The mechanism NULL (RFC 23): both ends say READY.

    :param properties: what this end says of itself.
    """

    name = "NULL"
    as_server = False

    def __init__(self, properties: Mapping[str, bytes]) -> None:
        self.found: dict[str, bytes] | None = None
        self._properties = properties

    def open(self) -> list[Command]:
        """READY; see `Mechanism.open`."""
        return [Command(READY, metadata.encode(self._properties))]

    def receive(self, command: Command) -> list[Command]:
        """Take in a `command`, which has to be READY; see `Mechanism.receive`."""
        if command.name == ERROR:
            raise ProtocolError(Fault.REFUSED, f"the other end has refused: {parse_error(command.data)!r}")
        if command.name != READY:
            raise ProtocolError(Fault.BAD_HANDSHAKE, f"a handshake of NULL: expected READY, got {command.name!r}")
        self.found = metadata.parse(command.data)
        return []
