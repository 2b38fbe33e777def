"""Log events: a name and keys, which a log handler turns into a line.

``log.info(event("bound", device="prices", socket="frontend"))`` becomes the text ``bound device=prices
socket=frontend`` in any log handler. `geventrelay.server.logs` makes JSON of the same call without parsing the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# A value that needs no quotes: its end is clear without them.
_PLAIN = re.compile(r"[^\s\"'=\\]+")


class LogEvent:
    """One event. Its text is ``NAME key=value ...``; values with spaces, quotes or nothing in them are quoted.

    :ivar name: what happened, in one word or a few words.
    :ivar keys: where it happened and why.
    """

    __slots__ = ("keys", "name")

    def __init__(self, name: str, keys: Mapping[str, object]) -> None:
        self.name = name
        self.keys = keys

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={_quoted(value)}" for key, value in self.keys.items())])


def event(name: str, /, **keys: object) -> LogEvent:
    """Make an event for the log: `name` says what happened, `keys` say where and why. Does not yield."""
    return LogEvent(name, keys)


def _quoted(value: object) -> str:
    text = str(value)
    return (
        text if _PLAIN.fullmatch(text) and text.isprintable() else json.dumps(text, ensure_ascii=not text.isprintable())
    )
