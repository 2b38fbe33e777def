"""The file that says that all is up, and where: whoever started this process can wait for it."""

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


# Of a file that somebody else may have put there, no more is read than a ready file could have.
_LIMIT_BYTES = 1024 * 1024


def write_ready_file(path: Path, devices: Sequence[Device], http: str | None = None) -> None:
    """Write to `path` where the `devices` can be reached as JSON, in one step: who sees the file sees all of it.

    The object has ``pid`` and ``devices``: by name, the bound addresses of each socket. With exactly one device it has
    ``device`` (its name) and ``endpoints`` (its addresses by socket) too, and where HTTP is answered it has the URL in
    ``http``.

    :raises StartError: if the file cannot be written, or there is one of that name which is no ready file.
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
        # Temporary files are their owner's alone; this one is for everybody to read.
        temporary.chmod(0o644)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise
    except OSError as error:
        raise StartError(f"cannot write {path} (--ready-file): {error.strerror}") from error


def remove_ready_file(path: Path) -> None:
    """Remove the file at `path` again, unless another process has written its own there meanwhile."""
    if _writer(path) == os.getpid():
        _remove(path)


def remove_stale_ready_file(path: Path) -> None:
    """Remove what a process that is no more has left at `path`: who waits for the file must not find an old one.

    :raises StartError: if what is there is no ready file.
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
    """A mistyped path must not cost anybody a file. An empty one, as mktemp(1) makes, is no loss, and no folder is."""
    harmless = path.is_dir() or (path.is_file() and path.stat().st_size == 0)
    if os.path.lexists(path) and not harmless and _writer(path) is None:
        raise StartError(f"cannot write {path} (--ready-file): there is something of that name which is no ready file")


def _writer(path: Path) -> int | None:
    """The pid in a ready file; None if there is no such file."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return int(json.loads(file.read(_LIMIT_BYTES))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning(event("ready-file-left", path=path, reason=error.strerror))
