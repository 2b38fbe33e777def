"""Where an option belongs: for the error of one that stands in the wrong place."""

from __future__ import annotations

from collections.abc import Iterator

from .option import Group, options_of
from .patterns import PATTERNS
from .server import ServerSettings
from .socket_options import OPTIONS, REFUSED


def folded(word: str) -> str:
    """A `word` such that all ways to write one option are the same: ``ZMQ_SNDHWM``, ``--sndhwm``, ``sndhwm``."""
    return word.lower().replace("_", "-").strip("-").removeprefix("zmq-")


def place_of(word: str) -> str:
    """Where the option that is written `word` belongs, as a clause of an error; empty if there is no such option."""
    return next(_places(folded(word)), "")


def _places(name: str) -> Iterator[str]:
    if name in _names(ServerSettings):
        yield f"{name} is an option of the process, and stands at the top of the file"
    owners = [pattern for pattern, cls in PATTERNS.items() if name in _names(cls)]
    if name == "pattern" or owners == list(PATTERNS):
        yield f"{name} is an option of a device, and stands in [device.NAME]"
    elif owners:
        yield f"{name} is an option of {_listed(owners)}, and stands in [device.NAME]"
    owners = [pattern for pattern, cls in PATTERNS.items() if name in cls.socket_keys()]
    if owners:
        yield f"{name} is a socket of {_listed(owners)}, and its table is [device.NAME.{name}]"
    plain = name.replace("-", "_")
    if name in ("bind", "connect") or plain in OPTIONS or plain in REFUSED:
        yield f"{name} is an option of a socket, and stands in [device.NAME.SOCKET]"


def _names(cls: type[Group]) -> set[str]:
    # A device's name is no key: it stands in the header of its table.
    return {option.name for option in options_of(cls)} - {"name"}


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
