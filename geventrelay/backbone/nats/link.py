"""The link to NATS: always connected, or about to be. What is listened to is so again after each new connection."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import os
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ...backoff import Backoff
from ...errors import SettingsError, StartError
from ...log import event
from ...secret_files import read_text
from ...settings import Forwarder, Relay
from ..values import LinkState
from .address import ServerAddress, addresses, user_and_password

if TYPE_CHECKING:
    from .client import Answers, Connection, Sink

log = logging.getLogger("geventrelay")

MOST_PENDING_BYTES = 256 * 1024
"""So much waits at most between this process and the system; the rest waits where it is counted."""

_ROUND_TRIP_EVERY_S = 5.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 2.0
# What a server of NATS takes if its configuration says nothing else.
_MAX_PAYLOAD = 1024 * 1024


class Listener(Protocol):
    """What a link tells. Nothing here may yield or raise."""

    def on_connected(self) -> None:
        """There is a new connection, and all that is listened to is subscribed there."""

    def on_disconnected(self) -> None:
        """The connection has ended."""

    def on_data(self, subject: str, data: bytes) -> None:
        """`data` has come, which was sent to `subject`."""


def check_installed() -> None:
    """Look whether the library for NATS is there.

    :raises StartError: if it is not.
    """
    for module, package in (("nats", "nats-py"), ("nkeys", "nkeys")):
        if importlib.util.find_spec(module) is None:
            raise StartError(f"backbone needs {package}: pip install {package}, or pip install 'geventrelay[nats]'")


class Link:
    """Connects to one of several servers of NATS, and again whenever the connection ends.

    :param settings: the device's.
    :param relay: what others call the device, for the log.
    :raises StartError: if a file that it names cannot be used.
    :ivar reason: why it is not connected; empty if it is.
    :ivar connects: how many connections there were.
    :ivar round_trip_s: how long the last question to the server took, in seconds; None while that is not known.
    """

    def __init__(self, settings: Relay | Forwarder, relay: str = "") -> None:
        self._servers = addresses("backbone", settings.backbone)
        self._device, self._relay = settings.name, relay
        self._settings = settings
        try:
            # Read again for each connection: secrets are replaced in their files.
            _login(settings)
            self._has_tls = settings.backbone_ca is not None or settings.backbone_cert is not None
            is_tls = self._has_tls or any(server.tls for server in self._servers)
            self._tls = _tls(settings) if is_tls else None
        except SettingsError as error:
            raise StartError(f"cannot join {settings.name} with others: {error}") from None
        self._subjects: frozenset[str] = frozenset()
        self._inbox: tuple[str, Answers] | None = None
        self._subscriptions: dict[str, Any] = {}
        self._connection: Connection | None = None
        self._server = ""
        self.reason = "not connected yet"
        self.connects = 0
        self.round_trip_s: float | None = None

    @property
    def state(self) -> LinkState:
        """How it stands with NATS."""
        return LinkState.CONNECTING if self._connection is None else LinkState.CONNECTED

    @property
    def server(self) -> str:
        """Which server it is connected to, without a login; empty if it is not connected."""
        return "" if self._connection is None else self._server

    @property
    def max_payload(self) -> int:
        """How large what is published may be, in bytes."""
        return _MAX_PAYLOAD if self._connection is None else int(self._connection.max_payload)

    @property
    def pending_bytes(self) -> int:
        """How much of what was published waits here, in bytes."""
        return 0 if self._connection is None else int(self._connection.pending_data_size)

    @property
    def listens(self) -> bool:
        """Whether it was told what to listen to."""
        return bool(self._subjects)

    async def run(self, listener: Listener) -> None:
        """Stay connected until this is cancelled.

        :param listener: what is told.
        """
        backoff, failures = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S), 0
        for server in itertools.cycle(self._servers):
            began = time.monotonic()
            is_connected = await self._once(server, listener)
            failures = 0 if is_connected else failures + 1
            if failures <= len(self._servers):
                log.warning(event("backbone-away", device=self._device, server=server, reason=self.reason))
            # Each server is tried before any is tried again.
            if is_connected or failures % len(self._servers) == 0:
                await asyncio.sleep(backoff.after(time.monotonic() - began if is_connected else 0.0))

    def expect(self, inbox: str, sink: Answers) -> None:
        """Give answers to `sink`: what comes to subjects with one more word than `inbox`. Before it is connected."""
        self._inbox = inbox, sink

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        """Send `data` under a `subject`, once there is room; whether there was a connection that took it.

        :param reply: where an answer is to go; empty if none is wanted.
        :param headers: what else NATS is told.
        """
        connection = self._connection
        if connection is None:
            return False
        while connection.pending_data_size > MOST_PENDING_BYTES and not connection.ended.done():
            await connection.flushed()
        if connection.ended.done():
            return False
        await connection.publish(subject, data, reply, None if headers is None else dict(headers))
        return True

    async def say(self, subject: str, word: bytes) -> bool:
        """Send a `word` under a `subject`; whether it needs not be sent again."""
        if len(word) > self.max_payload:
            # The server would end the connection. Its limit is far below what it is made with.
            log.warning(event("backbone-refused", device=self._device, reason=f"a word of {len(word)} bytes"))
            return True
        return await self.publish(subject, word)

    async def flushed(self) -> None:
        """Return once all that was published was given to the system, or at once without a connection."""
        if self._connection is not None:
            await self._connection.flushed()

    async def listen_to(self, subjects: Iterable[str]) -> None:
        """Have what comes under these `subjects`, and no others. What is published after this comes after it."""
        self._subjects = frozenset(subjects)
        if self._connection is not None:
            await self._subscribe(self._connection)

    async def _subscribe(self, connection: Connection) -> None:
        for subject in sorted(self._subjects - self._subscriptions.keys()):
            self._subscriptions[subject] = await connection.subscribe(subject)
        for subject in sorted(self._subscriptions.keys() - self._subjects):
            await self._subscriptions.pop(subject).unsubscribe()

    async def open(self, server: ServerAddress, sink: Sink) -> Connection:
        """A new connection to one `server`, whose data goes to `sink`; its caller aborts it.

        :raises Exception: any one that says why there is none; `words` has it in one line.
        """
        from .client import Connection

        connection = Connection(sink, self._tls if self._has_tls or server.tls else None)
        try:
            login = _login(self._settings) or _user(server.login)
            await connection.open(str(server), f"geventrelay {self._device}", **login)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _once(self, server: ServerAddress, listener: Listener) -> bool:
        """Connect once, and stay until the connection ends; whether there was one."""
        try:
            connection = await self.open(server, listener.on_data)
        except Exception as error:
            self.reason = words(error)
            return False
        try:
            self._subscriptions = {}
            if self._inbox is not None:
                await connection.take_answers(*self._inbox)
            await self._subscribe(connection)
            self._connection, self._server, self.reason = connection, str(server), ""
            self.connects += 1
            log.info(event("backbone-connected", device=self._device, relay=self._relay, server=server))
            listener.on_connected()
            await self._stay(connection)
            return True
        finally:
            if self._connection is not None:
                self._connection = self.round_trip_s = None
                listener.on_disconnected()
            connection.abort()

    async def _stay(self, connection: Connection) -> None:
        while not connection.ended.done():
            self.round_trip_s = await connection.round_trip() or self.round_trip_s
            if connection.refused:
                log.warning(event("backbone-refused", device=self._device, reason=connection.refused))
                connection.refused = ""
            await asyncio.wait((connection.ended,), timeout=_ROUND_TRIP_EVERY_S)
        self.reason = connection.ended.result()


def _login(settings: Relay | Forwarder) -> dict[str, str]:
    """The library's arguments for who this is, as files have it; empty if none does."""
    if settings.backbone_credentials is not None:
        read_text("backbone-credentials", settings.backbone_credentials, secret=True)
        return {"user_credentials": str(settings.backbone_credentials)}
    if settings.backbone_nkey is not None:
        read_text("backbone-nkey", settings.backbone_nkey, secret=True)
        return {"nkeys_seed": str(settings.backbone_nkey)}
    if settings.backbone_login is not None:
        text = read_text("backbone-login", settings.backbone_login, secret=True)
        return _user(text.partition("\n")[0].rstrip("\r"))
    return {}


def _user(login: str) -> dict[str, str]:
    found = user_and_password(login)
    if found is not None:
        return {"user": found[0], "password": found[1]}
    return {"token": login} if login else {}


def _tls(settings: Relay | Forwarder) -> ssl.SSLContext:
    ca, cert, key = settings.backbone_ca, settings.backbone_cert, settings.backbone_key
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("backbone-ca", f"a file with certificates ({words(error)})", str(ca)) from None
    if cert is not None and key is not None:
        read_text("backbone-key", key, secret=True)
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError("backbone-cert", f"a certificate and its key ({words(error)})", str(cert)) from None
    return context


def words(error: Exception) -> str:
    """What an `error` of a connection says, in one line. Does not yield."""
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, ConnectionError) and error.errno:
        # asyncio has other words for these, with the address, which the log shows already.
        text = os.strerror(error.errno)
    return " ".join(text.removeprefix("nats: ").strip("'\"").split()) or type(error).__name__
