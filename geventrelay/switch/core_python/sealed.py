"""A connection of CURVE: what comes is opened before it is understood, what goes is sealed before it is written."""

from __future__ import annotations

import os
from collections import deque

from ...zmtp import frames
from ...zmtp.bounds import Bounds
from ...zmtp.errors import ProtocolError
from ...zmtp.frames import FrameReader
from ...zmtp.session import SEALED_BYTES, Session
from .queue import Queue
from .run import frame_body

_MOST_OPENED = 65536
"""After so many bytes others have their turn, and after so many frames."""
_MOST_FRAMES = 256
_MOST_SEALED = 65536
"""So much is sealed at a time, or one message."""


class Sealed:
    """What one connection of CURVE has.

    Messages that are sealed stay in their queue until the kernel has taken them wholly. Where it takes no more, all but
    the one that is written in half are sealed anew later: until then they can be dropped as others.

    :param session: the two ends'.
    :param bounds: what may come.
    """

    def __init__(self, session: Session, bounds: Bounds) -> None:
        self._session = session
        self._reader = FrameReader(bounds.frame_bytes, bounds.command_bytes)
        self._reader.expect_sealed(SEALED_BYTES)
        # Of what comes next.
        self._error: ProtocolError | None = None
        self._output = b""
        # Of the output: the bytes of commands, which come first; of each message behind them, the bytes that it has
        # sealed and as it is; and how many were written of the first one.
        self._of_commands = 0
        self._messages: deque[tuple[int, int]] = deque()
        self._loose = 0

    @property
    def unread_bytes(self) -> int:
        """How many bytes have come and are not opened."""
        return self._reader.unread

    def feed(self, data: bytes | memoryview) -> None:
        """Take in `data` that has come."""
        self._reader.feed(data)

    def forget(self) -> None:
        """Nothing more is done with what has come."""
        self._reader.take_rest()

    def open_some(self) -> bytes:
        """Some of what has come, as the frames within; nothing if more has to come first.

        :raises ProtocolError: if it must not come.
        """
        found: list[bytes] = []
        size = 0
        try:
            while self._error is None and size < _MOST_OPENED and len(found) < _MOST_FRAMES:
                frame = self._reader.next()
                if frame is None:
                    break
                within = self._session.open(frame)
                found.append(frames.encode(within.body, more=within.more, command=within.command))
                size += len(frame.body)
        except ProtocolError as error:
            # First comes what was before it.
            self._error = error
        if self._error is not None and not found:
            raise self._error
        return b"".join(found)

    @property
    def has_output(self) -> bool:
        """Whether something is sealed and not written."""
        return bool(self._output)

    def write(self, fd: int, control: bytearray, queue: Queue) -> int:
        """Seal something if nothing is, and write it once.

        :param fd: where to.
        :param control: frames that go before the messages; emptied once they are sealed.
        :param queue: the messages; it forgets those that are written wholly.
        :returns: how many those are.
        :raises OSError: as `os.write`.
        """
        if not self._output:
            self._seal(control, queue)
        try:
            count = os.write(fd, self._output)
        except BlockingIOError:
            self._shorten(queue)
            raise
        self._output = self._output[count:]
        of_commands = min(count, self._of_commands)
        self._of_commands -= of_commands
        self._loose += count - of_commands
        delivered = 0
        queue.rewind()
        while self._messages and self._messages[0][0] <= self._loose:
            sealed, plain = self._messages.popleft()
            self._loose -= sealed
            delivered += queue.advance(plain)
        if self._output:
            self._shorten(queue)
        return delivered

    def _seal(self, control: bytearray, queue: Queue) -> None:
        output = self._sealed(bytes(control))
        control.clear()
        self._of_commands, self._loose = len(output), 0
        for message in queue.from_first():
            sealed = self._sealed(message)
            output += sealed
            self._messages.append((len(sealed), len(message)))
            if len(output) >= _MOST_SEALED:
                break
        self._output = bytes(output)

    def _shorten(self, queue: Queue) -> None:
        """Keep only what is written in half."""
        left = self._of_commands
        if self._loose:
            left = self._messages[0][0] - self._loose
            queue.begin()
        while len(self._messages) > bool(self._loose):
            self._messages.pop()
        self._output = self._output[:left]

    def _sealed(self, data: bytes) -> bytearray:
        """Whole frames, each in a sealed one."""
        output, at = bytearray(), 0
        while at < len(data):
            flags = data[at]
            body, at = frame_body(data, at)
            more, command = bool(flags & frames.MORE), bool(flags & frames.COMMAND)
            output += frames.encode(self._session.seal(data[body:at], more=more, command=command))
        return output
