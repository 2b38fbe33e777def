"""The mechanism CURVE: both ends know each other by keys, and all that follows is secret (RFC 26).

    client                              server
    HELLO    its short-term key       ->
                                      <- WELCOME  its short-term key, and a cookie
    INITIATE cookie, its own key,     ->
             vouch, metadata
                                      <- READY metadata, or ERROR

A capital letter is a public key: C and S are the keys of the two ends, C' and S' those made for one connection. As in
libzmq: ``curve_client_tools.hpp``, ``curve_server.cpp``. The server keeps C' and s' itself: its cookie only shows that
INITIATE belongs to this connection, so one that was recorded is of no use at another.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import metadata, sodium
from .commands import HELLO, INITIATE, READY, WELCOME, Command
from .errors import Fault, ProtocolError
from .events import Credentials
from .mechanism import Mechanism
from .session import Session

_VERSION = b"\1\0"
_PADDING = bytes(72)
_SIGNED = bytes(64)
_HELLO_BYTES, _WELCOME_BYTES = 194, 160
# Cookie, short nonce, and a box with C, the vouch and its nonce.
_LEAST_INITIATE_BYTES = 96 + 8 + sodium.MAC_BYTES + 32 + 96
_LEAST_READY_BYTES = 8 + sodium.MAC_BYTES


class _Curve(Mechanism):
    """What both ends have in common.

    :param properties: what this end says of itself.
    :param secret_key: its own, 32 bytes.
    :param expected: what the other end says first.
    """

    name = "CURVE"

    def __init__(self, properties: Mapping[str, bytes], secret_key: bytes, expected: bytes) -> None:
        super().__init__()
        sodium.require()
        self._properties = properties
        self._secret = secret_key
        self._expected = expected
        # Of this connection alone.
        self._key = b""

    def receive(self, command: Command) -> list[Command]:
        """Take in a `command`; see `Mechanism.receive`."""
        self.expect(command, self._expected)
        try:
            return self._take(command.data)
        except sodium.Forged:
            what = f"{command.name.decode()}: expected a box of the right keys that nothing has changed"
            raise ProtocolError(Fault.FORGED, what) from None

    def _take(self, data: bytes) -> list[Command]:
        raise NotImplementedError


class CurveClient(_Curve):
    """The end that connects and knows the server's key.

    :param properties: what this end says of itself.
    :param secret_key: its own, 32 bytes.
    :param server_key: the server's public key, 32 bytes.
    :raises ImportError: without PyNaCl.
    :raises ValueError: if `server_key` is none of the keys that can be used.
    """

    def __init__(self, properties: Mapping[str, bytes], secret_key: bytes, server_key: bytes) -> None:
        super().__init__(properties, secret_key, WELCOME)
        self._server = server_key
        self._short, self._short_secret = sodium.new_pair()
        nonce = _number(1)
        signed = sodium.box(_SIGNED, b"CurveZMQHELLO---" + nonce, server_key, self._short_secret)
        self._hello = _VERSION + _PADDING + self._short + nonce + signed

    def open(self) -> list[Command]:
        """HELLO; see `Mechanism.open`."""
        return [Command(HELLO, self._hello)]

    def _take(self, data: bytes) -> list[Command]:
        if self._expected == WELCOME:
            self._expected = READY
            return [self._initiate(data)]
        self._expected = b""
        _require_bytes("READY", data, _LEAST_READY_BYTES)
        found = sodium.unseal(data[8:], b"CurveZMQREADY---" + data[:8], self._key)
        self.found = metadata.parse(found)
        self.session = Session(self._key, as_server=False, sent=2, received=int.from_bytes(data[:8], "big"))
        return []

    def _initiate(self, welcome: bytes) -> Command:
        _require_bytes("WELCOME", welcome, _WELCOME_BYTES, exactly=True)
        found = sodium.open_box(welcome[16:], b"WELCOME-" + welcome[:16], self._server, self._short_secret)
        server_short, cookie = found[:32], found[32:]
        self._key = sodium.shared_key(server_short, self._short_secret)
        number = sodium.random_bytes(16)
        vouch = sodium.box(self._short + self._server, b"VOUCH---" + number, server_short, self._secret)
        said = sodium.public_of(self._secret) + number + vouch + metadata.encode(self._properties)
        nonce = _number(2)
        return Command(INITIATE, cookie + nonce + sodium.seal(said, b"CurveZMQINITIATE" + nonce, self._key))


class CurveServer(_Curve):
    """The end that is connected to: its `credentials` are there after INITIATE, and it goes on after `allow`.

    :param properties: what this end says of itself.
    :param secret_key: its own, 32 bytes.
    :raises ImportError: without PyNaCl.
    """

    as_server = True

    def __init__(self, properties: Mapping[str, bytes], secret_key: bytes) -> None:
        super().__init__(properties, secret_key, HELLO)
        self._short = self._short_secret = self._cookie_key = self._client_short = b""
        self._last_nonce = 0
        self._claimed: dict[str, bytes] = {}

    def _take(self, data: bytes) -> list[Command]:
        if self._expected == HELLO:
            self._expected = INITIATE
            return [self._welcome(data)]
        self._expected = b""
        self._take_initiate(data)
        return []

    def allow(self) -> list[Command]:
        """READY; see `Mechanism.allow`."""
        self.decide()
        nonce = _number(1)
        boxed = sodium.seal(metadata.encode(self._properties), b"CurveZMQREADY---" + nonce, self._key)
        self.found = self._claimed
        self.session = Session(self._key, as_server=True, sent=1, received=self._last_nonce)
        return [Command(READY, nonce + boxed)]

    def _welcome(self, hello: bytes) -> Command:
        _require_bytes("HELLO", hello, _HELLO_BYTES, exactly=True)
        if hello[:2] != _VERSION:
            raise ProtocolError(Fault.BAD_HANDSHAKE, f"HELLO: expected CURVE 1.0, got {hello[0]}.{hello[1]}")
        self._client_short, nonce = hello[74:106], hello[106:114]
        if sodium.open_box(hello[114:], b"CurveZMQHELLO---" + nonce, self._client_short, self._secret) != _SIGNED:
            raise ProtocolError(Fault.FORGED, "HELLO: expected 64 bytes of zeros in its box")
        self._last_nonce = int.from_bytes(nonce, "big")
        self._short, self._short_secret = sodium.new_pair()
        self._cookie_key = sodium.random_bytes(sodium.KEY_BYTES)
        number = sodium.random_bytes(16)
        kept = self._client_short + self._short_secret
        cookie = number + sodium.seal(kept, b"COOKIE--" + number, self._cookie_key)
        number = sodium.random_bytes(16)
        return Command(
            WELCOME, number + sodium.box(self._short + cookie, b"WELCOME-" + number, self._client_short, self._secret)
        )

    def _take_initiate(self, initiate: bytes) -> None:
        _require_bytes("INITIATE", initiate, _LEAST_INITIATE_BYTES)
        cookie, nonce, boxed = initiate[:96], initiate[96:104], initiate[104:]
        kept = sodium.unseal(cookie[16:], b"COOKIE--" + cookie[:16], self._cookie_key)
        number = int.from_bytes(nonce, "big")
        if number <= self._last_nonce:
            raise ProtocolError(Fault.REPLAYED, "INITIATE: expected a nonce greater than that of HELLO")
        self._last_nonce = number
        self._key = sodium.shared_key(self._client_short, self._short_secret)
        said = sodium.unseal(boxed, b"CurveZMQINITIATE" + nonce, self._key)
        client, vouch = said[:32], said[48:128]
        vouched = sodium.open_box(vouch, b"VOUCH---" + said[32:48], client, self._short_secret)
        if (
            kept != self._client_short + self._short_secret
            or vouched[:32] != self._client_short
            or vouched[32:] != sodium.public_of(self._secret)
        ):
            raise ProtocolError(Fault.FORGED, "INITIATE: expected what the client's own key vouches for")
        self._claimed = metadata.parse(said[128:])
        self.credentials = Credentials(self.name, public_key=client)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _require_bytes(name: str, data: bytes, least: int, *, exactly: bool = False) -> None:
    if len(data) < least or (exactly and len(data) != least):
        rule = f"{least} bytes" if exactly else f"at least {least} bytes"
        raise ProtocolError(Fault.BAD_HANDSHAKE, f"{name}: expected {rule}, got {len(data)}")
