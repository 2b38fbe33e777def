"""Words as bytes and back, each a short text in JSON. Here is the table of all kinds of words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..terms import RELAY_BYTES, MalformedError
from .members import id_in
from .mesh import Ask, Gone, Here, Ping, Pong, Served
from .trace import Probe, Traced
from .word import Word
from .work import Grant, Hungry, Spent

VERSION = 1
"""Devices of another version are not understood."""

MOST_WORD_BYTES = 256 * 1024
"""What is longer is no word: the largest interest, and a thousand devices that are told of, are less. A longer
one could take a tenth of a second to be read."""

_KINDS: Mapping[str, type[Word]] = {
    "here": Here,
    "ask": Ask,
    "served": Served,
    "gone": Gone,
    "ping": Ping,
    "pong": Pong,
    "hungry": Hungry,
    "grant": Grant,
    "spent": Spent,
    "probe": Probe,
    "traced": Traced,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class UnknownWordError(MalformedError):
    """It is a word that only later versions know: they have more to say to each other."""


def encoded(word: Word) -> bytes:
    """The bytes of a `word`."""
    made: dict[str, Any] = {"v": VERSION, "w": _NAMES[type(word)], "relay": word.relay.hex(), **word.members()}
    return json.dumps(made, separators=(",", ":")).encode()


def decoded(data: bytes) -> Word:
    """The word that `data` is.

    :raises UnknownWordError: if it is one of a later version.
    :raises MalformedError: if it is none.
    """
    if len(data) > MOST_WORD_BYTES:
        raise MalformedError(f"{len(data)} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedError("no JSON") from None
    if not isinstance(found, dict) or found.get("v") != VERSION:
        raise MalformedError("another version")
    kind = _KINDS.get(str(found.get("w")))
    if kind is None:
        raise UnknownWordError("an unknown word")
    return kind.read(id_in(found.get("relay"), RELAY_BYTES), found)
