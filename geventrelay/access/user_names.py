"""The name by which a user is known: of its key, of its password, in logs, rights and metrics."""

from __future__ import annotations

from typing import Any

from ..errors import SettingsError

LONGEST_BYTES = 255
"""The longest name: what a PLAIN handshake can carry (RFC 24), and a ZAP answer (RFC 27)."""

_RULE = f"a user's name: 1 to {LONGEST_BYTES} bytes of printable text without ':', no space at its ends, no '#' first"


def user_name(name: str, value: Any) -> str:
    """Take the name of a user. Does not yield.

    In a password file, a ':' ends the name, and a line that begins with '#' is a comment.

    :param name: what to call the input in an error.
    :param value: what was given.
    :raises SettingsError: if it cannot be a user's name.
    """
    if not isinstance(value, str) or not value.isprintable() or value != value.strip():
        raise SettingsError(name, _RULE, value)
    if ":" in value or value.startswith("#"):
        raise SettingsError(name, _RULE, value)
    if not 1 <= len(value.encode()) <= LONGEST_BYTES:
        raise SettingsError(name, _RULE, value)
    return value
