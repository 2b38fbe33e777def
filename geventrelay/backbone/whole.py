"""Whole messages as bytes of ZMTP frames: found, counted and split, without an object for each message. Pure.

What travels over the backbone is frames as ZMTP 3.x has them (RFC 23), without commands. So a message is walked here,
from head to head, and copied only together with all those around it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..zmtp import frames

_MORE, _LARGE, _COMMAND = frames.MORE, frames.LARGE, frames.COMMAND
_LENGTH = struct.Struct(">Q")
_SHORT_HEAD, _LARGE_HEAD = 2, 9
# Where messages of equal size follow each other, so many heads are compared at once.
_HEADS_AT_ONCE = 512
_ZEROS = bytes(_HEADS_AT_ONCE)
# Below so many it is faster to go from one to the next; where sizes differ, it is not tried again at once.
_LEAST_AT_ONCE = 8
_STEPS_BETWEEN_TRIES = 16


def count(data: bytes) -> int:
    """How many messages `data` is: whole ones, and nothing else.

    :raises ValueError: if it ends within a message, or has a command or odd flags in it.
    """
    walk = _Walk()
    walk.on(data)
    if walk.whole != len(data):
        raise ValueError(f"frames: expected whole messages, got {len(data) - walk.whole} bytes of another one")
    return walk.count


def split(data: bytes) -> Iterator[list[bytes]]:
    """The messages that `data` is, as lists of their parts; it is as `count` wants it."""
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        flags = data[at]
        if flags & _LARGE:
            at += _LARGE_HEAD
            end = at + _LENGTH.unpack_from(data, at - _LENGTH.size)[0]
        else:
            at += _SHORT_HEAD
            end = at + data[at - 1]
        parts.append(data[at:end])
        at = end
        if not flags & _MORE:
            yield parts
            parts = []


def ends(data: bytes) -> Iterator[int]:
    """Where each of the messages ends that `data` is; it is as `count` wants it."""
    at = 0
    while at < len(data):
        flags = data[at]
        at += _LARGE_HEAD + _LENGTH.unpack_from(data, at + 1)[0] if flags & _LARGE else _SHORT_HEAD + data[at + 1]
        if not flags & _MORE:
            yield at


class WholeMessages:
    """Takes bytes in pieces of any size, and hands whole messages out. Commands in between are left out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._walk = _Walk()

    @property
    def nbytes(self) -> int:
        """How many bytes of whole messages can be taken."""
        return self._walk.whole

    @property
    def count(self) -> int:
        """How many messages that is."""
        return self._walk.count

    def feed(self, data: bytes) -> None:
        """Take in `data` that has come.

        :raises ValueError: if it has odd flags in it. No other call makes sense afterwards.
        """
        self._buffer += data
        walk = self._walk
        walk.on(self._buffer)
        while walk.command is not None:
            del self._buffer[walk.at : walk.command]
            walk.on(self._buffer)

    def take(self) -> tuple[bytes, int]:
        """The whole messages that are there, and how many; they are then no more here."""
        walk = self._walk
        taken, number = bytes(memoryview(self._buffer)[: walk.whole]), walk.count
        del self._buffer[: walk.whole]
        walk.at -= walk.whole
        walk.whole = walk.count = 0
        return taken, number


class _Walk:
    """How far frames have been understood.

    :ivar at: where the next frame begins.
    :ivar whole: where the last whole message ends.
    :ivar count: how many messages that is.
    :ivar command: where the whole command at `at` ends; None if there is none.
    """

    __slots__ = ("at", "command", "count", "whole")

    def __init__(self) -> None:
        self.at = self.whole = self.count = 0
        self.command: int | None = None

    def on(self, data: bytes | bytearray) -> None:
        """Go on in `data`, to its last whole frame or to a command."""
        at, whole, number, size = self.at, self.whole, self.count, len(data)
        self.command = None
        before, next_try = -1, 0
        while at + _SHORT_HEAD <= size:
            flags = data[at]
            if flags == 0:
                length = data[at + 1]
                end = at + _SHORT_HEAD + length
                if end > size:
                    break
                if length == before and whole == at and number >= next_try:
                    many = _equal(data, at, size, length)
                    if many:
                        at += many * (_SHORT_HEAD + length)
                        whole = at
                        number += many
                        continue
                    next_try = number + _STEPS_BETWEEN_TRIES
                before, at = length, end
                whole = at
                number += 1
                continue
            if flags & ~(_MORE | _LARGE | _COMMAND) or (flags & _COMMAND and flags & _MORE):
                raise ValueError(f"a frame's flags: expected 0 to 4 or 6, got {flags}")
            if flags & _LARGE:
                if at + _LARGE_HEAD > size:
                    break
                end = at + _LARGE_HEAD + _LENGTH.unpack_from(data, at + 1)[0]
            else:
                end = at + _SHORT_HEAD + data[at + 1]
            if end > size:
                break
            if flags & _COMMAND:
                self.command = end
                break
            before, at = -1, end
            if not flags & _MORE:
                whole = at
                number += 1
        self.at, self.whole, self.count = at, whole, number


def _equal(data: bytes | bytearray, at: int, size: int, length: int) -> int:
    """How many messages of one short part and the same `length` follow each other at least; 0 where that is few."""
    stride = _SHORT_HEAD + length
    many = min((size - at) // stride, _HEADS_AT_ONCE)
    if many < _LEAST_AT_ONCE:
        return 0
    end = at + many * stride
    if data[at:end:stride] != _ZEROS[:many] or data[at + 1 : end : stride] != bytes([length]) * many:
        return 0
    return many
