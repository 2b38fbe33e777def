"""libsodium's functions that CURVE needs, through PyNaCl (the extra ``curve``). None of the cryptography is ours.

PyNaCl is imported when a function is first called: a program without CURVE needs none.
"""

from __future__ import annotations

import functools
from typing import Any

KEY_BYTES = 32
MAC_BYTES = 16
"""By how much a box is longer than what is in it."""

MISSING = "CURVE with engine zmtp needs PyNaCl 1.6 or later: pip install PyNaCl"


class Forged(ValueError):
    """A box cannot be opened: it was made with other keys, or it was changed on its way."""


@functools.cache
def _nacl() -> Any:
    try:
        from nacl import bindings
    except ImportError as error:
        raise ImportError(MISSING) from error
    if not hasattr(bindings, "crypto_box_easy_afternm"):
        raise ImportError(MISSING)
    return bindings


def require() -> None:
    """Import PyNaCl now. Takes some 20 ms the first time.

    :raises ImportError: `MISSING`, if it is not there or too old.
    """
    _nacl()


def addresses() -> tuple[int, int]:
    """Where the functions are in memory that make and open a box with a shared key, for callers that are compiled.

    They are ``crypto_box_easy_afternm`` and ``crypto_box_open_easy_afternm``, and may be called without the GIL.

    :raises ImportError: `MISSING`.
    """
    _nacl()
    from nacl._sodium import ffi, lib

    names = ("crypto_box_easy_afternm", "crypto_box_open_easy_afternm")
    seal, unseal = (int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in names)
    return seal, unseal


def random_bytes(count: int) -> bytes:
    """As many bytes as `count` says, which cannot be guessed."""
    found: bytes = _nacl().randombytes(count)
    return found


def new_pair() -> tuple[bytes, bytes]:
    """A new public key and its secret key."""
    public, secret = _nacl().crypto_box_keypair()
    return public, secret


def public_of(secret: bytes) -> bytes:
    """The public key of a `secret` one."""
    public: bytes = _nacl().crypto_scalarmult_base(secret)
    return public


def shared_key(public: bytes, secret: bytes) -> bytes:
    """What two ends have in common who each have the other's `public` key and a `secret` one.

    :raises Forged: if `public` is none of the keys that can be used.
    """
    return _tried("crypto_box_beforenm", public, secret)


def box(message: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
    """`message` for the owner of a `public` key, from the owner of a `secret` one; `nonce` has 24 bytes.

    :raises Forged: if `public` is none of the keys that can be used.
    """
    return seal(message, nonce, shared_key(public, secret))


def open_box(boxed: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
    """What `box` was given, which made `boxed`.

    :param public: the key of the one who made it, and `secret` the own one.
    :raises Forged: if it was not made with these keys and this `nonce`.
    """
    return unseal(boxed, nonce, shared_key(public, secret))


def seal(message: bytes, nonce: bytes, key: bytes) -> bytes:
    """`message` in a box that both owners of the shared `key` can open; `nonce` has 24 bytes."""
    boxed: bytes = _nacl().crypto_box_easy_afternm(message, nonce, key)
    return boxed


def unseal(boxed: bytes, nonce: bytes, key: bytes) -> bytes:
    """What `seal` was given, which made `boxed`.

    :raises Forged: if it was not made with this `key` and this `nonce`.
    """
    if len(boxed) < MAC_BYTES:
        raise Forged(f"a box: expected at least {MAC_BYTES} bytes, got {len(boxed)}")
    return _tried("crypto_box_open_easy_afternm", boxed, nonce, key)


def _tried(name: str, *arguments: bytes) -> bytes:
    """What a function of libsodium gives for bytes of the other end, which may be wrong."""
    from nacl.exceptions import CryptoError

    try:
        found: bytes = getattr(_nacl(), name)(*arguments)
    except (CryptoError, RuntimeError) as error:
        raise Forged("a box that cannot be opened with these keys") from error
    return found
