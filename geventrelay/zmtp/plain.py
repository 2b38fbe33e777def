"""The mechanism PLAIN: the client says a name and a password, which any end on the way can read (RFC 23, RFC 24).

    client              server
    HELLO name password ->
                        <- WELCOME, or ERROR
    INITIATE metadata  ->
                        <- READY metadata

As in libzmq: ``plain_client.cpp``, ``plain_server.cpp``.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import metadata
from .commands import HELLO, INITIATE, READY, WELCOME, Command
from .errors import Fault, ProtocolError
from .events import Credentials
from .mechanism import Mechanism

MOST_BYTES = 255
"""Of a name, and of a password."""


class PlainClient(Mechanism):
    """The end that says who it is.

    :param properties: what this end says of itself.
    :param username: its name, at most 255 bytes.
    :param password: likewise.
    :raises ValueError: if one is too long.
    """

    name = "PLAIN"

    def __init__(self, properties: Mapping[str, bytes], username: bytes, password: bytes) -> None:
        for what, value in (("username", username), ("password", password)):
            if len(value) > MOST_BYTES:
                raise ValueError(f"{what}: expected at most {MOST_BYTES} bytes, got {len(value)}")
        super().__init__()
        self._properties = properties
        self._hello = bytes([len(username)]) + username + bytes([len(password)]) + password
        self._expected = WELCOME

    def open(self) -> list[Command]:
        """HELLO; see `Mechanism.open`."""
        return [Command(HELLO, self._hello)]

    def receive(self, command: Command) -> list[Command]:
        """Take in a `command`; see `Mechanism.receive`."""
        self.expect(command, self._expected)
        if self._expected == READY:
            self._expected = b""
            self.found = metadata.parse(command.data)
            return []
        if command.data:
            raise ProtocolError(Fault.BAD_HANDSHAKE, f"WELCOME: expected nothing more, got {len(command.data)} bytes")
        self._expected = READY
        return [Command(INITIATE, metadata.encode(self._properties))]


class PlainServer(Mechanism):
    """The end that asks: its `credentials` are there after HELLO, and it goes on after `allow`.

    :param properties: what this end says of itself.
    """

    name = "PLAIN"
    as_server = True

    def __init__(self, properties: Mapping[str, bytes]) -> None:
        super().__init__()
        self._properties = properties
        self._expected = HELLO

    def receive(self, command: Command) -> list[Command]:
        """Take in a `command`; see `Mechanism.receive`."""
        self.expect(command, self._expected)
        if self._expected == HELLO:
            username, password = _parse_hello(command.data)
            self._expected = b""
            self.credentials = Credentials(self.name, username, password)
            return []
        self._expected = b""
        self.found = metadata.parse(command.data)
        return [Command(READY, metadata.encode(self._properties))]

    def allow(self) -> list[Command]:
        """WELCOME; see `Mechanism.allow`."""
        self.decide()
        self._expected = INITIATE
        return [Command(WELCOME)]


def _parse_hello(data: bytes) -> tuple[bytes, bytes]:
    name_end = 1 + data[0] if data else 0
    password = data[name_end + 1 :]
    if name_end >= len(data) or data[name_end] != len(password):
        # What came is not shown: it may be a password.
        raise ProtocolError(Fault.BAD_HANDSHAKE, f"HELLO: expected a name and a password, got {len(data)} bytes")
    return data[1:name_end], password
