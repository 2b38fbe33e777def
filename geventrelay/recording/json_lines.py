"""A record as a line of JSON, for programs that read a tap over HTTP or from a pipe.

``{"time": 1700000000.123456, "source": "frontend", "parts": ["text", {"hex": "00ff"}]}``: a part that is UTF-8 is a
string; any other part is an object with its bytes in hexadecimal. The line is ASCII, with control characters escaped.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import RecordingError
from .format import MOST_SOURCE_BYTES
from .record import Record, source_part

_BILLION = 1_000_000_000
# The times that 64 bits of nanoseconds can hold: to the year 2262.
_MOST_TIME_S = 2**63 // _BILLION - 1


def to_line(record: Record, topic: bytes | None = None) -> str:
    """The `record` as a line, without a line end. The time is exact to the microsecond.

    :param topic: what the message is the last value of; it stands there where it is not the first part.
    """
    if record.parts and topic == record.parts[0]:
        topic = None
    return json.dumps({**head_of(record, topic), "parts": [_to_json(part) for part in record.parts]})


def head_of(record: Record, topic: bytes | None = None) -> dict[str, Any]:
    """What a line says of a `record` before its parts, and its `topic` if there is one to tell."""
    head = {"time": round(record.time_ns / _BILLION, 6), "source": record.source}
    return head if topic is None else {**head, "topic": _to_json(topic)}


def from_line(line: str | bytes) -> Record:
    """The record of a `line` from `to_line`; its time is as exact as the line's.

    :raises RecordingError: if it is not such a line.
    """
    try:
        message = json.loads(line)
        found, source, time_s = message["parts"], message["source"], message["time"]
        if not isinstance(found, list):
            # The characters of a text, or the keys of an object, would pass for parts.
            raise ValueError(found)
        parts = tuple(map(_from_json, found))
        # What does not fit into a recording, or could not be shown, is no message either.
        if len(source_part(source)) > MOST_SOURCE_BYTES or not abs(time_s) <= _MOST_TIME_S:
            raise ValueError(source, time_s)
        return Record(round(time_s * 1_000_000) * 1000, source, parts)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise RecordingError(f"expected a message as a line of JSON, got {line[:80]!r}") from None


def _to_json(part: bytes) -> str | dict[str, str]:
    try:
        return part.decode()
    except UnicodeDecodeError:
        return {"hex": part.hex()}


def _from_json(part: Any) -> bytes:
    return part.encode() if isinstance(part, str) else bytes.fromhex(part["hex"])
