"""What a user may have meant by a line that is no TOML: a few words behind what the reader of TOML says."""

from __future__ import annotations

import re

_VALUE = re.compile(r"\s*(?P<key>[^=\[\]#\"']+?)\s*=\s*(?P<value>[^#]*)")
_TRUTH = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
_OTHER_TRUTH = ("yes", "no", "on", "off")
_NOTHING = ("none", "null", "nil", "~")
_NUMBER_AND_UNIT = re.compile(r"[+-]?\d+(\.\d+)?\s*[A-Za-z%]+")
_TEXT = re.compile(r"[^\s,\]\[{}\"'()]+(?:\s+[^\s,\]\[{}\"'()]+)*")
_HEADER = re.compile(r"\s*\[\[?(?P<path>[^\[\]]+)\]")
# tomllib and tomli say so of a second key, and of a table whose name is a key.
_TWICE = ("Cannot overwrite a value", "Cannot declare", "Cannot mutate")


def hint(message: str, line: str, column: int) -> str:
    """What to say behind the `message` of a TOML reader; empty if it is not known what was meant.

    :param message: what the reader says, without the place.
    :param line: the text of the line.
    :param column: where in it, counted from 1.
    """
    if message.startswith(_TWICE):
        return _of_two(line)
    found = _VALUE.match(line)
    if found is None:
        return ""
    whole = found["value"].strip()
    # In a list or a table it is not the whole value.
    inner = _TEXT.match(line[column - 1 :]) if whole[:1] in ("[", "{") else None
    return _of_value(found["key"].strip(), inner[0] if inner else whole, is_inner=inner is not None)


def _of_two(line: str) -> str:
    header = _HEADER.match(line)
    if header is None:
        return "it stands in this file twice"
    key = header["path"].rpartition(".")[2].strip()
    return f"{key} stands above too; where it is a key there, take that away and write bind = or connect = in the table"


def _of_value(key: str, value: str, *, is_inner: bool) -> str:
    begin = "" if is_inner else f"{key} = "
    if value in _TRUTH:
        return f"in small letters: {begin}{_TRUTH[value]}"
    if value.lower() in _OTHER_TRUTH:
        return f"true or false, e.g. {begin}{'true' if value.lower() in ('yes', 'on') else 'false'}"
    if value.lower() in _NOTHING:
        return "TOML has no such value: leave the key away"
    if value.startswith("("):
        return f"a list stands in brackets: {begin}[{value.strip('() ,')}]"
    if _NUMBER_AND_UNIT.fullmatch(value):
        return "a number stands without its unit"
    if value and _TEXT.fullmatch(value):
        return f'text stands in quotes: {begin}"{value}"'
    return ""
