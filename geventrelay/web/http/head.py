"""The head of a request, line by line: what is let through has one meaning for every proxy and server.

RFC 9112 has the grammar: section 3 for the first line, 5 for fields, 2.2 for line ends. A server answers 400 where a
proxy in front could see another end of the request (section 11.2, request smuggling). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(_TOKEN + rb" [!-~\x80-\xff]+ HTTP/[0-9]\.[0-9]")
# A value has no control characters but the tab, and so no NUL and no CR.
_FIELD = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(r"[0-9]{1,18}")


class HeadError(ValueError):
    """A head that breaks a rule; the text is one sentence with the rule."""


def check_request_line(line: bytes) -> None:
    """Check the first `line` of a request, with its line end.

    :raises HeadError: unless it is a method, a path and a version, with one space between them.
    """
    if not _REQUEST.fullmatch(_without_end(line)):
        raise HeadError("a request's line has a method, a path and a version")


def check_field(line: bytes) -> None:
    """Check one more `line` of a head, with its line end; the empty one that ends the head is right, too.

    :raises HeadError: unless it is a name, a colon directly behind it, and a value without control characters.
    """
    content = _without_end(line)
    if content and not _FIELD.fullmatch(content):
        raise HeadError("a header is a name, a colon directly behind it, and a value on the same line")


def content_length(values: Sequence[str]) -> int:
    """The length of the body.

    :param values: of all headers Content-Length.
    :raises HeadError: if there are several, or it is anything but digits.
    """
    if len(values) > 1:
        raise HeadError("one Content-Length is enough")
    if values and not _LENGTH.fullmatch(values[0].strip(" \t")):
        raise HeadError("Content-Length is a number")
    return int(values[0]) if values else 0


def check_coding(codings: Sequence[str], lengths: Sequence[str]) -> None:
    """Check what a head says of how its body is sent (RFC 9112, sections 6.1 and 6.3).

    :param codings: of all headers Transfer-Encoding.
    :param lengths: of all headers Content-Length.
    :raises HeadError: if there are both, or codings whose end is not certain.
    """
    if codings and lengths:
        raise HeadError("a request has a Content-Length or a Transfer-Encoding, not both")
    if codings and [one.strip(" \t").lower() for one in codings] != ["chunked"]:
        raise HeadError("the Transfer-Encoding of a request is chunked or none")


def _without_end(line: bytes) -> bytes:
    if not line.endswith(b"\r\n"):
        raise HeadError("each line of a head ends with CR LF")
    return line[:-2]
