"""The wire of the replay port: what is asked of it and what it answers, as frames and back. Pure, for both ends.

docs/replay.rst has the same in ABNF. A number is one of a message in the log: 8 bytes, big endian, without a sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

VERSION = b"GR01"
"""The first frame of each request and answer."""

MOST_TAG_BYTES = 32
MOST_PREFIXES = 500
"""How many prefixes a request may have. With more to ask for, ask for all."""

EPOCH_BYTES = 16
NUMBER_BYTES = 8
LARGEST_NUMBER = 2**63 - 1
"""The largest number that is taken; a log has smaller ones."""

HEAD, FETCH = b"HEAD", b"FETCH"
MESSAGE, LOST, END, EPOCH, ERROR = b"MESSAGE", b"LOST", b"END", b"EPOCH", b"ERROR"

_SHOWN_BYTES = 40


class WireError(ValueError):
    """Frames that mean nothing here; the text is one line that names the input, the rule and the value.

    :ivar tag: the request's; empty if the frames are of another version or shape.
    """

    def __init__(self, text: str, tag: bytes = b"") -> None:
        super().__init__(text)
        self.tag = tag


@dataclass(frozen=True, slots=True)
class Head:
    """Asks what the log has.

    :ivar tag: the asker's own, of 0 to 32 bytes; each answer has it too.
    """

    tag: bytes = b""

    def frames(self) -> list[bytes]:
        """The request as frames."""
        return [VERSION, self.tag, HEAD]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Asks for messages.

    :ivar tag: as in `Head`.
    :ivar epoch: the life of the device that the numbers are of, 16 bytes; empty for the one that is.
    :ivar first: the number to begin with.
    :ivar last: the number to end with; None for the newest message at the time of the request.
    :ivar prefixes: only messages that begin with one of these; none for all.
    """

    tag: bytes
    epoch: bytes
    first: int
    last: int | None = None
    prefixes: tuple[bytes, ...] = ()

    def frames(self) -> list[bytes]:
        """The request as frames."""
        last = b"" if self.last is None else number_bytes(self.last)
        return [VERSION, self.tag, FETCH, self.epoch, number_bytes(self.first), last, *self.prefixes]


Request = Head | Fetch


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """What the log has.

    :ivar tag: the request's.
    :ivar epoch: the life of the device.
    :ivar oldest: the number of the oldest message that is kept; `next` if none is.
    :ivar next: the number that the next message will have.
    :ivar stamped: whether subscribers get each message with its number as its last part.
    """

    tag: bytes
    epoch: bytes
    oldest: int
    next: int
    stamped: bool

    def frames(self) -> list[bytes]:
        """The answer as frames."""
        numbers = number_bytes(self.oldest), number_bytes(self.next)
        return [VERSION, self.tag, HEAD, self.epoch, *numbers, b"\1" if self.stamped else b"\0"]


@dataclass(frozen=True, slots=True)
class MessageAnswer:
    """One message, as it was published, without a stamp.

    :ivar tag: the request's.
    :ivar number: the message's.
    :ivar parts: the message.
    """

    tag: bytes
    number: int
    parts: tuple[bytes, ...]

    def frames(self) -> list[bytes]:
        """The answer as frames."""
        return message_frames(self.tag, self.number, self.parts)


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """Messages that are kept no more; some of them may not have begun with the prefixes that were asked for.

    :ivar tag: the request's.
    :ivar first: the number of the first one.
    :ivar end: the number after the last one.
    """

    tag: bytes
    first: int
    end: int

    def frames(self) -> list[bytes]:
        """The answer as frames."""
        return [VERSION, self.tag, LOST, number_bytes(self.first), number_bytes(self.end)]


@dataclass(frozen=True, slots=True)
class EndAnswer:
    """All of the answer has come.

    :ivar tag: the request's.
    :ivar epoch: the life of the device.
    :ivar next: the number after the last one that the answer speaks of.
    """

    tag: bytes
    epoch: bytes
    next: int

    def frames(self) -> list[bytes]:
        """The answer as frames."""
        return [VERSION, self.tag, END, self.epoch, number_bytes(self.next)]


@dataclass(frozen=True, slots=True)
class EpochAnswer:
    """The numbers of the request are of another life of the device. Nothing else comes.

    :ivar tag: the request's.
    :ivar epoch: the life that is.
    :ivar oldest: as in `HeadAnswer`.
    :ivar next: likewise.
    """

    tag: bytes
    epoch: bytes
    oldest: int
    next: int

    def frames(self) -> list[bytes]:
        """The answer as frames."""
        return [VERSION, self.tag, EPOCH, self.epoch, number_bytes(self.oldest), number_bytes(self.next)]


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The request was not understood, or cannot be answered. Nothing else comes.

    :ivar tag: the request's; empty if it is of another version or shape.
    :ivar text: one line that names the input, the rule and the value.
    """

    tag: bytes
    text: str

    def frames(self) -> list[bytes]:
        """The answer as frames."""
        return [VERSION, self.tag, ERROR, self.text.encode("utf-8", "backslashreplace")]


Answer = HeadAnswer | MessageAnswer | LostAnswer | EndAnswer | EpochAnswer | ErrorAnswer


def message_frames(tag: bytes, number: int, parts: Sequence[bytes]) -> list[bytes]:
    """A `MessageAnswer` of this `tag`, `number` and `parts` as frames."""
    return [VERSION, tag, MESSAGE, number_bytes(number), *parts]


def number_bytes(number: int) -> bytes:
    """A message's `number` as it is sent."""
    return number.to_bytes(NUMBER_BYTES, "big")


def split_delimiter(frames: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The empty frame that a REQ puts in front, if there is one, and the other `frames`.

    What is in front of a request goes in front of each answer.
    """
    begin = 1 if frames and not frames[0] else 0
    return list(frames[:begin]), list(frames[begin:])


def read_request(frames: Sequence[bytes]) -> Request:
    """The request that `frames` are, without a delimiter.

    :raises WireError: if they are none.
    """
    tag, kind, rest = _opened(frames)
    if kind == HEAD:
        if rest:
            raise WireError(f"HEAD: expected 3 parts (version, tag, HEAD), got {len(frames)}", tag)
        return Head(tag)
    if kind != FETCH:
        raise WireError(f"kind: expected HEAD or FETCH, got {_shown(kind)}", tag)
    if len(rest) < 3:
        rule = "6 parts (version, tag, FETCH, epoch, first, last) and prefixes"
        raise WireError(f"FETCH: expected {rule}, got {len(frames)}", tag)
    epoch, first, last = rest[0], _number("first", rest[1], tag), None
    if len(rest) - 3 > MOST_PREFIXES:
        raise WireError(f"prefixes: expected at most {MOST_PREFIXES}, got {len(rest) - 3}", tag)
    if len(epoch) not in (0, EPOCH_BYTES):
        raise WireError(f"epoch: expected 0 or {EPOCH_BYTES} bytes, got {len(epoch)}", tag)
    if rest[2]:
        last = _number("last", rest[2], tag)
        if last < first:
            raise WireError(f"last: expected a number >= first ({first}), got {last}", tag)
    return Fetch(tag, epoch, first, last, tuple(rest[3:]))


def read_answer(frames: Sequence[bytes]) -> Answer:
    """The answer that `frames` are, without a delimiter.

    :raises WireError: if they are none.
    """
    tag, kind, rest = _opened(frames)
    if kind == MESSAGE:
        if len(rest) < 2:
            raise WireError(f"MESSAGE: expected 5 parts or more, got {len(frames)}", tag)
        return MessageAnswer(tag, _number("number", rest[0], tag), tuple(rest[1:]))
    if kind == LOST:
        _expect(kind, 2, frames, tag)
        first, end = _number("first", rest[0], tag), _number("end", rest[1], tag)
        if end <= first:
            raise WireError(f"end: expected a number > first ({first}), got {end}", tag)
        return LostAnswer(tag, first, end)
    if kind == END:
        _expect(kind, 2, frames, tag)
        return EndAnswer(tag, _epoch(rest[0], tag), _number("next", rest[1], tag))
    if kind == HEAD:
        _expect(kind, 4, frames, tag)
        if rest[3] not in (b"\0", b"\1"):
            raise WireError(f"stamped: expected 0 or 1 in one byte, got {_shown(rest[3])}", tag)
        return HeadAnswer(tag, _epoch(rest[0], tag), *_oldest_and_next(rest[1:3], tag), rest[3] == b"\1")
    if kind == EPOCH:
        _expect(kind, 3, frames, tag)
        return EpochAnswer(tag, _epoch(rest[0], tag), *_oldest_and_next(rest[1:], tag))
    if kind == ERROR:
        _expect(kind, 1, frames, tag)
        return ErrorAnswer(tag, rest[0].decode("utf-8", "backslashreplace"))
    raise WireError(f"kind: expected an answer's, such as MESSAGE or END, got {_shown(kind)}", tag)


def _opened(frames: Sequence[bytes]) -> tuple[bytes, bytes, Sequence[bytes]]:
    """The tag and kind of `frames`, and what follows."""
    if not frames or frames[0] != VERSION:
        raise WireError(f"version: expected {VERSION.decode()}, got {_shown(frames[0]) if frames else 'no part'}")
    if len(frames) < 3:
        raise WireError(f"message: expected 3 parts or more, got {len(frames)}")
    if len(frames[1]) > MOST_TAG_BYTES:
        raise WireError(f"tag: expected at most {MOST_TAG_BYTES} bytes, got {len(frames[1])}")
    return frames[1], frames[2], frames[3:]


def _expect(kind: bytes, count: int, frames: Sequence[bytes], tag: bytes) -> None:
    if len(frames) != 3 + count:
        raise WireError(f"{kind.decode()}: expected {3 + count} parts, got {len(frames)}", tag)


def _oldest_and_next(frames: Sequence[bytes], tag: bytes) -> tuple[int, int]:
    oldest, next_ = _number("oldest", frames[0], tag), _number("next", frames[1], tag)
    if next_ < oldest:
        raise WireError(f"next: expected a number >= oldest ({oldest}), got {next_}", tag)
    return oldest, next_


def _epoch(frame: bytes, tag: bytes) -> bytes:
    if len(frame) != EPOCH_BYTES:
        raise WireError(f"epoch: expected {EPOCH_BYTES} bytes, got {len(frame)}", tag)
    return frame


def _number(name: str, frame: bytes, tag: bytes) -> int:
    if len(frame) != NUMBER_BYTES:
        raise WireError(f"{name}: expected a number of {NUMBER_BYTES} bytes, got {len(frame)} bytes", tag)
    number = int.from_bytes(frame, "big")
    if number > LARGEST_NUMBER:
        raise WireError(f"{name}: expected a number up to {LARGEST_NUMBER}, got {number}", tag)
    return number


def _shown(frame: bytes) -> str:
    return repr(frame[:_SHOWN_BYTES])
