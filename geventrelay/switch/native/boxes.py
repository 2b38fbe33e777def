"""Where libsodium's functions are that make and open boxes, for the compiled core.

There may be two libsodiums in a process: that of libzmq, which pyzmq's wheels bring, and that of PyNaCl. Both make the
same boxes. libzmq's is taken where it has one: it is newer, and its boxes of 10 kB take a quarter less time.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

from ...engine.native.addresses import function_addresses
from ...zmtp import sodium

_FUNCTIONS = ("crypto_box_easy_afternm", "crypto_box_open_easy_afternm")
_FAILED = -1


@functools.cache
def addresses() -> tuple[int, int]:
    """The addresses of ``crypto_box_easy_afternm`` and ``crypto_box_open_easy_afternm``, to be called without the GIL.

    :raises ImportError: if neither libzmq nor PyNaCl has them.
    """
    return of_libzmq() or sodium.addresses()


def of_libzmq() -> tuple[int, int] | None:
    """Those of the libsodium that libzmq uses; None if it has none, as one that was built with other cryptography.

    See sodium_init(3) of libsodium's manual: it chooses the fastest code for this processor, and may be called again.
    """
    try:
        found = function_addresses(("sodium_init", *_FUNCTIONS))
    except ImportError:
        return None
    begin: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_int)(found["sodium_init"])
    if begin() == _FAILED:
        return None
    seal, unseal = (found[name] for name in _FUNCTIONS)
    return seal, unseal
