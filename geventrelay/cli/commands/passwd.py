"""``geventrelay passwd``: a user's password, in a file of passwords."""

from __future__ import annotations

import getpass
import sys

from ...access.passwords import check_password, set_password
from ...access.user_names import user_name
from ...errors import SettingsError
from ...settings import checks
from ...settings.concealed import Unshown
from ..command import Command, Options
from ..output import print_stdout


def execute(options: Options) -> int:
    """Ask for the password that `options` name, and write what scrypt makes of it; the exit code. Blocks the hub."""
    path = checks.path("FILE", options["FILE"])
    user = user_name("USER", options["USER"])
    known = set_password("FILE", path, user, _asked(user))
    print_stdout(f"{'changed' if known else 'added'} {user} in {path}")
    return 0


def _asked(user: str) -> str:
    """The password: asked for twice without showing it at a terminal, else a line of standard input."""
    if sys.stdin is None or not sys.stdin.isatty():
        password = "" if sys.stdin is None else sys.stdin.readline().rstrip("\r\n")
        check_password("password", password)
        return password
    try:
        password = getpass.getpass(f"Password of {user}: ")
        check_password("password", password)
        again = getpass.getpass("The same again: ")
    except EOFError:
        raise SettingsError("password", "a line with it", Unshown("the end of input")) from None
    if again != password:
        raise SettingsError("password", "the same twice", Unshown("two that differ"))
    return password


PASSWD = Command(
    "passwd",
    "FILE USER",
    """\
Asks for a password of USER and keeps what scrypt makes of it in FILE, which is made where it is missing. A user who has
a password gets the new one. To take one away, remove the user's line. Only the owner of the file can read it.

At a terminal it asks twice, and shows nothing. Else the password is the first line of standard input.

Exit codes: 0 it is written, 2 wrong usage, or the file cannot be used.""",
    execute,
    {},
)
