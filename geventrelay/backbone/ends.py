"""The ends of a device's private sockets that the backbone has: ZMTP over a unix socket, in asyncio.

::

    device --backbone_out (PUB)---> Subscriber       device --backbone_news (PUSH)--> NewsReader
    device <--backbone_in (PULL)--- Pusher

    device --backbone_work_out (PUSH)--> WorkEnd     device <--backbone_work_in (PULL)--- WorkEnd
    queue <--backbone_work_out (DEALER)--> WorkEnd   queue <--backbone_work_in (ROUTER)--> WorkEnd

So the backbone is the same for both engines, and what it moves are the bytes of many messages in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ..zmtp.connection import Connection
from ..zmtp.errors import ProtocolError
from ..zmtp.events import Ready
from .whole import WholeMessages, split

# More is not read before this has been taken: it is in the device's queue then, which has its own bounds.
_MOST_READ_BYTES = 256 * 1024
# Beyond this, a writer waits: as much as one pack has a few times over.
_MOST_UNWRITTEN_BYTES = 256 * 1024

_SUBSCRIBE = 1


class _End(asyncio.Protocol):
    """One connection: its handshake, then messages.

    :param socket_type: this end's, as ``"SUB"``.
    :param routing_id: what it calls itself; empty if nothing.
    """

    def __init__(self, socket_type: str, routing_id: bytes = b"") -> None:
        self.connection = Connection(socket_type, routing_id)
        self.whole = WholeMessages()
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._is_ready = False
        self._ended: Exception | None = None
        self._reading_paused = self._writing_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: set[asyncio.Future[None]] = set()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the other end."""
        assert isinstance(transport, asyncio.Transport)  # of a stream
        self._transport = transport
        transport.set_write_buffer_limits(high=_MOST_UNWRITTEN_BYTES)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, or take messages in."""
        try:
            if not self._is_ready:
                data = self._shake_hands(data)
            if self._is_ready:
                self.whole.feed(data)
        except (ProtocolError, ValueError) as error:
            self._end(ConnectionError(str(error)))
            self.close()
            return
        if self.whole.count:
            # What comes while none is taken comes in one piece later: a piece costs as much as many messages.
            is_enough = self._reader is None or self.whole.nbytes >= _MOST_READ_BYTES
            _wake(self._reader)
            if is_enough and self._transport is not None and not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Have writers wait."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Have writers go on."""
        self._writing_paused = False
        for writer in self._writers:
            _wake(writer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake all that wait: nothing more comes."""
        self._end(ConnectionError(str(exc) if exc is not None else "the device has ended the connection"))

    # What the ends call

    def flush(self) -> None:
        """Send what the connection has to send."""
        data = self.connection.to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    async def read(self) -> tuple[bytes, int]:
        """Whole messages, at least one, and how many.

        :raises ConnectionError: once nothing more comes.
        """
        while not self.whole.count:
            if self._ended is not None:
                raise self._ended
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        taken = self.whole.take()
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        return taken

    async def write(self, data: bytes) -> None:
        """Write `data`, and wait while much is unwritten.

        :raises ConnectionError: if the connection has ended.
        """
        if self._ended is not None or self._transport is None:
            raise self._ended or ConnectionError("the connection has ended")
        self._transport.write(data)
        while self._writing_paused and self._ended is None:
            writer = self._loop.create_future()
            self._writers.add(writer)
            try:
                await writer
            finally:
                self._writers.discard(writer)
        if self._ended is not None:
            raise self._ended

    @property
    def unwritten(self) -> int:
        """How many bytes wait to be written."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        """End the connection, without a wait for what is unwritten; may be called twice."""
        if self._transport is not None:
            self._transport.abort()

    def _shake_hands(self, data: bytes) -> bytes:
        """Go on with the handshake; what has come after it."""
        self.connection.receive(data)
        event = self.connection.next_event()
        self.flush()
        if not isinstance(event, Ready):
            return b""
        self._is_ready = True
        if not self.ready.done():
            self.ready.set_result(None)
        return self.connection.take_rest()

    def _end(self, error: Exception) -> None:
        if self._ended is not None:
            return
        self._ended = error
        if not self.ready.done():
            self.ready.set_exception(error)
        for one in (self._reader, *self._writers):
            _wake(one)


class Subscriber:
    """Messages that the device has for other relays: of those topics that they want.

    :param end: what `open` has connected.
    """

    def __init__(self, end: _End) -> None:
        self._end = end
        self._topics: frozenset[bytes] = frozenset()

    @classmethod
    async def open(cls, path: str) -> Subscriber:
        """Connect to the socket at `path`.

        :raises OSError: if that cannot be done; a `ConnectionError` is one.
        """
        return cls(await _open(path, "SUB"))

    def set_topics(self, topics: Collection[bytes]) -> None:
        """Ask for these topics, which are prefixes, and for no other.

        What comes first is the new ones, so that a topic that is in both is never without.
        """
        wanted = frozenset(topics)
        for topic in sorted(wanted - self._topics):
            self._end.connection.subscribe(topic)
        for topic in sorted(self._topics - wanted):
            self._end.connection.cancel(topic)
        self._topics = wanted
        self._end.flush()

    async def read(self) -> tuple[bytes, int]:
        """Whole messages as frames of ZMTP, at least one, and how many.

        :raises ConnectionError: if the device has ended the connection.
        """
        return await self._end.read()

    def close(self) -> None:
        """End the connection."""
        self._end.close()


class NewsReader:
    """What the subscribers of the device begin and end to want.

    :param end: what `open` has connected.
    """

    def __init__(self, end: _End) -> None:
        self._end = end

    @classmethod
    async def open(cls, path: str) -> NewsReader:
        """Connect to the socket at `path`; see `Subscriber.open`."""
        return cls(await _open(path, "PULL"))

    async def read(self) -> list[tuple[bytes, bool]]:
        """News, in their order: topics, and whether each is wanted from now on. A topic is wanted or not: no counts.

        :raises ConnectionError: if the device has ended the connection.
        """
        while True:
            data, _ = await self._end.read()
            # Subscribers may send messages upstream too, which are no news.
            news = [
                (parts[0][1:], parts[0][0] == _SUBSCRIBE)
                for parts in split(data)
                if len(parts) == 1 and parts[0][:1] in (b"\0", b"\1")
            ]
            if news:
                return news

    def close(self) -> None:
        """End the connection."""
        self._end.close()


class Pusher:
    """Messages of other relays, for the subscribers of the device.

    :param end: what `open` has connected.
    """

    def __init__(self, end: _End) -> None:
        self._end = end

    @classmethod
    async def open(cls, path: str) -> Pusher:
        """Connect to the socket at `path`; see `Subscriber.open`."""
        return cls(await _open(path, "PUSH"))

    async def write(self, data: bytes) -> None:
        """Hand `data` over, which is whole messages as frames of ZMTP, and wait while the device has no room.

        :raises ConnectionError: if the device has ended the connection.
        """
        await self._end.write(data)

    @property
    def unwritten(self) -> int:
        """How many bytes the device has not taken yet."""
        return self._end.unwritten

    def close(self) -> None:
        """End the connection; what is unwritten is lost."""
        self._end.close()


class WorkEnd:
    """Messages for one worker each, or the replies to these: one socket, whose one peer this is.

    :param end: what `open` has connected.
    """

    def __init__(self, end: _End) -> None:
        self._end = end

    @classmethod
    async def open(cls, path: str, socket_type: str, routing_id: bytes = b"") -> WorkEnd:
        """Connect to the socket at `path`.

        :param socket_type: what this is to that socket, as ``"PULL"``.
        :param routing_id: what it is to be called there; empty for any name.
        :raises OSError: if that cannot be done; a `ConnectionError` is one.
        """
        return cls(await _open(path, socket_type, routing_id))

    async def read(self) -> tuple[bytes, int]:
        """Whole messages as frames of ZMTP, at least one, and how many.

        :raises ConnectionError: if the device has ended the connection.
        """
        return await self._end.read()

    async def write(self, data: bytes) -> None:
        """Hand `data` over, which is whole messages as frames of ZMTP, and wait while the device has no room.

        :raises ConnectionError: if the device has ended the connection.
        """
        await self._end.write(data)

    def close(self) -> None:
        """End the connection; what is unwritten is lost."""
        self._end.close()


async def _open(path: str, socket_type: str, routing_id: bytes = b"") -> _End:
    loop = asyncio.get_running_loop()
    _, end = await loop.create_unix_connection(lambda: _End(socket_type, routing_id), path)
    try:
        await end.ready
    except BaseException:
        end.close()
        raise
    return end


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
