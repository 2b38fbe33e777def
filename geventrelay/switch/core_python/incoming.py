"""The bytes of one connection: whole messages, commands, and what is there of the next message."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ...zmtp import commands, frames
from ...zmtp.bounds import Bounds
from ...zmtp.errors import Fault, ProtocolError
from .run import Run

_LONG = struct.Struct(">Q")
_OF_MESSAGES = frames.MORE | frames.LARGE
_UNKNOWN_FLAGS = 0xFF ^ (frames.MORE | frames.LARGE | frames.COMMAND)
_LONG_1_0 = 0xFF


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription to `topic`, or its end if it is not `wanted`; as a command or as a message."""

    topic: bytes
    wanted: bool


Found = Run | Subscription | commands.Command
Buffer = bytearray


class Reader:
    """Finds whole messages and commands, and goes on in a message that was there in part.

    :param bounds: what may come.
    :param v1_0: whether the other end speaks ZMTP 1.0, and with it frames of its own form.
    :param legacy: whether it speaks 1.0 or 2.0, which have no commands.
    :param subscriptions: whether subscriptions may come.
    :param run_messages: how many messages a run has at most.
    :ivar ends: after `next`, where each message of its run ends in the buffer.
    :ivar between: after `next`, where a command begins and ends that came between the parts of a message; None if it
        came elsewhere. Call `take_out` once it is obeyed.
    """

    def __init__(self, bounds: Bounds, *, v1_0: bool, legacy: bool, subscriptions: bool, run_messages: int) -> None:
        self.ends: list[int] = []
        self.between: tuple[int, int] | None = None
        self._bounds = bounds
        self._legacy = legacy
        self._subscriptions = subscriptions
        self._run_messages = run_messages
        self._head = self._head_1_0 if v1_0 else self._head_2_0
        self._v1_0 = v1_0
        # Of the next message: what has been looked at already.
        self._walked = 0
        self._parts = 0
        self._body_bytes = 0

    @property
    def within_message(self) -> bool:
        """Whether parts of a message have come, and not all."""
        return self._parts > 0

    def next(self, buffer: Buffer, start: int, size: int, at: float) -> Found | None:
        """What comes next; None if it is not there wholly.

        :param buffer: where it is.
        :param start: where it begins.
        :param size: where what has come ends.
        :param at: when it came.
        :raises ProtocolError: if it must not come.
        """
        if not self._v1_0 and not self._walked:
            run = self._messages(buffer, start, size, at)
            if run is not None:
                return run
        return self._one(buffer, start, size, at)

    def take_out(self, buffer: Buffer, size: int) -> int:
        """Have what follows the command `between` move up to the parts before it, which may be large, and stay.

        :param buffer: where it is.
        :param size: where what has come ends.
        :returns: where that ends then.
        """
        if self.between is None:
            return size
        first, end = self.between
        self.between = None
        buffer[first : first + size - end] = buffer[end:size]
        return first + size - end

    def step_back(self) -> None:
        """What `next` has found was not taken, or not wholly: look at what follows from its beginning."""
        self._walked = self._parts = self._body_bytes = 0
        self.between = None

    def _messages(self, buffer: Buffer, start: int, size: int, at: float) -> Run | None:
        """As many whole messages as there are; None if what comes next is something else, or is not there wholly."""
        subscriptions = self._subscriptions
        ends: list[int] = []
        parts = body_bytes = 0
        most = min(0xFF, self._bounds.frame_bytes, self._bounds.message_bytes)
        place, last, run_messages = start, size - 1, self._run_messages
        while place < last and len(ends) < run_messages:
            if not buffer[place]:
                # One short part: the usual case.
                length = buffer[place + 1]
                end = place + 2 + length
                if end > size or length > most or (subscriptions and length and buffer[place + 2] <= 1):
                    break
                parts += 1
                body_bytes += length
            else:
                found = self._message_at(buffer, place, size)
                if found is None:
                    break
                end = found[0]
                parts += found[1]
                body_bytes += found[2]
            ends.append(end)
            place = end
        if not ends:
            return None
        self.ends = ends
        data = bytes(memoryview(buffer)[start:place])
        return Run(data, [end - start for end in ends] if start else ends, parts, len(data) - body_bytes, at)

    def _message_at(self, buffer: Buffer, at: int, size: int) -> tuple[int, int, int] | None:
        """Where a message ends, its parts and their bytes; None if it is not there wholly, or is no plain message."""
        parts = body_bytes = 0
        flags, bounds = frames.MORE, self._bounds
        while flags & frames.MORE:
            if at + 9 > size:
                return None
            flags = buffer[at]
            if flags & frames.LARGE:
                body, length = at + 9, int(_LONG.unpack_from(buffer, at + 1)[0])
            else:
                body, length = at + 2, buffer[at + 1]
            at = body + length
            parts += 1
            body_bytes += length
            if at > size or flags & ~_OF_MESSAGES or length > bounds.frame_bytes:
                return None
        if parts > bounds.parts or body_bytes > bounds.message_bytes:
            return None
        if self._subscriptions and parts == 1 and body_bytes and buffer[at - body_bytes] <= 1:
            return None
        return at, parts, body_bytes

    def _one(self, buffer: Buffer, start: int, size: int, at: float) -> Found | None:
        """The next command, or the next message, of any form."""
        while True:
            head = self._head(buffer, start + self._walked, size)
            if head is None:
                return None
            flags, body, length = head
            self._check(flags, length)
            end = body + length
            if end > size:
                return None
            if flags & frames.COMMAND:
                return self._command(buffer, start, body, end)
            self._walked = end - start
            self._parts += 1
            self._body_bytes += length
            if not flags & frames.MORE:
                return self._message(buffer, start, end, at)

    def _check(self, flags: int, length: int) -> None:
        """Refuse a frame by its head, before its body is kept."""
        bounds = self._bounds
        command = bool(flags & frames.COMMAND)
        most, what = (bounds.command_bytes, "command") if command else (bounds.frame_bytes, "frame")
        if length > most:
            raise ProtocolError(Fault.TOO_LARGE, f"a {what}: expected at most {most} bytes, got {length}")
        if command:
            return
        if self._body_bytes + length > bounds.message_bytes:
            raise ProtocolError(Fault.UNFINISHED, f"a message: expected at most {bounds.message_bytes} bytes")
        if self._parts >= bounds.parts:
            raise ProtocolError(Fault.TOO_MANY_PARTS, f"a message: expected at most {bounds.parts} parts")

    def _command(self, buffer: Buffer, start: int, body: int, end: int) -> Found:
        if self._legacy:
            raise ProtocolError(Fault.BAD_FRAME, "ZMTP 1.0 and 2.0 have no commands, got one")
        command = commands.parse(bytes(memoryview(buffer)[body:end]))
        self.ends = [end]
        if self._walked:
            # libzmq puts a PING also between the parts of a message.
            self.ends, self.between = [start], (start + self._walked, end)
        if self._subscriptions and command.name in (commands.SUBSCRIBE, commands.CANCEL):
            return self._subscription(command.data, wanted=command.name == commands.SUBSCRIBE)
        return command

    def _message(self, buffer: Buffer, start: int, end: int, at: float) -> Found:
        parts, body_bytes = self._parts, self._body_bytes
        self._walked = self._parts = self._body_bytes = 0
        self.ends = [end]
        data = bytes(memoryview(buffer)[start:end])
        if self._v1_0:
            data = _as_2_0(data)
        if self._subscriptions and parts == 1 and body_bytes and data[-body_bytes] <= 1:
            return self._subscription(data[len(data) - body_bytes + 1 :], wanted=data[-body_bytes] == 1)
        return Run(data, [len(data)], parts, len(data) - body_bytes, at)

    def _subscription(self, topic: bytes, *, wanted: bool) -> Subscription:
        most = self._bounds.topic_bytes
        if len(topic) > most:
            raise ProtocolError(Fault.TOPIC_TOO_LONG, f"a topic: expected at most {most} bytes, got {len(topic)}")
        return Subscription(topic, wanted)

    def _head_2_0(self, buffer: Buffer, at: int, size: int) -> tuple[int, int, int] | None:
        """Flags, where the body begins, and its length; None if the head is not there wholly."""
        if at >= size:
            return None
        flags = buffer[at]
        if flags & _UNKNOWN_FLAGS or (flags & frames.COMMAND and flags & frames.MORE):
            raise ProtocolError(Fault.BAD_FRAME, f"a frame's flags: expected 0 to 4 or 6, got {flags}")
        if not flags & frames.LARGE:
            return None if size - at < 2 else (flags, at + 2, buffer[at + 1])
        return None if size - at < 9 else (flags, at + 9, int(_LONG.unpack_from(buffer, at + 1)[0]))

    def _head_1_0(self, buffer: Buffer, at: int, size: int) -> tuple[int, int, int] | None:
        """The same of ZMTP 1.0, whose length counts the flags, which stand behind it."""
        if at >= size:
            return None
        length, place = buffer[at], at + 1
        if length == _LONG_1_0:
            if size - at < 9:
                return None
            length, place = int(_LONG.unpack_from(buffer, at + 1)[0]), at + 9
        if not length:
            raise ProtocolError(Fault.BAD_FRAME, "a frame's length in ZMTP 1.0: expected at least 1, got 0")
        return None if place >= size else (buffer[place] & frames.MORE, place + 1, length - 1)


def _as_2_0(data: bytes) -> bytes:
    """A whole message of ZMTP 1.0 as frames of 2.0."""
    found, at = [], 0
    while at < len(data):
        length, place = data[at], at + 1
        if length == _LONG_1_0:
            length, place = int(_LONG.unpack_from(data, at + 1)[0]), at + 9
        more = bool(data[place] & frames.MORE)
        at = place + length
        found.append(frames.encode(data[place + 1 : at], more=more))
    return b"".join(found)
