"""The ready file: it says that everything is up, and where. The program that started this process can wait for it."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..devices.device import Device
from ..errors import StartError
from ..log import event

log = logging.getLogger("geventrelay")


# Another program may have written the file, so no more is read than a ready file can have.
_LIMIT_BYTES = 1024 * 1024
# Linux's own limit is 2**22.
_LARGEST_PID = 2**31 - 1


def write_ready_file(path: Path, devices: Sequence[Device], http: str | None = None) -> None:
    """Write the addresses of the `devices` to `path` as JSON, in one step: a reader sees the whole file or none.

    The object has ``pid`` and ``devices``: by name, the bound addresses of each socket. With exactly one device it also
    has ``device`` (its name) and ``endpoints`` (its addresses by socket). With HTTP it has the URL in ``http``.

    :raises StartError: if the file cannot be written, or the path exists and is not a ready file.
    """
    state: dict[str, Any] = {"pid": os.getpid(), "devices": {device.name: device.endpoints for device in devices}}
    if len(devices) == 1:
        state.update(device=devices[0].name, endpoints=devices[0].endpoints)
    if http is not None:
        state["http"] = http
    _refuse_other_files(path)
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(json.dumps(state) + "\n")
        # Only its owner can read a temporary file; every user may read this one.
        temporary.chmod(0o644)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise
    except OSError as error:
        raise StartError(f"cannot write {path} (--ready-file): {error.strerror}") from error


def remove_ready_file(path: Path) -> None:
    """Remove the file at `path`, unless another process has written its own there meanwhile."""
    if _writer(path) == os.getpid():
        _remove(path)


def remove_stale_ready_file(path: Path) -> None:
    """Remove the file at `path` if its process has ended: a program that waits for the file must not find an old one.

    :raises StartError: if the path exists and is not a ready file.
    """
    _refuse_other_files(path)
    pid = _writer(path)
    if pid is None or not Path("/proc/self").exists():
        return
    if not Path(f"/proc/{pid}").exists():
        _remove(path)
    elif pid != os.getpid():
        log.warning(event("ready-file-taken", path=path, pid=pid, reason="that process runs, and loses its ready file"))


def _refuse_other_files(path: Path) -> None:
    """A mistyped path must not destroy a file. An empty file, as mktemp(1) makes it, is no loss; a folder stays."""
    try:
        refused = _is_other_file(path)
    except OSError as error:
        raise StartError(f"cannot write {path} (--ready-file): {error.strerror}") from None
    if refused:
        raise StartError(f"cannot write {path} (--ready-file): the path exists and is not a ready file")


def _is_other_file(path: Path) -> bool:
    harmless = path.is_dir() or (path.is_file() and path.stat().st_size == 0)
    return os.path.lexists(path) and not harmless and _writer(path) is None


def _writer(path: Path) -> int | None:
    """The pid in a ready file; None if there is no ready file."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            pid = json.loads(file.read(_LIMIT_BYTES))["pid"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return pid if type(pid) is int and 0 < pid <= _LARGEST_PID else None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning(event("ready-file-left", path=path, reason=error.strerror))
