"""Passwords of users, as a file has them: a line each, with what scrypt made of the password.

A line is ``USER:$scrypt$ln=14,r=8,p=1$SALT$HASH``, both in base64. Empty lines and those that begin with # are left
out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import secret_files
from ..errors import SettingsError, raise_all
from ..settings.concealed import Unshown
from .user_names import user_name

LONGEST_BYTES = 255
"""The longest password: what a PLAIN handshake can carry (RFC 24)."""

# One cost for all, so that a user who is not there costs the same: 16 MiB and some 50 ms a password (RFC 7914).
_COST_LOG2, _BLOCK, _PARALLEL = 14, 8, 1
_SCHEME = f"$scrypt$ln={_COST_LOG2},r={_BLOCK},p={_PARALLEL}$"
_SALT_BYTES, _HASH_BYTES = 16, 32
_MEMORY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Hashed:
    """What is kept of a password.

    :ivar salt: what makes it differ from the same password of others.
    :ivar digest: what scrypt made of it.
    """

    salt: bytes
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, password: str, salt: bytes) -> Hashed:
        """What is kept of `password` with this `salt`. Takes some 50 ms, without the interpreter's lock."""
        # Any text has bytes, also what came from elsewhere and is no UTF-8.
        data = password.encode(errors="surrogatepass")
        cost = {"n": 1 << _COST_LOG2, "r": _BLOCK, "p": _PARALLEL}
        return cls(salt, hashlib.scrypt(data, salt=salt, dklen=_HASH_BYTES, maxmem=_MEMORY_BYTES, **cost))


_NOT_THERE = Hashed(b"\0" * _SALT_BYTES, b"\0" * _HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords of all users.

    :ivar users: what is kept of each user's.
    """

    users: Mapping[str, Hashed] = field(default_factory=dict)

    def knows(self, user: str) -> bool:
        """Whether there is such a `user`. Does not yield."""
        return user in self.users

    def check(self, user: str, password: str) -> bool:
        """Whether this is the `password` of `user`.

        Takes some 50 ms, without the interpreter's lock, also for a user who is not there. Does not yield: call it in a
        thread pool.
        """
        kept = self.users.get(user, _NOT_THERE)
        equal = hmac.compare_digest(Hashed.of(password, kept.salt).digest, kept.digest)
        return equal and user in self.users


def read_passwords(name: str, path: Path) -> Passwords:
    """The passwords of a file. Blocks while it is read.

    :param name: what to call the input in an error.
    :param path: the file.
    :raises SettingsError: with a line for each line that is wrong, or if others can read the file.
    """
    errors: list[SettingsError] = []
    users: dict[str, Hashed] = {}
    for number, line in _lines(secret_files.read_text(name, path, secret=True)):
        where = f"{path}:{number}"
        try:
            user, hashed = _parsed(name, line, where)
        except SettingsError as error:
            errors.append(error)
            continue
        if user in users:
            errors.append(SettingsError(name, f"one line for each user ({user!r} has two)", where))
        users[user] = hashed
    raise_all(errors)
    return Passwords(users)


def set_password(name: str, path: Path, user: str, password: str) -> bool:
    """Give `user` a password in a file, which is made where it is missing. Blocks for some 50 ms.

    Every other line stays as it is, and no other call of this, in any process, changes the file meanwhile.

    :param name: what to call the file in an error.
    :param path: the file.
    :param user: whose it is.
    :param password: the password.
    :returns: whether the user had one before.
    :raises SettingsError: if the file cannot be read or written, or has a line that is wrong.
    """
    check_password(name, password)
    hashed = Hashed.of(password, os.urandom(_SALT_BYTES))
    with secret_files.changed_by_one(name, path):
        if path.exists():
            known = read_passwords(name, path).knows(user)
            lines = secret_files.read_text(name, path, secret=True).rstrip("\n").split("\n")
        else:
            known, lines = False, []
        kept = [line for line in lines if line.startswith("#") or line.partition(":")[0].strip() != user]
        secret_files.replace(name, path, "\n".join([*kept, _line(user, hashed)]) + "\n")
    return known


def check_password(name: str, password: str) -> None:
    """Refuse a password that no handshake could carry.

    :param name: what to call the input in an error.
    :param password: what was given; an error does not show it.
    :raises SettingsError: if it is empty or too long.
    """
    if not 1 <= len(password.encode(errors="surrogatepass")) <= LONGEST_BYTES:
        raise SettingsError(name, f"a password of 1 to {LONGEST_BYTES} bytes", Unshown("another length"))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return ((number, line) for number, line in lines if line and not line.startswith("#"))


def _parsed(name: str, line: str, where: str) -> tuple[str, Hashed]:
    user, _, kept = line.partition(":")
    pieces = kept.removeprefix(_SCHEME).split("$")
    try:
        if not kept.startswith(_SCHEME) or len(pieces) != 2:
            raise ValueError
        salt, digest = (base64.b64decode(piece, validate=True) for piece in pieces)
        if len(salt) != _SALT_BYTES or len(digest) != _HASH_BYTES:
            raise ValueError
    except (ValueError, binascii.Error):
        # What stands there may be a password.
        raise SettingsError(name, "lines that geventrelay passwd makes", where) from None
    try:
        return user_name(name, user), Hashed(salt, digest)
    except SettingsError as error:
        raise SettingsError(name, error.rule, where) from None


def _line(user: str, hashed: Hashed) -> str:
    salt, digest = (base64.b64encode(piece).decode() for piece in (hashed.salt, hashed.digest))
    return f"{user}:{_SCHEME}{salt}${digest}"
