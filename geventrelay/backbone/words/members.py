"""Members of a word in JSON, which are looked at piece by piece before they count.

They may come from any program that NATS has let in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from ..terms import MalformedError

_MOST_NUMBER = 2**63


def id_in(value: Any, nbytes: int) -> bytes:
    """The id of so many bytes, `nbytes`, that `value` has in hexadecimal digits.

    :raises MalformedError: if it has none.
    """
    try:
        found = bytes.fromhex(value) if isinstance(value, str) and len(value) == 2 * nbytes else b""
    except ValueError:
        found = b""
    if len(found) != nbytes:
        raise MalformedError("an id")
    return found


def number_in(value: Any) -> int:
    """The number that `value` is: whole, and from 0 up to less than 2 to the 63.

    :raises MalformedError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST_NUMBER:
        raise MalformedError("a number")
    return value


def numbers_in(found: Mapping[str, Any], *names: str) -> list[int]:
    """The numbers that the members of these `names` are, of all that were `found`.

    :raises MalformedError: if one is none.
    """
    return [number_in(found.get(name)) for name in names]


def text_in(value: Any, longest: int) -> str:
    """The text that `value` is.

    :param longest: how many characters it may have.
    :raises MalformedError: if it is none.
    """
    if not isinstance(value, str) or len(value) > longest:
        raise MalformedError("a text")
    return value


def base64_of(data: bytes) -> str:
    """What `base64_in` reads as `data`."""
    return base64.b64encode(data).decode()


def base64_in(value: Any, what: str) -> bytes:
    """The bytes that `value` has in base64.

    :param what: what they are, for the error.
    :raises MalformedError: if it has none.
    """
    if not isinstance(value, str):
        raise MalformedError(what)
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedError(what) from None
