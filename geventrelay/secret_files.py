"""Files that hold secrets: refused where others can read them, made so that others cannot, never half written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import SettingsError
from .regular_file import open_regular

_MOST_BYTES = 1 << 24
_ROOT = 0
# As PostgreSQL holds its keys (check_ssl_key_file_permissions): a group may read what the administrator has given it,
# as systemd and Kubernetes hand secrets to a service.
_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OF_ROOT_TO_OTHERS = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO


def read_text(name: str, path: Path, *, secret: bool) -> str:
    """The text of a file. Blocks while it is read.

    :param name: what to call the input in an error.
    :param path: the file, a regular one; at most 16 MiB of UTF-8.
    :param secret: whether it must be closed to others.
    :raises SettingsError: if it cannot be read, or if others can and must not.
    """
    try:
        with open_regular(path) as file:
            if secret:
                _check_closed(name, path, os.fstat(file.fileno()))
            data = file.read(_MOST_BYTES + 1)
            text = data.decode()
    except OSError as error:
        raise SettingsError(name, f"a file that can be read ({error.strerror})", str(path)) from None
    except UnicodeDecodeError:
        raise SettingsError(name, "a file of text in UTF-8", str(path)) from None
    if len(data) > _MOST_BYTES:
        raise SettingsError(name, f"a file of at most {_MOST_BYTES} bytes", str(path))
    return text


def _check_closed(name: str, path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (os.geteuid(), _ROOT):
        raise SettingsError(name, "a file that belongs to the user of this process, or to root", str(path))
    others = _TO_OTHERS if found.st_uid == os.geteuid() else _OF_ROOT_TO_OTHERS
    if found.st_mode & others:
        raise SettingsError(name, "a file that only its owner can read or write (chmod 600 makes it so)", str(path))


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is to be made.

    :ivar path: where; nothing may be there.
    :ivar text: what it holds.
    :ivar secret: whether only its owner may read it (mode 0600, else 0644).
    """

    path: Path
    text: str = field(repr=False)
    secret: bool


def create(name: str, *files: NewFile) -> None:
    """Make `files` that are not there yet: all of each, and all of them or, if that fails, none. Blocks meanwhile.

    If the process is killed meanwhile, no file is there in part. Files whose names begin with a dot may stay.

    :param name: what to call the input in an error.
    :raises SettingsError: if one is there, which leaves it as it is, or if they cannot be made.
    """
    written: list[Path] = []
    put: list[Path] = []
    try:
        for file in files:
            written.append(file.path.with_name(f".{file.path.name[:100]}.{secrets.token_hex(8)}"))
            _write_new(name, written[-1], file)
        for made, file in zip(written, files, strict=True):
            _put(name, made, file.path)
            put.append(file.path)
        _keep_names({file.path.parent for file in files})
    except BaseException:
        for path in put:
            path.unlink(missing_ok=True)
        raise
    finally:
        for made in written:
            made.unlink(missing_ok=True)


def _write_new(name: str, path: Path, file: NewFile) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600 if file.secret else 0o644)
    except OSError as error:
        raise SettingsError(name, f"a file that can be made ({error.strerror})", str(file.path)) from None
    try:
        _write(descriptor, file.text)
    except OSError as error:
        raise SettingsError(name, f"a file that can be written ({error.strerror})", str(file.path)) from None


def _put(name: str, made: Path, path: Path) -> None:
    """Give the file `made` the name `path`, if nothing has it."""
    try:
        try:
            os.link(made, path)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            # A file system without links, as on memory cards.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.replace(made, path)
    except FileExistsError:
        raise SettingsError(name, "no such file there: it is never overwritten", str(path)) from None
    except OSError as error:
        raise SettingsError(name, f"a file that can be made ({error.strerror})", str(path)) from None


def replace(name: str, path: Path, text: str) -> None:
    """Write a secret file anew: all of it or, if that fails, nothing. Blocks while it is written.

    One that was there keeps its mode and, where this is allowed, its owner; a new one has mode 0600.

    :param name: what to call the input in an error.
    :param path: the file, or a link to it.
    :param text: what it holds from now on.
    :raises SettingsError: if it cannot be written.
    """
    try:
        whole = path.resolve()
        descriptor, made = tempfile.mkstemp(dir=whole.parent, prefix=f".{whole.name[:100]}.")
        try:
            if whole.exists():
                _like(descriptor, whole.stat())
            _write(descriptor, text)
            os.replace(made, whole)
            _keep_names({whole.parent})
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingsError(name, f"a file that can be written ({why})", str(path)) from None


@contextlib.contextmanager
def changed_by_one(name: str, path: Path) -> Iterator[None]:
    """While this block runs, no other process is in such a block for a file of the same folder. Blocks until it is so.

    :param name: what to call the input in an error.
    :param path: the file that is read and replaced in the block, or a link to it.
    :raises SettingsError: if its folder cannot be opened.
    """
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingsError(name, f"a file that can be written ({why})", str(path)) from None
    try:
        # The folder, since the file itself is replaced. Where a file system has no such lock, as some NFS, two changes
        # at once may lose one.
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _keep_names(folders: Collection[Path]) -> None:
    """Have the names in `folders` last when the machine fails, where a file system can do that."""
    for folder in folders:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _like(descriptor: int, found: os.stat_result) -> None:
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (found.st_uid, found.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))


def _write(descriptor: int, text: str) -> None:
    """Write all of `text`, and close."""
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
