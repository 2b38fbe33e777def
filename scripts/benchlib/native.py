"""The compiled load generator: ``load.c`` built at run time, bound to the libzmq that pyzmq loaded."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import zmq

Socket = zmq.Socket[bytes]
SOURCES = [Path(__file__).with_name(name) for name in ("load.c", "wire.c")]
COMPILE_LIMIT_S = 60
_FUNCTIONS = (
    "zmq_msg_init", "zmq_msg_init_data", "zmq_msg_copy", "zmq_msg_send", "zmq_msg_recv", "zmq_msg_close",
    "zmq_msg_more", "zmq_send", "zmq_poll", "zmq_errno",
)  # fmt: skip


class Unavailable(Exception):
    """The load generator cannot be built; the text is what it needs."""


class _Api(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in _FUNCTIONS)


def build(folder: Path) -> Path:
    """Compile ``load.c`` and ``wire.c`` into ``folder``; raises :class:`Unavailable` with the reason."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        raise Unavailable(f"a C compiler (CC, by default cc), and there is no {' '.join(compiler) or 'name in CC'}")
    library = folder / "load.so"
    command = [*compiler, "-O2", "-std=gnu11", "-shared", "-fPIC", "-o", str(library), *map(str, SOURCES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    if done.returncode:
        raise Unavailable(f"a C compiler that compiles {SOURCES[0].parent}/*.c: {' '.join(done.stderr.split()[:40])}")
    _api()
    return library


def _api() -> _Api:
    try:
        import zmq.backend.cython._zmq as extension

        libzmq = ctypes.CDLL(extension.__file__)
        return _Api(*(ctypes.cast(getattr(libzmq, name), ctypes.c_void_p) for name in _FUNCTIONS))
    except (ImportError, OSError, AttributeError) as error:
        raise Unavailable(f"a pyzmq that shows libzmq's functions: {error}") from error


class NativeLoad:
    """The loops of ``load.c``; ctypes lets go of the GIL for the whole of a run."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._api = _api()

    def run(self, role: str, board_address: int, sockets: list[Socket], size: int, in_flight: int) -> int:
        """Run one role until the board says stop; returns an errno, 0 when all was well."""
        handles = (ctypes.c_void_p * len(sockets))(*(socket.underlying for socket in sockets))
        body = ctypes.create_string_buffer(b"t " + b"x" * max(0, size - 2), max(size, 2))
        return int(
            getattr(self._library, f"load_{role}")(
                ctypes.byref(self._api),
                ctypes.c_void_p(board_address),
                handles,
                len(sockets),
                body,
                ctypes.c_size_t(size),
                in_flight,
            )
        )
