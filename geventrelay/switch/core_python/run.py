"""Consecutive messages in one piece of bytes: what is moved, and what waits."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from ...zmtp import frames

_LONG = struct.Struct(">Q")
_NUMBER_BYTES = 8
_STAMP = struct.Struct(">BBQ")
"""The last frame of a message that has its number."""
_RUN_BYTES = 200
_END_BYTES = 40


class Run:
    """Consecutive messages as frames of ZMTP 2.0 and later. It does not change, so peers share it.

    A peer keeps either all of a run or a copy of a piece: what waits for it never holds on to much more than itself.

    :param data: the frames.
    :param ends: where each message ends in `data`.
    :param parts: how many parts the messages have together.
    :param head_bytes: how many bytes of `data` are heads of frames.
    :param at: when they came, by `time.monotonic`.
    :ivar holders: how many queues have it.
    :ivar beyond: whether its messages wait whatever the high-water mark is: last values.
    """

    __slots__ = ("_v1_0", "at", "beyond", "data", "ends", "head_bytes", "holders", "parts")

    def __init__(self, data: bytes, ends: Sequence[int], parts: int, head_bytes: int, at: float) -> None:
        self.data = data
        self.ends = ends
        self.parts = parts
        self.head_bytes = head_bytes
        self.at = at
        self.holders = 0
        self.beyond = False
        self._v1_0: Run | None = None

    @classmethod
    def of(cls, messages: Iterable[Sequence[bytes]], at: float) -> Run:
        """A run of `messages`, each given as its parts; `at` is when they came."""
        return _joined((frames.encode_message(parts) for parts in messages), at)

    @classmethod
    def last_values(cls, values: Iterable[bytes], at: float) -> Run:
        """A run of last values, each given as its frames; `at` is when they are given to a subscriber."""
        made = _joined(values, at)
        made.beyond = True
        return made

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def memory_bytes(self) -> int:
        """How much memory it takes, about."""
        return _RUN_BYTES + len(self.data) + _END_BYTES * len(self.ends)

    @property
    def body_bytes(self) -> int:
        """How many bytes the parts have together."""
        return len(self.data) - self.head_bytes

    def body_of(self, index: int) -> int:
        """How many bytes the parts of the message with `index` have together."""
        if self._is_plain:
            return self.ends[index] - self.start(index) - 2
        return sum(map(len, self.parts_of(index)))

    def bodies_of(self, first: int, last: int) -> int:
        """The same of the messages from `first` up to and without `last`."""
        if self._is_plain:
            return self.ends[last - 1] - self.start(first) - 2 * (last - first)
        return sum(map(self.body_of, range(first, last)))

    def start(self, index: int) -> int:
        """Where the message with `index` begins in `data`."""
        return self.ends[index - 1] if index else 0

    def piece(self, first: int, last: int) -> Run:
        """The messages from `first` up to and without `last`: a copy, or this run if that is all of them."""
        if first == 0 and last == len(self.ends):
            return self
        start = self.start(first)
        data = self.data[start : self.ends[last - 1]]
        ends = [end - start for end in self.ends[first:last]] if start else self.ends[:last]
        plain = self._is_plain
        made = Run(data, ends, len(ends), 2 * len(ends), self.at) if plain else _measured(data, ends, self.at)
        made.beyond = self.beyond
        return made

    def pick(self, indices: Sequence[int]) -> Run:
        """The messages with these `indices`, which grow, as `piece`."""
        if len(indices) == indices[-1] - indices[0] + 1:
            return self.piece(indices[0], indices[-1] + 1)
        data = [self.data[self.start(index) : self.ends[index]] for index in indices]
        if self._is_plain:
            return Run(b"".join(data), _ends(data), len(data), 2 * len(data), self.at)
        return _joined(data, self.at)

    @property
    def _is_plain(self) -> bool:
        """Whether there are only short messages of one part: the usual case."""
        return self.parts == len(self.ends) and self.head_bytes == 2 * self.parts

    def first_part(self, index: int) -> tuple[int, int]:
        """Where in `data` the body of the first part of a message begins and ends; `index` is the message's."""
        return frame_body(self.data, self.start(index))

    def parts_of(self, index: int) -> list[bytes]:
        """The parts of the message with `index`."""
        at, end, found = self.start(index), self.ends[index], []
        while at < end:
            body, at = frame_body(self.data, at)
            found.append(self.data[body:at])
        return found

    def after(self, prefix: bytes) -> Run:
        """The same messages, each with the frame `prefix` before it."""
        return _joined((prefix + self.data[self.start(i) : end] for i, end in enumerate(self.ends)), self.at)

    def stamped(self, first: int) -> Run:
        """The same messages, each with its number as one part more; `first` is the number of the first one."""
        data, size, count = self.data, _STAMP.size, len(self.ends)
        ends = [end + size * done for done, end in enumerate(self.ends, 1)]
        head_bytes = self.head_bytes + count * (size - _NUMBER_BYTES)
        found: list[bytes] = []
        start = 0
        if self._is_plain:
            for number, end in enumerate(self.ends, first):
                found += (b"\1", data[start + 1 : end], _STAMP.pack(0, _NUMBER_BYTES, number))
                start = end
        else:
            for number, end in enumerate(self.ends, first):
                last = start
                while (after := frame_body(data, last)[1]) < end:
                    last = after
                flags = bytes([data[last] | frames.MORE])
                found += (data[start:last], flags, data[last + 1 : end], _STAMP.pack(0, _NUMBER_BYTES, number))
                start = end
        return Run(b"".join(found), ends, self.parts + count, head_bytes, self.at)

    def as_v1_0(self) -> Run:
        """The same messages as frames of ZMTP 1.0; of no use but to be written."""
        if self._v1_0 is None:
            encoded = [frames.encode_message(self.parts_of(i), v1_0=True) for i in range(len(self.ends))]
            self._v1_0 = Run(b"".join(encoded), _ends(encoded), self.parts, 0, self.at)
        return self._v1_0


def frame_body(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Where in `data` the body of the whole frame that begins `at` begins and ends."""
    if data[at] & frames.LARGE:
        return at + 9, at + 9 + int(_LONG.unpack_from(data, at + 1)[0])
    return at + 2, at + 2 + data[at + 1]


def _ends(encoded: Iterable[bytes]) -> list[int]:
    ends, end = [], 0
    for one in encoded:
        end += len(one)
        ends.append(end)
    return ends


def _joined(messages: Iterable[bytes], at: float) -> Run:
    encoded = list(messages)
    return _measured(b"".join(encoded), _ends(encoded), at)


def _measured(data: bytes, ends: Sequence[int], at: float) -> Run:
    """A run whose frames are counted first."""
    parts = body_bytes = place = 0
    while place < len(data):
        body, place = frame_body(data, place)
        parts += 1
        body_bytes += place - body
    return Run(data, ends, parts, len(data) - body_bytes, at)
