"""``geventrelay record``: keeps what passes through a device in a file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import RecordingError, SettingsError, StartError
from ...recording import DamageKind, Reader, Writer
from ...recording.file_writer import FileWriter
from ...settings.checks import flag, text
from ...settings.option import option, read_group
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..interrupt import until_signal
from ..message_options import WatchOptions
from ..message_source import watch


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions(WatchOptions):
    """The options of ``geventrelay record``."""

    title = "Recording"

    source: str = option(text, "a tap's endpoint, or http://HOST:PORT of a server", name="from", metavar="ENDPOINT")
    append: bool = option(flag, "go on with a file that is there", default=False)


def execute(options: Options) -> int:
    """Record what `options` ask for until there is no more, or it is stopped; the exit code. Yields."""
    chosen = read_group(RecordOptions, given_options(options))
    path = options["FILE"]
    metadata = {"device": chosen.device, "started": round(time.time(), 6), "from": chosen.source}
    nbytes = 0
    try:
        # An error of the source has to come before there is a file.
        with (
            watch("--from", chosen.source, chosen) as batches,
            _opened(path, append=chosen.append) as (descriptor, is_new),
            FileWriter(descriptor) as file,
        ):
            writer = Writer(file, metadata if is_new else None)
            block = until_signal()
            file.on_failure = block.interrupt
            with block:
                file.wait_for_room()
                for records in batches:
                    for record in records:
                        writer.write(record)
                        nbytes += sum(map(len, record.parts))
                    file.wait_for_room()
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror}") from None
    print(f"recorded messages={writer.records} bytes={nbytes} file={path}", file=sys.stderr)
    return 0


@contextlib.contextmanager
def _opened(path: str, *, append: bool) -> Iterator[tuple[int, bool]]:
    """A file to write to and whether it is new; at the end of its last whole record if it is not."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if append else os.O_EXCL)
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileExistsError:
        raise SettingsError("FILE", "a file that is not there yet, or --append", path) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"cannot write {path}: somebody else is recording there") from None
        is_new = os.fstat(descriptor).st_size == 0
        if not is_new:
            _go_to_end(descriptor, path)
        yield descriptor, is_new
    finally:
        os.close(descriptor)


def _go_to_end(descriptor: int, path: str) -> None:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        try:
            reader = Reader(file)
            for _ in reader:
                pass
        except RecordingError as error:
            raise SettingsError("FILE", f"a recording to append to ({error})", path) from None
    if reader.damage is not None:
        if reader.damage.kind is DamageKind.CORRUPT:
            raise SettingsError("FILE", f"a recording that is whole ({reader.damage})", path)
        print(f"{path}: {reader.damage}; that piece is removed", file=sys.stderr)
    os.ftruncate(descriptor, reader.offset)
    os.lseek(descriptor, reader.offset, os.SEEK_SET)


RECORD = Command(
    "record",
    "FILE",
    """\
Keeps in a file what a tap shows, until SIGINT or SIGTERM: see docs/tap.rst. It says on standard error how many messages
it has recorded.""",
    execute,
    sections_of(RecordOptions),
)
