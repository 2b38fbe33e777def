"""The options that say which messages are watched or sent again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..recording import RecordFilter
from ..settings.checks import path, seconds, text, whole
from ..settings.option import Group, option
from .client_keys import ClientKeys


@dataclass(frozen=True, kw_only=True)
class ServerOptions(Group):
    """What is needed to ask a server over HTTP. A base of other groups."""

    __slots__ = ()

    title = "Over HTTP"

    device: str | None = option(
        text, "which device, where a server's address is given", default=None, unset="none", metavar="NAME"
    )
    token_file: Path | None = option(
        path,
        "its first line is the token that the server asks for",
        default=None,
        unset="none",
        metavar="PATH",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions(ClientKeys):
    """Which messages are wanted, and the keys for where they come from or go to."""

    title = "Which messages"

    direction: str | None = option(
        text,
        "only messages that came in at this socket: frontend, backend or sub",
        default=None,
        unset="all",
        metavar="SOURCE",
    )
    topic: str = option(
        text,
        "only messages whose first part begins with PREFIX; behind a ROUTER, that is the routing id",
        default="",
        unset="all",
        metavar="PREFIX",
    )
    sample: int = option(whole(1), "of those, every Nth message, the first included", default=1, metavar="N")

    @property
    def filter(self) -> RecordFilter:
        """The same as a filter of records."""
        return RecordFilter(self.direction, os.fsencode(self.topic), self.sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions(FilterOptions, ServerOptions):
    """What is watched, and for how long."""

    title = "Watching"

    count: int | None = option(whole(1), "end after N messages", default=None, unset="no limit", unit="messages")
    seconds_s: float | None = option(seconds, "end after that time", default=None, unset="no limit")
