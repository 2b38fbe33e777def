"""Tells whoever started this process how it is doing: a file to wait for, and systemd's notify socket."""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
from pathlib import Path

from ..devices.device import Device
from ..errors import StartError

log = logging.getLogger("geventrelay")


def write_ready_file(path: Path, device: Device) -> None:
    """Write to `path` where the device can be reached as JSON, in one step: who sees the file sees all of it.

    The object has ``device`` (its name), ``pid`` and ``endpoints`` (bound addresses by socket).

    :raises StartError: if the file cannot be written.
    """
    state = {"device": device.name, "pid": os.getpid(), "endpoints": device.endpoints}
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
    """Remove what a process that is no more has left at `path`: who waits for the file must not find an old one."""
    pid = _writer(path)
    if pid is not None and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
        _remove(path)


def _writer(path: Path) -> int | None:
    """The pid in a ready file; None if there is no such file."""
    try:
        return int(json.loads(path.read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("cannot remove %s (--ready-file): %s", path, error.strerror)


def tell_systemd(state: str) -> None:
    """Send a `state`, e.g. ``READY=1``, to ``NOTIFY_SOCKET``, as sd_notify(3) does; nothing happens without one.

    A socket that cannot be reached is logged: messages are not to stop for want of somebody to tell.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.connect(address)
            notify.sendall(state.encode())
        except OSError as error:
            log.warning("cannot send %s to NOTIFY_SOCKET %s: %s", state, os.environ["NOTIFY_SOCKET"], error.strerror)
