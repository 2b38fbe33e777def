"""The handshake between the greeting and the first message: what a mechanism is, and the one without security."""

from __future__ import annotations

from collections.abc import Mapping

from . import metadata
from .commands import ERROR, READY, Command, parse_error
from .errors import Fault, ProtocolError
from .events import Credentials
from .session import Session

TRY_AGAIN, REFUSED = 300, 400
"""What `Mechanism.deny` is told, as in RFC 27: not now, or a firm no."""


class Mechanism:
    """One end's part in one handshake.

    :ivar name: as the greeting has it.
    :ivar as_server: whether this end is the server.
    :ivar found: what the other end has said of itself, by name in lower case; None as long as that is not known.
    :ivar credentials: what the other end shows for itself; None as long as it has not, or where it shows nothing. From
        then on the handshake waits for `allow` or `deny`.
    :ivar session: how frames are sealed after the handshake; None where they are not.
    """

    name = ""
    as_server = False

    def __init__(self) -> None:
        self.found: dict[str, bytes] | None = None
        self.credentials: Credentials | None = None
        self.session: Session | None = None
        self._decided = False

    def open(self) -> list[Command]:
        """What this end sends first, once the other end's greeting is there."""
        return []

    def receive(self, command: Command) -> list[Command]:
        """Take in a command of the other end; what this end sends then.

        :raises ProtocolError: BAD_HANDSHAKE, REFUSED, FORGED or REPLAYED.
        """
        raise NotImplementedError

    def allow(self) -> list[Command]:
        """Go on after `credentials`; what this end sends then.

        :raises ValueError: if no verdict is waited for.
        """
        raise ValueError(f"{self.name}: no verdict is waited for")

    def deny(self, status: int) -> list[Command]:
        """Go no further after `credentials`; what this end sends last.

        :param status: `TRY_AGAIN` says nothing; `REFUSED` says it with ERROR: a libzmq client never comes back then.
        :raises ValueError: if no verdict is waited for.
        """
        self.decide()
        return [] if status == TRY_AGAIN else [Command(ERROR, b"\3%d" % status)]

    @property
    def waits(self) -> bool:
        """Whether a verdict is waited for."""
        return self.credentials is not None and not self._decided

    def decide(self) -> None:
        """The verdict is there.

        :raises ValueError: if none is waited for.
        """
        if not self.waits:
            raise ValueError(f"{self.name}: no verdict is waited for")
        self._decided = True

    def expect(self, command: Command, name: bytes) -> None:
        """See that a `command` has the `name` that it must have now.

        :param name: ``b""`` for no command at all.
        :raises ProtocolError: BAD_HANDSHAKE or REFUSED.
        """
        if command.name == ERROR and not self.as_server:
            raise ProtocolError(Fault.REFUSED, f"the other end has refused: {parse_error(command.data)!r}")
        if command.name != name:
            expected = name.decode() or "nothing"
            raise ProtocolError(
                Fault.BAD_HANDSHAKE, f"a handshake of {self.name}: expected {expected}, got {command.name[:40]!r}"
            )


class Null(Mechanism):
    """The mechanism NULL (RFC 23): both ends say READY.

    :param properties: what this end says of itself.
    """

    name = "NULL"

    def __init__(self, properties: Mapping[str, bytes]) -> None:
        super().__init__()
        self._properties = properties

    def open(self) -> list[Command]:
        """READY; see `Mechanism.open`."""
        return [Command(READY, metadata.encode(self._properties))]

    def receive(self, command: Command) -> list[Command]:
        """Take in a `command`, which has to be READY; see `Mechanism.receive`."""
        self.expect(command, READY)
        self.found = metadata.parse(command.data)
        return []
