"""Files that hold secrets: refused where others can read them, made so that others cannot, never half written."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from ..errors import SettingsError

_MOST_BYTES = 1 << 24
_ROOT = 0
# As PostgreSQL holds its keys (check_ssl_key_file_permissions): a group may read what the administrator has given it,
# as systemd and Kubernetes hand secrets to a service.
_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OF_ROOT_TO_OTHERS = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO


def read_text(name: str, path: Path, *, secret: bool) -> str:
    """The text of a file. Blocks while it is read.

    :param name: what to call the input in an error.
    :param path: the file; at most 16 MiB of UTF-8.
    :param secret: whether it must be closed to others.
    :raises SettingsError: if it cannot be read, or if others can and must not.
    """
    try:
        with path.open("rb") as file:
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
    if not stat.S_ISREG(found.st_mode):
        # A pipe of the shell: what is in it is gone once it is read.
        return
    if found.st_uid not in (os.geteuid(), _ROOT):
        raise SettingsError(name, "a file that belongs to the user of this process, or to root", str(path))
    others = _TO_OTHERS if found.st_uid == os.geteuid() else _OF_ROOT_TO_OTHERS
    if found.st_mode & others:
        raise SettingsError(name, "a file that only its owner can read or write (chmod 600 makes it so)", str(path))


def create(name: str, path: Path, text: str, *, secret: bool) -> None:
    """Make a file that is not there yet. Blocks while it is written.

    :param name: what to call the input in an error.
    :param path: the file.
    :param text: what it holds.
    :param secret: whether only its owner may read it (mode 0600, else 0644).
    :raises SettingsError: if it is there, which leaves it as it is, or if it cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600 if secret else 0o644)
    except FileExistsError:
        raise SettingsError(name, "no such file there: it is never overwritten", str(path)) from None
    except OSError as error:
        raise SettingsError(name, f"a file that can be made ({error.strerror})", str(path)) from None
    try:
        _write(descriptor, text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise SettingsError(name, f"a file that can be written ({error.strerror})", str(path)) from None


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
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingsError(name, f"a file that can be written ({why})", str(path)) from None


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
