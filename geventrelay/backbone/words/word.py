"""What all words have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Word:
    """What a device says. Each kind of word is a class, which has a row in the table of `codec.py`.

    :ivar relay: the id of the device that says it.
    """

    relay: bytes

    def members(self) -> dict[str, Any]:
        """What it says besides, as members of an object in JSON."""
        return {}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Word:
        """The word that the device `relay` has said.

        :param found: members as `members` makes them, of which nothing is known yet.
        :raises MalformedError: if they are no such word.
        """
        return cls(relay)
