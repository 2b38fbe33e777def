"""``geventrelay keygen``: a new pair of CURVE keys, in two files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zmq

from ...access import keys
from ...access.user_names import user_name
from ...errors import StartError
from ...settings import checks
from ...settings.option import Group, option, read_group
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..output import print_stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class KeygenOptions(Group):
    """The options of ``geventrelay keygen``."""

    name: str = option(user_name, "the user that the keys are for, and the name of the files", default="relay")


def execute(options: Options) -> int:
    """Make a pair of keys in the folder that `options` name, and print where it is; the exit code. Blocks the hub."""
    chosen = read_group(KeygenOptions, given_options(options))
    try:
        pair = keys.new_pair()
    except zmq.ZMQError as error:
        raise StartError(f"cannot make keys: this libzmq has no CURVE ({error.strerror})") from None
    folder = checks.path("DIR", options["DIR"])
    public, secret = keys.write_pair("DIR", Path(folder), chosen.name, pair)
    print_stdout(f"public key: {public}, fingerprint {keys.fingerprint(pair.public)}\nsecret key: {secret}")
    return 0


KEYGEN = Command(
    "keygen",
    "DIR",
    """\
Makes a pair of keys for CURVE in the folder DIR: NAME.key with the public key, to give to others, and NAME.key_secret,
which only its owner can read. Files that are there are never overwritten. Other programs of ZeroMQ can read them:
zmq.auth of pyzmq, and CZMQ.

Exit codes: 0 they are made, 1 this libzmq has no CURVE, 2 wrong usage, or there are such files.""",
    execute,
    sections_of(KeygenOptions),
)
