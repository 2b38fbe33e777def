"""A connection until its handshake is over."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import socket
from collections.abc import Callable
from typing import Any

from ..zmtp import events
from ..zmtp.connection import Connection, State
from ..zmtp.errors import Fault, ProtocolError
from ..zmtp.mechanism import REFUSED, TRY_AGAIN
from .door import Answer, Entry, Refusal
from .watchers import Watchers

# A greeting and a READY fit into this, and so do the first messages after them.
_READ_BYTES = 8192


class Handshake:
    """Reads and writes until the other end is known, or has done wrong. Nothing here yields.

    :param socket: the connection, which does not block; it is the owner's again when `on_end` is called.
    :param connection: this end.
    :param on_end: is called once with this, at the end.
    :param on_credentials: is called with this and what the other end shows for itself, if its mechanism has that; then
        `answer` is to be called, now or later.
    :ivar entry: who the other end is, once it was let in.
    :ivar peer: the other end, once the handshake is through, without its metadata.
    :ivar rest: what has come after it.
    :ivar reason: what to count a failure by; empty without one.
    :ivar refusal: why the other end was not let in; None if it was, or was not asked.
    :ivar refused: whether the other end was told so.
    :ivar what: one sentence about it.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_on_credentials",
        "_on_end",
        "_output",
        "_question",
        "_watchers",
        "entry",
        "peer",
        "reason",
        "refusal",
        "refused",
        "rest",
        "socket",
        "what",
    )

    def __init__(
        self,
        socket: Any,
        connection: Connection,
        on_end: Callable[[Handshake], None],
        on_credentials: Callable[[Handshake, events.Credentials], None] | None = None,
    ) -> None:
        self.socket = socket
        self.entry = Entry()
        self.refused = False
        self.peer: events.Peer | None = None
        self.rest = b""
        self.reason = self.what = ""
        self._connection = connection
        self._on_end = on_end
        self._on_credentials = on_credentials
        # What asks in a thread, and what it has said.
        self._question: Any = None
        self.refusal: Refusal | None = None
        self._output = b""
        self._watchers = Watchers(socket.fileno())

    def start(self) -> None:
        """Say the first words, unless this has come to its end. The handshake may end before this returns."""
        self._question = None
        if self.over:
            return
        self._watchers.reader.start(self._on_readable)
        self._attempt(self._write)

    def fail(self, reason: str, what: str) -> None:
        """Come to an end.

        :param reason: what to count it by.
        :param what: one sentence about it.
        """
        self.reason, self.what = reason, what
        self._end()

    @property
    def mechanism(self) -> str:
        """The name of the mechanism."""
        return self._connection.mechanism

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return self._watchers.closed

    def close(self) -> None:
        """Stop without an end. May be called twice."""
        self._watchers.close()
        question, self._question = self._question, None
        if question is not None:
            question.kill(block=False)

    def wait_for(self, question: Any) -> None:
        """The greenlet `question` calls `start` or `answer`; it is killed if this comes to its end before."""
        self._question = question

    def answer(self, answer: Answer) -> None:
        """Go on after `on_credentials`: let the other end in, or not. May be called at any time."""
        self._question = None
        if not self.over:
            self._attempt(functools.partial(self._decide, answer))

    def _on_readable(self) -> None:
        self._attempt(self._read)

    def _on_writable(self) -> None:
        self._watchers.writer.stop()
        self._attempt(self._write)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BlockingIOError:
            return
        except ProtocolError as error:
            self.fail(error.fault.value, str(error))
        except OSError as error:
            self.fail(errno.errorcode.get(error.errno or 0, "unknown"), error.strerror or str(error))

    def _read(self) -> None:
        if self._connection.asks:
            self._look_while_asking()
            return
        # All that has come: of a connection that was reset, libuv tells once.
        while not self.over and self.peer is None and self.refusal is None and not self._connection.asks:
            data = self.socket.recv(_READ_BYTES)
            if not data:
                raise ProtocolError(Fault.CUT, f"the connection has ended within the handshake{self._likely()}")
            self._connection.receive(data)
            self._go_on()
        if not self.over and not self._connection.asks:
            # It waits for its last words to be written.
            self._watchers.reader.stop()

    def _look_while_asking(self) -> None:
        """Notice the end of the connection before the answer; what has come else is read after it."""
        if self.socket.recv(1, socket.MSG_PEEK):
            self._watchers.reader.stop()
        else:
            raise ProtocolError(Fault.CUT, "the connection has ended before it was decided who may come in")

    def _likely(self) -> str:
        # libzmq's stream_engine.cpp ends a connection as soon as it reads of another mechanism than its own, before
        # its own is sent. So it is not known here.
        other = self.mechanism if self._connection.state is State.GREETING else "NULL"
        return "" if other == "NULL" else f"; a peer that does not use {other} ends it so"

    def _go_on(self) -> None:
        event = self._connection.next_event()
        if isinstance(event, events.Ready):
            # What more it has said of itself may take a megabyte, for as long as it stays.
            self.peer, self.rest = dataclasses.replace(event.peer, metadata={}), self._connection.take_rest()
        elif isinstance(event, events.Credentials):
            if self._on_credentials is not None:
                self._on_credentials(self, event)
            else:
                self._decide(self.entry)
            return
        self._write()

    def _decide(self, answer: Answer) -> None:
        if isinstance(answer, Refusal):
            self.refusal = answer
            self._connection.deny(TRY_AGAIN if answer.later else REFUSED)
            self._write()
        else:
            self.entry = answer
            self._connection.allow()
            self._go_on()
            if not self.over and self.peer is None:
                self._watchers.reader.start(self._on_readable)

    def _write(self) -> None:
        self._output += self._connection.to_send()
        if self._output:
            with contextlib.suppress(BlockingIOError):
                self._output = self._output[self.socket.send(self._output) :]
        if self._output:
            self._watchers.writer.start(self._on_writable)
        elif self.peer is not None:
            self._end()
        elif self.refusal is not None:
            self.refused = True
            self.fail(self.refusal.reason, self.refusal.what)

    def _end(self) -> None:
        self.close()
        self._on_end(self)
