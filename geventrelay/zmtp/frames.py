"""Frames: a head with flags and a length, and a body.

ZMTP 2.0 and 3.x (RFC 15, RFC 23) have ``flags length body``, where the length takes 1 or 8 bytes. ZMTP 1.0 (RFC 13) has
``length flags body``, where the length counts the flags, and takes 1 byte, or ``%xFF`` and 8 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import Fault, ProtocolError

MORE, LARGE, COMMAND = 1, 2, 4
_KNOWN_FLAGS = MORE | LARGE | COMMAND
_SHORT_MOST = 255
_LARGE_HEAD = struct.Struct(">BQ")
_LONG_1_0 = 0xFF


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of ZMTP.

    :ivar body: its bytes.
    :ivar more: whether another frame of the same message follows.
    :ivar command: whether it is a command, and no part of a message.
    """

    body: bytes
    more: bool = False
    command: bool = False


def encode(body: bytes, *, more: bool = False, command: bool = False) -> bytes:
    """A frame of ZMTP 2.0 and later as bytes.

    :param body: its bytes.
    :param more: whether another frame of the same message follows.
    :param command: whether it is a command, and no part of a message.
    """
    flags = MORE * more | COMMAND * command
    if len(body) <= _SHORT_MOST:
        return bytes([flags, len(body)]) + body
    return _LARGE_HEAD.pack(flags | LARGE, len(body)) + body


def encode_1_0(body: bytes, *, more: bool = False) -> bytes:
    """A frame of ZMTP 1.0 as bytes: its `body`, and whether `more` of the same message follows."""
    length = len(body) + 1
    if length < _LONG_1_0:
        return bytes([length, MORE * more]) + body
    return bytes([_LONG_1_0]) + length.to_bytes(8, "big") + bytes([MORE * more]) + body


def encode_message(parts: Iterable[bytes], *, v1_0: bool = False) -> bytes:
    """A message as bytes.

    :param parts: at least one.
    :param v1_0: whether the other end speaks ZMTP 1.0.
    :raises ValueError: if there are no parts.
    """
    every = list(parts)
    if not every:
        raise ValueError("a message: expected at least one part, got none")
    one = encode_1_0 if v1_0 else encode
    return b"".join(one(part, more=True) for part in every[:-1]) + one(every[-1])


class FrameReader:
    """Takes bytes in pieces of any size, and hands out whole frames.

    :param most_bytes: of a frame's body. What is larger is refused by its head, before any of it is kept.
    :param most_command_bytes: likewise, of a command.
    :param v1_0: whether the other end speaks ZMTP 1.0.
    """

    def __init__(self, most_bytes: int, most_command_bytes: int, *, v1_0: bool = False) -> None:
        self._most = most_bytes
        self._most_command = most_command_bytes
        self._most_around = 0
        self._head = self._head_1_0 if v1_0 else self._head_2_0
        self._buffer = bytearray()
        # Of the buffer, what has been handed out: to cut it off at each frame would move the rest each time.
        self._start = 0

    @property
    def unread(self) -> int:
        """How many bytes have come that no frame has been made of."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes | memoryview) -> None:
        """Take in `data` that has come."""
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def next(self) -> Frame | None:
        """The next whole frame; None if there is none as yet.

        :raises ProtocolError: BAD_FRAME or TOO_LARGE. No other call makes sense afterwards.
        """
        head = self._head()
        if head is None:
            return None
        flags, start, length = head
        self._check(flags, length)
        end = start + length
        if len(self._buffer) < end:
            return None
        self._start = end
        return Frame(bytes(memoryview(self._buffer)[start:end]), bool(flags & MORE), bool(flags & COMMAND))

    def expect_sealed(self, more_bytes: int) -> None:
        """From now on each frame has another within, which is smaller by `more_bytes`: see `check`."""
        self._most_around = max(self._most, self._most_command) + more_bytes

    def check(self, frame: Frame) -> Frame:
        """See that a `frame` that was within another is not too large; the same frame.

        :raises ProtocolError: TOO_LARGE.
        """
        self._refuse_larger(self._most_command if frame.command else self._most, len(frame.body), frame.command)
        return frame

    def take_rest(self) -> bytes:
        """All bytes that no frame has been made of; they are then no more here."""
        rest = bytes(self._buffer[self._start :])
        self._buffer.clear()
        self._start = 0
        return rest

    def _head_2_0(self) -> tuple[int, int, int] | None:
        """Flags, where the body begins, and its length."""
        buffer, start = self._buffer, self._start
        if len(buffer) - start < 1:
            return None
        flags = buffer[start]
        if flags & ~_KNOWN_FLAGS or (flags & COMMAND and flags & MORE):
            raise ProtocolError(Fault.BAD_FRAME, f"a frame's flags: expected 0 to 4 or 6, got {flags}")
        if not flags & LARGE:
            return None if len(buffer) - start < 2 else (flags, start + 2, buffer[start + 1])
        if len(buffer) - start < _LARGE_HEAD.size:
            return None
        return flags, start + _LARGE_HEAD.size, _LARGE_HEAD.unpack_from(buffer, start)[1]

    def _head_1_0(self) -> tuple[int, int, int] | None:
        buffer, start = self._buffer, self._start
        if len(buffer) - start < 1:
            return None
        at, length = start + 1, buffer[start]
        if length == _LONG_1_0:
            at += 8
            if len(buffer) < at:
                return None
            length = int.from_bytes(buffer[start + 1 : at], "big")
        if not length:
            raise ProtocolError(Fault.BAD_FRAME, "a frame's length in ZMTP 1.0: expected at least 1, got 0")
        if len(buffer) < at + 1:
            return None
        return buffer[at] & MORE, at + 1, length - 1

    def _check(self, flags: int, length: int) -> None:
        command = bool(flags & COMMAND)
        self._refuse_larger(self._most_around or (self._most_command if command else self._most), length, command)

    def _refuse_larger(self, most: int, length: int, command: bool) -> None:
        if length > most:
            what = "command" if command else "frame"
            raise ProtocolError(Fault.TOO_LARGE, f"a {what}: expected at most {most} bytes, got {length}")
