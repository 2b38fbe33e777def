"""What one end of a connection has to send: its handshake, then frames, in sealed ones where that is agreed."""

from __future__ import annotations

from collections.abc import Iterable

from . import frames
from .commands import Command
from .session import Session


class Outgoing:
    """Bytes that wait until they are taken.

    :ivar session: seals every frame that is put here from now on; None where none is sealed.
    """

    def __init__(self) -> None:
        self.session: Session | None = None
        self._output = bytearray()

    def take(self) -> bytes:
        """What is to be sent; it is then no more here."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def put(self, data: bytes) -> None:
        """Have `data` sent as it is."""
        self._output += data

    def put_command(self, command: Command) -> None:
        """Have a `command` sent."""
        if self.session is None:
            self._output += frames.encode(command.body, command=True)
        else:
            self._output += frames.encode(self.session.seal(command.body, command=True))

    def put_message(self, parts: Iterable[bytes], *, v1_0: bool) -> None:
        """Have a message sent.

        :param parts: at least one.
        :param v1_0: whether the other end speaks ZMTP 1.0; it seals nothing.
        :raises ValueError: without parts.
        """
        if self.session is None:
            self._output += frames.encode_message(parts, v1_0=v1_0)
            return
        every = list(parts)
        if not every:
            raise ValueError("a message: expected at least one part, got none")
        for index, part in enumerate(every, 1):
            self._output += frames.encode(self.session.seal(part, more=index < len(every)))
