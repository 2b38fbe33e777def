"""The source of watched messages: a tap's endpoint or a server over HTTP, chosen by the options of a command."""

from __future__ import annotations

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


class Stream(Protocol):
    """Messages as they come."""

    def receive(self) -> list[Record]:
        """Wait for the next messages, at least one; none at the end. Yields if there is none yet."""

    def close(self) -> None:
        """Close it."""


class MessageSource:
    """Watched messages, in batches; iterate over it once. A context manager.

    :param stream: where they come from; closed at the end.
    :param chosen: selects the messages.
    :param count: how many messages to return; None is no limit.
    :param limit_s: for how long, in seconds; None is no limit.
    """

    def __init__(self, stream: Stream, chosen: RecordFilter, count: int | None, limit_s: float | None) -> None:
        self._stream, self._chosen, self._left = stream, chosen, count
        self._until = None if limit_s is None else time.monotonic() + limit_s

    def __enter__(self) -> MessageSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

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
        left_s = None if self._until is None else self._until - time.monotonic()
        if left_s is not None and left_s <= 0:
            return []
        return gevent.with_timeout(left_s, self._stream.receive, timeout_value=[])


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
        stream = open_http(name, where, options)
        # The server has applied the filter already.
        return MessageSource(stream, RecordFilter(), options.count, options.seconds_s)
    for flag, value in (("--device", options.device), ("--token-file", options.token_file)):
        if value is not None:
            raise SettingsError(flag, "an http:// address to go with it", where)
    stream = TapStream(read_endpoint(name, where), options.direction)
    return MessageSource(stream, options.filter, options.count, options.seconds_s)
