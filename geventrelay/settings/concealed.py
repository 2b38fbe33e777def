"""Values that an error must not show: keys, passwords, tokens, and whatever an environment variable holds.

Each error shows the ``repr`` of a value. So a value that must not be read has one that says something else.
"""

from __future__ import annotations

import re

_SECRET = re.compile("secret|passw|token|credential|private", re.IGNORECASE)


class Unshown:
    """Stands in an error for a value.

    :param words: what the error says in its place.
    """

    def __init__(self, words: str = "something else") -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


class ConcealedText(str):
    """Text that is what it is, but for its ``repr``.

    :param text: the text.
    :param words: its ``repr``.
    """

    def __new__(cls, text: str, words: str = "something else") -> ConcealedText:
        """Make one."""
        concealed = super().__new__(cls, text)
        concealed._words = words
        return concealed

    _words: str

    def __repr__(self) -> str:
        return self._words


def is_secret(name: str) -> bool:
    """Whether the value of an option with this `name` must not be shown, also where there is no such option."""
    return _SECRET.search(name) is not None
