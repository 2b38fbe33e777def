"""What answers HTTP, as a server sees it; `geventrelay.web` has one."""

from __future__ import annotations

from typing import Protocol


class Site(Protocol):
    """What answers HTTP for a server."""

    @property
    def url(self) -> str | None:
        """Where it answers; None while it does not."""

    def start(self) -> None:
        """Begin to answer. Yields while a name is resolved; raises `StartError` if it cannot."""

    def stop(self) -> None:
        """End every connection. Yields; may be called twice."""
