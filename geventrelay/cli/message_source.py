"""The source of watched messages: a tap's endpoint or a server over HTTP, chosen by the options of a command."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Protocol

import gevent

from ..engine.fair import FairYield
from ..errors import SettingsError
from ..recording import Record, RecordFilter
from .endpoint import read_endpoint
from .http_stream import open_http
from .message_options import WatchOptions
from .tap_stream import TapStream

# When nothing has answered for so long, the user is told.
_PATIENCE_S = 1.0


class Stream(Protocol):
    """Messages as they come."""

    def begin(self) -> bool:
        """Wait until messages are seen; whether each one is seen from now on. Yields."""

    def receive(self) -> list[Record]:
        """Wait for the next messages, at least one; none at the end. Yields if there is none yet."""

    def close(self) -> None:
        """Close it."""


class MessageSource:
    """Watched messages, in batches; iterate over it once. A context manager.

    :param where: where they come from, as the user wrote it.
    :param stream: the messages; closed at the end.
    :param chosen: selects the messages.
    :param count: how many messages to return; None is no limit.
    :param limit_s: for how long, in seconds; None is no limit.
    :param hint: what has to be there, said where nothing is.
    """

    def __init__(
        self,
        where: str,
        stream: Stream,
        chosen: RecordFilter,
        count: int | None,
        limit_s: float | None,
        hint: str = "",
    ) -> None:
        self._hint = hint
        self._where, self._stream, self._chosen, self._left = where, stream, chosen, count
        self._until = None if limit_s is None else time.monotonic() + limit_s

    def __enter__(self) -> MessageSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def begin(self) -> str | None:
        """Wait until messages are seen, and say on standard error if that takes long. Yields.

        :returns: what is seen, to show to the user; None if the time was over first.
        """
        with _said_later(f"waiting for {self._where}{self._hint}"):
            complete = gevent.with_timeout(self._left_s(), self._stream.begin, timeout_value=None)
        if complete is None:
            return None
        return self._where if complete else f"{self._where}, connected to a publisher that is no tap"

    def __iter__(self) -> Iterator[list[Record]]:
        with FairYield() as turn:
            while self._left is None or self._left:
                # Also under a flood, where no stream has to wait.
                turn.wait()
                records = self._receive()
                if not records:
                    return
                taken = list(filter(self._chosen, records))[: self._left]
                if self._left is not None:
                    self._left -= len(taken)
                yield taken

    def _receive(self) -> list[Record]:
        """The next messages; none at the end of the stream or of the time."""
        left_s = self._left_s()
        if left_s is not None and left_s <= 0:
            return []
        return gevent.with_timeout(left_s, self._stream.receive, timeout_value=[])

    def _left_s(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - time.monotonic())


@contextlib.contextmanager
def _said_later(text: str) -> Iterator[None]:
    """Print `text` on standard error if the ``with`` block takes long."""
    saying = gevent.spawn_later(_PATIENCE_S, print, text, file=sys.stderr, flush=True)
    try:
        yield
    finally:
        saying.kill()


def watch(name: str, where: str, options: WatchOptions) -> MessageSource:
    """Begin to watch messages. Yields.

    :param name: the name of `where` in an error.
    :param where: a tap's endpoint, or an http URL.
    :param options: which messages to watch, and for how long.
    :raises SettingsError: if `where` breaks a rule, or the options do not fit it.
    :raises StartError: if no messages can be watched there.
    """
    stream: Stream
    if where.startswith(("http://", "https://")):
        for flag, given in options.given():
            raise SettingsError(flag, "an endpoint of ZeroMQ to go with it", given)
        query = {
            "direction": options.direction,
            "topic": options.topic,
            "sample": None if options.sample == 1 else options.sample,
        }
        stream = open_http(name, where, "tap", query, device=options.device, token_file=options.token_file)
        # The server has applied the filter already.
        return MessageSource(where, stream, RecordFilter(), options.count, options.seconds_s)
    for flag, value in (("--device", options.device), ("--token-file", options.token_file)):
        if value is not None:
            raise SettingsError(flag, "an http:// address to go with it", where)
    endpoint, keys = read_endpoint(name, where), options.socket_options()
    stream = TapStream(endpoint, options.direction, os.fsencode(options.topic), keys)
    hint = " (a tap or a publisher; for the port of --http, give http://HOST:PORT)"
    return MessageSource(where, stream, options.filter, options.count, options.seconds_s, hint)
