"""The addresses of libzmq's functions, in the very libzmq that pyzmq has loaded.

A second libzmq must not come into it: the sockets of one mean nothing to the other. So the functions are looked
up through pyzmq's own extension, whether libzmq is linked into it (the wheels) or is a library that it depends on
(a distribution's package): dlsym(3) searches an object and then what that object depends on.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable

import zmq
import zmq.backend

# Since libzmq 4.1 a zmq_msg_t is 64 bytes; before that it was smaller.
_OLDEST = (4, 1, 0)


def function_addresses(names: Iterable[str]) -> dict[str, int]:
    """Look up the address of each libzmq function in `names`.

    Raises ImportError, saying why in one sentence, where they cannot be had or where the library is too old.
    """
    if zmq.zmq_version_info() < _OLDEST:
        raise ImportError(f"the native burst needs libzmq 4.1 or newer, pyzmq has loaded {zmq.zmq_version()}")
    # Not zmq.backend.cython by name: PYZMQ_BACKEND can choose another backend beside it, with another libzmq.
    backend = zmq.backend.Socket.__module__
    if not backend.startswith("zmq.backend.cython."):
        raise ImportError(f"the native burst needs pyzmq's Cython backend, this pyzmq uses {backend}")
    try:
        library = ctypes.CDLL(sys.modules[backend].__file__)
        return {name: _address(getattr(library, name)) for name in names}
    except (OSError, AttributeError) as error:
        raise ImportError(f"the native burst cannot look up libzmq's functions through {backend}: {error}") from error


def _address(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address is not None  # a function that was found is somewhere
    return address
