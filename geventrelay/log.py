"""What the log says: an event with a name and its keys, which whoever writes the log turns into a line.

``log.info(event("bound", device="prices", socket="frontend"))`` reads ``bound device=prices socket=frontend`` wherever
nobody knows of events; `geventrelay.server.logs` makes JSON of the same call, without parsing it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# What needs no quotes to be told from what follows it.
_PLAIN = re.compile(r"[^\s\"'=\\]+")


class LogEvent:
    """One event. Its text is ``NAME key=value ...``; values with spaces, quotes or nothing in them are quoted.

    :ivar name: what happened, in one word or a few.
    :ivar keys: to whom and why.
    """

    __slots__ = ("keys", "name")

    def __init__(self, name: str, keys: Mapping[str, object]) -> None:
        self.name = name
        self.keys = keys

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={_quoted(value)}" for key, value in self.keys.items())])


def event(name: str, /, **keys: object) -> LogEvent:
    """An event to be logged: `name` says what happened, `keys` to whom and why."""
    return LogEvent(name, keys)


def _quoted(value: object) -> str:
    text = str(value)
    return (
        text if _PLAIN.fullmatch(text) and text.isprintable() else json.dumps(text, ensure_ascii=not text.isprintable())
    )
