"""Which mechanism the handshakes of a socket of engine zmtp have: by ZeroMQ's own options, or by its rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import zmq
from zmq.utils import z85

from ..errors import StartError
from ..switch.door import Admit as Admit
from ..switch.door import Door as Door
from ..switch.door import Entry as Entry
from ..switch.door import Refusal as Refusal
from ..terms import Mechanism
from ..zmtp import sodium
from ..zmtp.curve import CurveClient, CurveServer
from ..zmtp.events import Credentials as Credentials
from ..zmtp.mechanism import Null
from ..zmtp.plain import PlainClient, PlainServer


@dataclass(frozen=True, slots=True)
class ServesCurve:
    """Makes a server of CURVE with a `secret_key` of 32 bytes."""

    secret_key: bytes = field(repr=False)

    def __call__(self, properties: Mapping[str, bytes]) -> CurveServer:
        """For one connection; `properties` are what this end says of itself."""
        return CurveServer(properties, self.secret_key)


@dataclass(frozen=True, slots=True)
class AsksCurve:
    """Makes a client of CURVE with a `secret_key`, for a server with a `server_key`, both of 32 bytes."""

    secret_key: bytes = field(repr=False)
    server_key: bytes

    def __call__(self, properties: Mapping[str, bytes]) -> CurveClient:
        """For one connection; `properties` are what this end says of itself."""
        return CurveClient(properties, self.secret_key, self.server_key)


@dataclass(frozen=True, slots=True)
class AsksPlain:
    """Makes a client of PLAIN with a `username` and a `password`."""

    username: bytes
    password: bytes = field(repr=False)

    def __call__(self, properties: Mapping[str, bytes]) -> PlainClient:
        """For one connection; `properties` are what this end says of itself."""
        return PlainClient(properties, self.username, self.password)


def door_of(options: Mapping[int, Any]) -> Door:
    """How peers come in at a socket with these `options`, by libzmq's numbers. Does not yield.

    As with libzmq, ``curve_server`` counts for endpoints that connect too, and lets every key in.

    :raises StartError: if a key is none that can be used, or PyNaCl is missing.
    """
    if options.get(zmq.CURVE_SERVER):
        serves = ServesCurve(_key(options[zmq.CURVE_SECRETKEY]))
        _require_usable("curve_secretkey", sodium.public_of, serves.secret_key)
        return Door(serves, serves)
    if zmq.CURVE_SERVERKEY in options:
        asks = AsksCurve(_key(options[zmq.CURVE_SECRETKEY]), _key(options[zmq.CURVE_SERVERKEY]))
        _require_usable("curve_serverkey", sodium.shared_key, asks.server_key, asks.secret_key)
        return Door(asks, asks)
    if options.get(zmq.PLAIN_USERNAME):
        says = AsksPlain(options[zmq.PLAIN_USERNAME], options.get(zmq.PLAIN_PASSWORD, b""))
        return Door(says, says)
    return Door()


def asking_door(server_key: bytes, secret_key: bytes) -> Door:
    """The door of a socket that connects with CURVE. Does not yield.

    :param server_key: the public key of the other end, 32 bytes.
    :param secret_key: its own, 32 bytes.
    :raises StartError: as `door_of`.
    """
    asks = AsksCurve(secret_key, server_key)
    _require_usable("curve-serverkey", sodium.shared_key, server_key, secret_key)
    return Door(asks, asks)


def guarded_door(mechanism: Mechanism, secret_key: bytes | None, admit: Admit, door: Door) -> Door:
    """The door of a socket whose peers have a `mechanism`, and are let in by `admit`. Does not yield.

    :param secret_key: with CURVE: its own, of 32 bytes; None where `door` has it.
    :param door: how peers come in by ZeroMQ's own options.
    :raises StartError: as `door_of`.
    """
    if mechanism is Mechanism.NULL:
        return Door(Null, Null, admit)
    if mechanism is Mechanism.PLAIN:
        return Door(PlainServer, PlainServer, admit)
    if secret_key is None:
        return Door(door.accepting, door.connecting, admit)
    serves = ServesCurve(secret_key)
    _require_usable("curve-secret", sodium.public_of, secret_key)
    return Door(serves, serves, admit)


def _key(value: bytes) -> bytes:
    """A key as it is, of one that may be in ZeroMQ's form for text."""
    return value if len(value) == sodium.KEY_BYTES else z85.decode(value)


def _require_usable(name: str, use: Any, *keys: bytes) -> None:
    try:
        use(*keys)
    except sodium.Forged:
        raise StartError(f"{name}: expected a key of CURVE, got one that no connection can be made with") from None
    except ImportError as error:
        raise StartError(str(error)) from None
