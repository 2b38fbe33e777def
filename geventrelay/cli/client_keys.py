"""The keys or the password that a command shows to a socket with rules of who may connect."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from .. import secret_files
from ..access.keys import read_pair, read_public_key
from ..errors import SettingsError
from ..settings.checks import path, text
from ..settings.option import Group, option

_ENVIRONMENT = "env:"


def _source(name: str, value: Any) -> str:
    """Take a file or ``env:VARIABLE``: `name` is what to call the input in an error, `value` what was given."""
    return str(path(name, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKeys(Group):
    """What is shown to a device with --curve-clients or --plain-passwords. See docs/security.rst."""

    title = "Access"

    curve_secret: str | None = option(
        _source,
        "a file with the secret CURVE key to connect with, or env:VARIABLE",
        default=None,
        unset="no encryption",
        metavar="FILE",
    )
    curve_serverkey: str | None = option(
        _source,
        "a file with the public key of the device, or env:VARIABLE",
        default=None,
        unset="none",
        metavar="FILE",
    )
    plain_username: str | None = option(
        text, "the user to connect as, where a device asks for passwords", default=None, unset="none", metavar="USER"
    )
    plain_password: str | None = option(
        _source,
        "a file whose first line is the password of this user, or env:VARIABLE",
        default=None,
        unset="none",
        metavar="FILE",
    )

    def socket_options(self) -> dict[int, bytes]:
        """What a socket of libzmq is set to, before it connects. Blocks the hub while files are read.

        :raises SettingsError: if an option lacks another one, or if a file is wrong.
        """
        if self.plain_username is not None and self.curve_secret is not None:
            raise SettingsError("--plain-username", "no --curve-secret beside it", self.plain_username)
        for name, value, other, beside in self._pairs():
            if value is not None and beside is None:
                raise SettingsError(name, f"{other} beside it", value)
        if self.curve_secret is not None and self.curve_serverkey is not None:
            pair = read_pair("--curve-secret", self.curve_secret)
            return {
                zmq.CURVE_PUBLICKEY: z85.encode(pair.public),
                zmq.CURVE_SECRETKEY: z85.encode(pair.secret),
                zmq.CURVE_SERVERKEY: z85.encode(read_public_key("--curve-serverkey", self.curve_serverkey)),
            }
        if self.plain_username is not None and self.plain_password is not None:
            password = _first_line("--plain-password", self.plain_password)
            return {zmq.PLAIN_USERNAME: os.fsencode(self.plain_username), zmq.PLAIN_PASSWORD: password}
        return {}

    def given(self) -> Iterator[tuple[str, str]]:
        """The options of these that were given, each with its value. Does not yield to the hub."""
        for name, value, _, _ in self._pairs():
            if value is not None:
                yield name, value

    def _pairs(self) -> Iterator[tuple[str, str | None, str, str | None]]:
        """Each option and its value, with the one that belongs to it and the value of that."""
        for one, other in (
            (("--curve-secret", self.curve_secret), ("--curve-serverkey", self.curve_serverkey)),
            (("--plain-username", self.plain_username), ("--plain-password", self.plain_password)),
        ):
            yield (*one, *other)
            yield (*other, *one)


def _first_line(name: str, source: str) -> bytes:
    variable = source.removeprefix(_ENVIRONMENT)
    if variable != source:
        found = os.environ.get(variable, "")
    else:
        found = secret_files.read_text(name, Path(source), secret=True).partition("\n")[0].rstrip("\r")
    # libzmq's option takes up to 255 bytes (zmq_setsockopt(3)).
    password = os.fsencode(found)
    if not 0 < len(password) < 256:
        raise SettingsError(name, "a password of 1 to 255 bytes in the first line", source)
    return password
