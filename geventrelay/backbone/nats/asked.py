"""Asks each server of NATS that a device names whether it would let it in, and what it is like."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from ..interest import ID_BYTES
from ..subjects import Subjects
from ..terms import RELAY_BYTES
from .address import ServerAddress, addresses
from .link import Link, check_installed, words
from .loop import run

LIMIT_S = 5.0
"""How long a server has for its answers. All are asked at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one server has answered.

    :ivar server: where it is, without a login.
    :ivar reason: why there is no connection; empty if there was one, and only then is the rest known.
    :ivar version: the server's own version.
    :ivar name: what it calls itself; `id` tells it from all others.
    :ivar cluster: the cluster that it is part of; empty if it is part of none.
    :ivar max_payload: how large a message to it may be, in bytes.
    :ivar tls: the version of TLS that encrypted the connection; empty where none did.
    :ivar jetstream: whether it has JetStream.
    :ivar asks_login: whether it lets no program in without a login.
    :ivar refused: what it does not let the device do; empty if the device may do all that it needs.
    :ivar round_trip_s: how long a question and its answer took, in seconds.
    """

    server: ServerAddress
    reason: str = ""
    version: str = ""
    name: str = ""
    id: str = ""
    cluster: str = ""
    max_payload: int = 0
    tls: str = ""
    jetstream: bool = False
    asks_login: bool = False
    refused: str = ""
    round_trip_s: float | None = None


def ask(settings: Any, limit_s: float = LIMIT_S) -> tuple[Answer, ...]:
    """Ask each server that the `settings` of a device name, in their order. Yields.

    Devices that have joined see none of it. What is sent has no receiver.

    :param limit_s: how long each may take, in seconds.
    :raises StartError: if the library for NATS is missing, or a file that the settings name cannot be used.
    """
    check_installed()
    return run(_ask_all(Link(settings), settings, limit_s))


async def _ask_all(link: Link, settings: Any, limit_s: float) -> tuple[Answer, ...]:
    servers = addresses("backbone", settings.backbone)
    subjects = Subjects(settings.backbone_prefix, settings.name)
    return tuple(await asyncio.gather(*(_ask(link, server, subjects, limit_s) for server in servers)))


async def _ask(link: Link, server: ServerAddress, subjects: Subjects, limit_s: float) -> Answer:
    try:
        return await asyncio.wait_for(_asked(link, server, subjects), limit_s)
    except Exception as error:
        return Answer(server=server, reason=words(error))


async def _asked(link: Link, server: ServerAddress, subjects: Subjects) -> Answer:
    connection = await link.open(server, lambda subject, data: None)
    try:
        own = subjects.relay(secrets.token_bytes(RELAY_BYTES)), subjects.stream(secrets.token_bytes(ID_BYTES))
        for subject in (subjects.all, *own):
            await connection.subscribe(subject)
        for subject in own:
            await connection.publish(subject, b"")
        # What it has refused it says before it answers; but the library lets a question pass what waits to be sent.
        await connection.flushed()
        round_trip_s = await connection.round_trip()
        if round_trip_s is None:
            raise ConnectionError(connection.ended.result())
        about = connection.about
        return Answer(
            server=server,
            version=str(about.get("version", "")),
            name=str(about.get("server_name", "")),
            id=str(about.get("server_id", "")),
            cluster=str(about.get("cluster", "")),
            max_payload=int(connection.max_payload),
            tls=connection.tls_version,
            jetstream=bool(about.get("jetstream")),
            asks_login=bool(about.get("auth_required")),
            refused=connection.refused,
            round_trip_s=round_trip_s,
        )
    finally:
        connection.abort()
