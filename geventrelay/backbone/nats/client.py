"""One connection to a server of NATS, as the library for it has it, but for what a backbone does otherwise.

The library goes on by itself when a connection ends, with what it has in its buffers, and drops what its queues have no
room for. Here a connection ends once and for all, what comes is handed on at once and in order, and how much waits to
go is bounded by the one who sends.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any

from nats import errors
from nats.aio.client import Client

CONNECT_S = 5
"""How long each step of a connection may take until it is there, in seconds."""
PING_S = 2
"""How often the server is asked whether it is there. After two questions without an answer, it is not."""

_TURN_S = 0.001
"""What comes is taken in for so long at once: then all else has a turn, however much there is."""

Sink = Callable[[str, bytes], None]
"""Takes what comes: the subject, and the bytes. It must not raise."""
Answers = Callable[[str, bytes, str, bytes], None]
"""Takes answers: the subject, the bytes, where to reply to, and headers. It must not raise."""


class Connection(Client):  # type: ignore[misc]
    """A connection to one server.

    :param sink: takes what comes.
    :param tls: what encrypts it; None where that is left to the server.
    """

    def __init__(self, sink: Sink, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._sink = sink
        self._answers: dict[int, Answers] = {}
        self._tls = tls
        self._turn_ends = 0.0
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Is done once it has ended, and says why."""
        self.refused: str = ""
        """What the server has refused last, in its words."""

    async def open(self, url: str, name: str, **login: Any) -> None:
        """Connect to the server at `url`, once.

        :param name: what the server is to call this connection.
        :param login: the library's own arguments for who this is.
        :raises OSError: if it cannot be reached, or `nats.errors.Error` if it does not let this one in.
        """
        await self.connect(
            [url],
            name=name,
            error_cb=self._on_error,
            allow_reconnect=False,
            no_echo=True,
            connect_timeout=CONNECT_S,
            ping_interval=PING_S,
            pending_size=0,
            tls=self._tls,
            **login,
        )
        # Without one of these it would look alive, and move nothing.
        for task in (self._reading_task, self._flusher_task):
            task.add_done_callback(lambda done: self.end("the library has stopped"))

    @property
    def about(self) -> dict[str, Any]:
        """What the server says of itself, as it sends it."""
        return dict(self._server_info)

    @property
    def tls_version(self) -> str:
        """The version of TLS that encrypts it; empty where none does."""
        writer = getattr(self._transport, "_io_writer", None)
        encrypted = None if writer is None else writer.get_extra_info("ssl_object")
        return "" if encrypted is None else str(encrypted.version())

    async def take_answers(self, inbox: str, sink: Answers) -> None:
        """Have answers come, those to subjects with one more word than `inbox`, and give them to `sink`."""
        subscription = await self.subscribe(f"{inbox}.*")
        self._answers[subscription._id] = sink

    def end(self, reason: str) -> None:
        """It has ended, for that `reason`. Does not yield."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def abort(self) -> None:
        """Close it without a word. Does not yield."""
        self.end("closed")
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def flushed(self) -> None:
        """Return once what waits was given to the system, or the connection has ended."""
        future = asyncio.get_running_loop().create_future()
        await self._flush_queue.put(future)
        await asyncio.wait((future, self.ended), return_when=asyncio.FIRST_COMPLETED)

    async def round_trip(self) -> float | None:
        """Ask the server whether it is there: how long its answer took, in seconds; None if the connection ends."""
        loop = asyncio.get_running_loop()
        answered, began = loop.create_future(), loop.time()
        await self._send_ping(answered)
        await asyncio.wait((answered, self.ended), return_when=asyncio.FIRST_COMPLETED)
        return loop.time() - began if answered.done() else None

    async def _select_next_server(self) -> None:
        server = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._tls is not None:
            # It would go on in clear, with the login.
            if not (info.get("tls_required") or info.get("tls_available")):
                raise errors.Error("nats: the server has no TLS")
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        name = subject.decode(errors="replace")
        # What was stored comes under the subject that it was sent to.
        answers = self._answers.get(sid)
        if answers is None:
            self._sink(name, data)
        else:
            answers(name, data, reply.decode(errors="replace"), headers or b"")
        if time.monotonic() >= self._turn_ends:
            # The library reads no more meanwhile.
            await asyncio.sleep(0)
            self._turn_ends = time.monotonic() + _TURN_S

    async def _process_err(self, err_msg: str) -> None:
        self.refused = err_msg.strip("'")
        if "permissions violation" not in err_msg:
            self.end(self.refused)

    async def _process_op_err(self, e: Exception) -> None:
        self.end(str(e).removeprefix("nats: ") or type(e).__name__)

    async def _on_error(self, error: Exception) -> None:
        """The library tells what has gone wrong; what ends the connection is told as that too."""
