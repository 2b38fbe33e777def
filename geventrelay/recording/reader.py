"""Reads a recording from a binary file object, up to the last complete record."""

from __future__ import annotations

import enum
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import RecordingError
from . import format
from .record import Record

_CHUNK_BYTES = 256 * 1024


class Source(Protocol):
    """A recording is read from this: a file open for reading bytes; it need not be seekable."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none only at the end."""


class DamageKind(enum.Enum):
    """Why reading a recording ended early."""

    TRUNCATED = "truncated"
    """It ends in the middle of a record: its writer was killed, or the disk was full. Everything before is complete."""
    CORRUPT = "corrupt"
    """The bytes of a record have changed. The records after it are not read."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Where reading ended early, and why.

    :ivar kind: whether the rest is missing or wrong.
    :ivar offset: the byte at which the first bad record begins.
    :ivar reason: the reason as text.
    """

    kind: DamageKind
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.kind.value} at byte {self.offset}: {self.reason}"


class Reader:
    """The records of a recording, in the order in which they were written; iterate over it once.

    It has a buffer of 256 KiB, or of one record if that is larger. It returns a record only if its checksums are right.

    :param file: the file, positioned at its beginning.
    :ivar metadata: the metadata of the header.
    :ivar offset: the byte after the last record that was returned: where the next one may be appended.
    :ivar damage: why the iteration ended before the end of the file; None if it did not.
    :raises RecordingError: if the file does not begin like a recording.
    """

    def __init__(self, file: Source) -> None:
        self._file = file
        self._buffer, self._at = b"", 0
        self.damage: Damage | None = None
        self.metadata = self._read_header()
        self.offset = self._at

    def __iter__(self) -> Iterator[Record]:
        head_bytes, crc32 = format.HEAD_BYTES, zlib.crc32
        unpack_head, unpack_crc, unpack = format.HEAD.unpack_from, format.CRC.unpack_from, format.unpack
        crc_at = format.HEAD.size
        while self.damage is None:
            at = self._at
            if len(self._buffer) < at + head_bytes:
                if not self._fill(head_bytes):
                    return self._end_of_file()
                at = 0
            length, time_ns, body_crc = unpack_head(self._buffer, at)
            if unpack_crc(self._buffer, at + crc_at)[0] != crc32(self._buffer[at : at + crc_at]):
                return self._corrupt("the checksum of the record's head is wrong, so that its end cannot be found")
            whole = head_bytes + length
            if len(self._buffer) < at + whole:
                if not self._fill(whole):
                    return self._end_of_file(whole)
                at = 0
            body = self._buffer[at + head_bytes : at + whole]
            if crc32(body) != body_crc:
                return self._corrupt(self._with_place("the checksum of the record's body is wrong", whole))
            try:
                record = unpack(time_ns, body)
            except ValueError as error:
                return self._corrupt(self._with_place(str(error), whole))
            self._at = at + whole
            self.offset += whole
            yield record

    def _read_header(self) -> dict[str, Any]:
        if not self._fill(len(format.MAGIC)) or self._buffer[: len(format.MAGIC)] != format.MAGIC:
            raise RecordingError("this is not a recording: it does not begin like one")
        if not self._fill(format.START_BYTES):
            raise RecordingError("this recording ends in the middle of its header")
        _, version, length = format.START.unpack_from(self._buffer)
        if version != format.VERSION:
            raise RecordingError(f"this recording has version {version}; only {format.VERSION} is known here")
        (crc,) = format.CRC.unpack_from(self._buffer, format.START.size)
        if length > format.MOST_METADATA_BYTES:
            raise RecordingError("this recording's header is corrupt")
        if not self._fill(format.START_BYTES + length):
            raise RecordingError("this recording ends in the middle of its header")
        text = self._buffer[format.START_BYTES : format.START_BYTES + length]
        if zlib.crc32(text, zlib.crc32(self._buffer[: format.START.size])) != crc:
            raise RecordingError("this recording's header is corrupt")
        self._at = format.START_BYTES + length
        try:
            metadata = json.loads(text)
        except (ValueError, RecursionError):
            raise RecordingError("this recording's metadata is no JSON") from None
        return metadata if isinstance(metadata, dict) else {}

    def _fill(self, nbytes: int) -> bool:
        """Read until the buffer has `nbytes` from the current position, which moves to its beginning; False at the end.

        Reads piece by piece, so that a wrong length costs no memory.
        """
        pieces = [self._buffer[self._at :]]
        have = len(pieces[0])
        while have < nbytes and (piece := self._file.read(_CHUNK_BYTES)):
            pieces.append(piece)
            have += len(piece)
        self._buffer, self._at = b"".join(pieces), 0
        return have >= nbytes

    def _end_of_file(self, wanted: int | None = None) -> None:
        there = len(self._buffer) - self._at
        if there:
            of = "" if wanted is None else f" of {wanted}"
            reason = f"the file ends in the middle of a record, of which {there}{of} bytes are there"
            self.damage = Damage(DamageKind.TRUNCATED, self.offset, reason)

    def _corrupt(self, reason: str) -> None:
        self.damage = Damage(DamageKind.CORRUPT, self.offset, reason)

    def _with_place(self, reason: str, nbytes: int) -> str:
        """Add to `reason` whether this record of `nbytes` is the last one."""
        return f"{reason}; {'more records follow it' if self._fill(nbytes + 1) else 'it is the last one'}"
