"""The bytes of a recording: the format of its header and its records. All numbers are little-endian.

A file begins with a header::

    8 bytes   89 47 52 45 43 0D 0A 1A: "GREC" between bytes that no text has, so that a broken transfer is detected
    uint16    version of this format: 1
    uint32    length of the metadata, in bytes
    uint32    CRC-32 of the 14 bytes before it and the metadata
    ...       the metadata: a JSON object in UTF-8

Records follow, with nothing between them::

    uint32    length of the body, in bytes
    int64     when the message was seen, in ns since 1970 (UTC)
    uint32    CRC-32 of the body
    uint32    CRC-32 of the 16 bytes before it
    ...       the body: uint8 length of the source's name, the name; then for each part uint32 length, the part

The length of a record has its own checksum. So a reader can tell a file that ends in the middle of a record from a file
whose bytes have changed, and it never returns a record that was not written. CRC-32 is that of zlib (RFC 1952).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from ..errors import RecordingError
from .record import Record, source_name, source_part

MAGIC = b"\x89GREC\r\n\x1a"
VERSION = 1
MOST_METADATA_BYTES = 1024 * 1024
"""The limit for metadata: a file that is not a recording must not be read into memory as metadata."""

MOST_BODY_BYTES = 2**32 - 1
MOST_SOURCE_BYTES = 255

START = struct.Struct("<8sHI")
HEAD = struct.Struct("<IqI")
CRC = struct.Struct("<I")
LENGTH = struct.Struct("<I")
START_BYTES = START.size + CRC.size
HEAD_BYTES = HEAD.size + CRC.size


def header(metadata: Mapping[str, Any]) -> bytes:
    """The bytes at the beginning of a recording.

    :param metadata: values that JSON can hold, at most `MOST_METADATA_BYTES` as JSON.
    :raises ValueError: if it is larger.
    """
    text = json.dumps(metadata).encode()
    if len(text) > MOST_METADATA_BYTES:
        raise ValueError(f"metadata: expected at most {MOST_METADATA_BYTES} bytes, got {len(text)}")
    start = START.pack(MAGIC, VERSION, len(text))
    return b"".join((start, CRC.pack(zlib.crc32(text, zlib.crc32(start))), text))


def pack(record: Record) -> bytes:
    """The bytes of one `record`.

    :raises RecordingError: if the source's name has more than 255 bytes, or the body 4 GiB or more.
    """
    source = source_part(record.source)
    if len(source) > MOST_SOURCE_BYTES:
        raise RecordingError(f"source: expected at most {MOST_SOURCE_BYTES} bytes, got {len(source)}")
    pieces = [bytes((len(source),)), source]
    for part in record.parts:
        pieces += (LENGTH.pack(len(part)), part) if len(part) <= MOST_BODY_BYTES else _too_large(len(part))
    body = b"".join(pieces)
    if len(body) > MOST_BODY_BYTES:
        _too_large(len(body))
    head = HEAD.pack(len(body), record.time_ns, zlib.crc32(body))
    return b"".join((head, CRC.pack(zlib.crc32(head)), body))


def unpack(time_ns: int, body: bytes) -> Record:
    """The record with this `time_ns` and this `body`.

    :raises ValueError: if its lengths do not add up. Our writer never makes such a body with a right checksum.
    """
    try:
        at = 1 + body[0]
        source, parts, end = body[1:at], [], len(body)
        while at < end:
            (length,) = LENGTH.unpack_from(body, at)
            at += 4 + length
            parts.append(body[at - length : at])
    except (IndexError, struct.error):
        raise ValueError("its lengths do not add up") from None
    if at != end:
        raise ValueError("its lengths do not add up")
    return Record(time_ns, source_name(source), tuple(parts))


def _too_large(nbytes: int) -> tuple[bytes, ...]:
    raise RecordingError(f"message: expected at most {MOST_BODY_BYTES} bytes, got {nbytes}")


class Sink(Protocol):
    """A recording is written to this: a file open for writing bytes, or any object that takes all bytes."""

    def write(self, data: bytes, /) -> Any:
        """Take all of `data`."""


class Writer:
    """Writes records one after the other. It buffers nothing; the owner of the file flushes and closes it.

    :param file: where to write; each record is one call of its ``write``.
    :param metadata: the metadata of the header; None writes no header, for a file that has one and is positioned at the
        end of its last complete record.
    :ivar records: how many have been written.
    """

    def __init__(self, file: Sink, metadata: Mapping[str, Any] | None) -> None:
        self.records = 0
        self._file = file
        if metadata is not None:
            file.write(header(metadata))

    def write(self, record: Record) -> None:
        """Write one `record`.

        :raises RecordingError: if it is larger than the format can hold; nothing is written then.
        """
        self._file.write(pack(record))
        self.records += 1
