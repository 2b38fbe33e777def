"""Text from elsewhere, made harmless for a terminal, a page and a log."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The `text` with an escape, such as ``\x1b`` or ``\u202e``, for every character that is not printable.

    Control characters steer a terminal, line ends forge lines of a log, and format characters turn the direction
    of writing around or hide something. `str.isprintable` names them all. Does not yield.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """The same for a `text` of several lines, whose line ends are kept. Does not yield."""
    return "\n".join(map(printable, text.split("\n")))
