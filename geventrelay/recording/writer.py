"""Writes a recording to a binary file object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from . import layout
from .record import Record


class Sink(Protocol):
    """What a recording is written to: a file opened for writing bytes, or whatever takes them all."""

    def write(self, data: bytes, /) -> Any:
        """Take all of `data`."""


class Writer:
    """Writes records one after the other. It keeps nothing back, and leaves flushing and closing to the file's owner.

    :param file: where to write; each record is one call of its ``write``.
    :param metadata: what the header is to say; None writes no header, for a file that has one already and stands at the
        end of its last whole record.
    :ivar records: how many have been written.
    """

    def __init__(self, file: Sink, metadata: Mapping[str, Any] | None) -> None:
        self.records = 0
        self._file = file
        if metadata is not None:
            file.write(layout.header(metadata))

    def write(self, record: Record) -> None:
        """Write one `record`.

        :raises RecordingError: if it is larger than the format can hold; nothing is written then.
        """
        self._file.write(layout.pack(record))
        self.records += 1
