"""``geventrelay record``: keeps what passes through a device in a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...errors import RecordingError, SettingsError, StartError
from ...recording import DamageKind, Reader, Record, Writer
from ...recording.file_writer import FileWriter
from ...settings.checks import flag, text
from ...settings.option import option, read_group
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..interrupt import until_signal
from ..message_options import WatchOptions
from ..message_source import watch
from ..output import print_stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions(WatchOptions):
    """The options of ``geventrelay record``."""

    title = "Recording"

    source: str = option(text, "a tap's endpoint, or http://HOST:PORT of a server", name="from", metavar="ENDPOINT")
    append: bool = option(flag, "go on with a file that is there", default=False)


def execute(options: Options) -> int:
    """Record what `options` ask for until there is no more, or it is stopped; the exit code. Yields."""
    chosen = read_group(RecordOptions, given_options(options))
    path, block, seen = options["FILE"], until_signal(), None
    try:
        with contextlib.ExitStack() as stack:
            # An error of the file or of the source has to come before there is a new file.
            opened = _opened_early(path, stack, append=chosen.append)
            batches = stack.enter_context(watch("--from", chosen.source, chosen))
            with block:
                seen = batches.begin()
                if seen is not None:
                    recording = stack.enter_context(_Recording(chosen, *(opened or _opened(path, stack))))
                    recording.on_failure(block.interrupt)
                    print_stderr(f"recording {seen}")
                    recording.go_on(batches)
            if seen is None:
                stack.enter_context(_Recording(chosen, *(opened or _opened(path, stack))))
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror}") from None
    if seen is None:
        raise StartError(f"nothing recorded: no tap or publisher at {chosen.source}; {path} has no message")
    print_stderr(f"recorded messages={recording.messages} bytes={recording.nbytes} file={path}")
    return 0


class _Recording:
    """Messages on their way into a file; a context manager that ends with a sync.

    :param chosen: what is recorded.
    :param descriptor: the file, at the end of its last record.
    :param is_new: whether it needs a header.
    :ivar nbytes: how many bytes the parts of these messages had.
    """

    def __init__(self, chosen: RecordOptions, descriptor: int, is_new: bool) -> None:
        self.nbytes = 0
        self._file = FileWriter(descriptor)
        metadata = {"device": chosen.device, "started": round(time.time(), 6), "from": chosen.source}
        self._writer = Writer(self._file, metadata if is_new else None)

    def __enter__(self) -> _Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    @property
    def messages(self) -> int:
        """How many messages were written."""
        return self._writer.records

    def on_failure(self, react: Callable[[], None]) -> None:
        """Have the hub call `react` if the file cannot be written."""
        self._file.on_failure = react

    def go_on(self, batches: Iterable[list[Record]]) -> None:
        """Write all that comes. Yields."""
        self._file.wait_for_room()
        for records in batches:
            for record in records:
                self._writer.write(record)
                self.nbytes += sum(map(len, record.parts))
            self._file.wait_for_room()


def _opened_early(path: str, stack: contextlib.ExitStack, *, append: bool) -> tuple[int, bool] | None:
    """Open a file that is there, to go on with it; otherwise make none, but find out whether it can be made.

    :raises SettingsError: if there is a file already, or it is none to append to.
    :raises OSError: if it cannot be written.
    """
    if append and os.path.exists(path):
        return _opened(path, stack, 0)
    if os.path.lexists(path):
        raise SettingsError("FILE", "a file that is not there yet, or --append", path)
    folder = os.path.dirname(path) or "."
    os.stat(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return None


def _opened(path: str, stack: contextlib.ExitStack, flags: int = os.O_CREAT | os.O_EXCL) -> tuple[int, bool]:
    """A file to write to until `stack` ends, and whether it is empty; at the end of its last whole record if not."""
    # It has every message, also those that a server shows with its token only.
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartError(f"cannot write {path}: another process is recording there") from None
    is_new = os.fstat(descriptor).st_size == 0
    if not is_new:
        _go_to_end(descriptor, path)
    return descriptor, is_new


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
        print_stderr(f"{path}: {reader.damage}; that piece is removed")
    os.ftruncate(descriptor, reader.offset)
    os.lseek(descriptor, reader.offset, os.SEEK_SET)


RECORD = Command(
    "record",
    "FILE",
    """\
Keeps in a file what a tap shows, until SIGINT or SIGTERM: see docs/tap.rst. The file appears when the recording has
begun. Standard error shows that too, and at the end how many messages were recorded.""",
    execute,
    sections_of(RecordOptions),
)
