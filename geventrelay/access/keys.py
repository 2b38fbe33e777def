"""CURVE keys in files: pairs of our own, public keys of others, and a folder of clients.

A file is what `zmq.auth` and CZMQ read and write, a little of ZPL (RFC 4): ``NAME.key`` with a public key, and
``NAME.key_secret`` with both::

    metadata
        name = "alice"
    curve
        public-key = "Z85, 40 characters"
        secret-key = "Z85, 40 characters"
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from .. import secret_files
from ..errors import SettingsError, raise_all
from .user_names import user_name

PUBLIC, SECRET = ".key", ".key_secret"
"""How the names of the files end."""

_ENVIRONMENT = "env:"
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_KEY_RULE = "a key of 40 characters in Z85"
# In hexadecimal digits: 64 bits.
_FINGERPRINT = 16


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A pair of CURVE keys.

    :ivar public: 32 bytes.
    :ivar secret: 32 bytes; shown nowhere.
    """

    public: bytes
    secret: bytes = field(repr=False)


def fingerprint(public_key: bytes) -> str:
    """What a log calls a key: the first 64 bits of the SHA-256 of `public_key`, in hexadecimal. Does not yield."""
    return hashlib.sha256(public_key).hexdigest()[:_FINGERPRINT]


def new_pair() -> KeyPair:
    """A new pair of keys. Does not yield.

    :raises zmq.ZMQError: if libzmq was built without CURVE.
    """
    return KeyPair(*(z85.decode(key) for key in zmq.curve_keypair()))


# Reading -------------------------------------------------------------------------------------------------------------


def read_pair(name: str, source: str | Path) -> KeyPair:
    """The pair of keys that an option asks for. Blocks while a file is read.

    :param name: what to call the input in an error.
    :param source: a secret file, or ``env:VARIABLE`` for a secret key in the environment.
    :raises SettingsError: if there is no secret key, if others can read the file, or if its public key is another's.
    """
    variable = _variable(source)
    if variable is not None:
        return _pair(name, _from_environment(name, variable), str(source))
    path = Path(source)
    try:
        values = _read(name, path, secret=True)
    except SettingsError:
        # To close a public file to others would not help.
        if path.is_file():
            _check_secret(name, path, _read(name, path, secret=False))
        raise
    _check_secret(name, path, values)
    pair = _pair(name, values.get("secret-key", ""), str(source))
    if values.get("public-key", "") not in ("", z85.encode(pair.public).decode()):
        raise SettingsError(name, "a file whose public-key belongs to its secret-key", str(source))
    return pair


def read_public_key(name: str, source: str | Path) -> bytes:
    """The public key of another, 32 bytes. Blocks while a file is read.

    :param name: what to call the input in an error.
    :param source: a file, or ``env:VARIABLE`` for a public key in the environment.
    :raises SettingsError: if there is no public key.
    """
    variable = _variable(source)
    if variable is not None:
        return _decoded(name, _from_environment(name, variable), f"{_KEY_RULE} in {source}", str(source))
    return _public_key(name, Path(source), _read(name, Path(source), secret=False))


def read_clients(name: str, folder: str | Path) -> dict[bytes, str]:
    """Who is known: public keys of 32 bytes, each with its user. Blocks while files are read.

    They are in the files of `folder` that end in ``.key``. The user is the ``name`` in the file's metadata, else the
    file's name. A user may have several keys, and a key one user. Names that begin with a dot are left out.

    :param name: what to call the input in an error.
    :param folder: the folder; it may be empty, and then no key is known.
    :raises SettingsError: with a line for each file that is wrong.
    """
    try:
        files = sorted(one for one in os.listdir(folder) if one.endswith(PUBLIC) and not one.startswith("."))
    except OSError as error:
        raise SettingsError(name, f"a folder that can be read ({error.strerror})", str(folder)) from None
    errors: list[SettingsError] = []
    users: dict[bytes, str] = {}
    for path in (Path(folder, one) for one in files):
        try:
            key, user = _client(name, path)
        except SettingsError as error:
            errors.append(error)
            continue
        if users.setdefault(key, user) != user:
            errors.append(SettingsError(name, f"one user for each key (this one is {users[key]!r} too)", str(path)))
    raise_all(errors)
    return users


def _client(name: str, path: Path) -> tuple[bytes, str]:
    values = _read(name, path, secret=False)
    key = _public_key(name, path, values)
    try:
        return key, user_name(name, values.get("name", path.name.removesuffix(PUBLIC)))
    except SettingsError as error:
        raise SettingsError(name, f"{error.rule}, as the file's name or its metadata", str(path)) from None


def _variable(source: str | Path) -> str | None:
    text = str(source)
    return text.removeprefix(_ENVIRONMENT) if text.startswith(_ENVIRONMENT) else None


def _from_environment(name: str, variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SettingsError(name, "an environment variable with a key in it", _ENVIRONMENT + variable)
    return value


def _read(name: str, path: Path, *, secret: bool) -> dict[str, str]:
    """The values of a file: those of the user's metadata that matter, and its keys."""
    values: dict[str, str] = {}
    section = ""
    for line in secret_files.read_text(name, path, secret=secret).splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not key or key.startswith("#"):
            continue
        if not equals:
            section = key
        elif (key == "name") == (section == "metadata") and key in ("name", "public-key", "secret-key"):
            values.setdefault(key, _unquoted(value))
    return values


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _public_key(name: str, path: Path, values: dict[str, str]) -> bytes:
    rule = f"a file with a public-key, {_KEY_RULE} (geventrelay keygen makes it)"
    return _decoded(name, values.get("public-key", ""), rule, str(path))


def _check_secret(name: str, path: Path, values: dict[str, str]) -> None:
    if "public-key" in values and "secret-key" not in values:
        rule = f"a file with a secret-key ({SECRET} is its usual end), and not one with a public key alone"
        raise SettingsError(name, rule, str(path))


def _pair(name: str, text: str, source: str) -> KeyPair:
    secret = _decoded(name, text, f"a secret-key, {_KEY_RULE} (geventrelay keygen makes it)", source)
    return KeyPair(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


def _decoded(name: str, text: str, rule: str, source: str) -> bytes:
    # An error shows where the key should be, and never the key.
    try:
        if not _KEY.fullmatch(text):
            raise ValueError
        return z85.decode(text)
    except (ValueError, struct.error):
        raise SettingsError(name, rule, source) from None


# Writing -------------------------------------------------------------------------------------------------------------


def write_pair(name: str, folder: Path, user: str, pair: KeyPair) -> tuple[Path, Path]:
    """Make the two files of a pair: the public one and the secret one, which only its owner can read. Blocks.

    :param name: what to call the input in an error.
    :param folder: where they are made; it is made too where it is missing.
    :param user: the name of the files, and of the user.
    :param pair: the keys.
    :raises SettingsError: if one of them is there, which leaves it as it is, or if they cannot be made.
    """
    if "/" in user or "\0" in user or user.startswith("."):
        raise SettingsError(name, "a name that a file can have, without '/' and with no '.' first", user)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(name, f"a folder that can be made ({error.strerror})", str(folder)) from None
    public, secret = folder / f"{user}{PUBLIC}", folder / f"{user}{SECRET}"
    if public.exists():
        raise SettingsError(name, "no such file there: a key is never overwritten", str(public))
    secret_files.create(
        name,
        secret_files.NewFile(secret, _text(user, pair, secret=True), secret=True),
        secret_files.NewFile(public, _text(user, pair, secret=False), secret=False),
    )
    return public, secret


def _text(user: str, pair: KeyPair, *, secret: bool) -> str:
    about = "A SECRET key of ZeroMQ CURVE: keep it to yourself." if secret else "A public key of ZeroMQ CURVE."
    lines = [f"# {about}", "", "metadata", f'    name = "{user}"', "curve"]
    lines.append(f'    public-key = "{z85.encode(pair.public).decode()}"')
    if secret:
        lines.append(f'    secret-key = "{z85.encode(pair.secret).decode()}"')
    return "\n".join(lines) + "\n"
