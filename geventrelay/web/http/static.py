"""The files of the page, from the package."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from .messages import Request, Response
from .router import Handler

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
"""The type of a file by the end of its name."""


class File:
    """A file that is served: the end of its `name` gives the type; `content` are its bytes."""

    def __init__(self, name: str, content: bytes) -> None:
        self._content = content
        self._type = TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        self._etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'

    def __call__(self, request: Request) -> Response:
        """The file, or 304 if the client of `request` has it already."""
        # The browser must ask every time, so that a page never runs with scripts of another version.
        headers = {"ETag": self._etag, "Cache-Control": "no-cache"}
        known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        if self._etag in known or known == ["*"]:
            return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(self._content, self._type, headers=headers)


def page() -> dict[tuple[str, str], Handler]:
    """Routes to every file of the page, and from ``/`` to its ``index.html``. Reads all files.

    Only these paths exist, so no path leads out of the folder.
    """
    routes: dict[tuple[str, str], Handler] = {
        ("GET", path): File(path, content) for path, content in _read(Path(__file__).parent.parent / "page")
    }
    if ("GET", "/index.html") in routes:
        routes["GET", "/"] = routes["GET", "/index.html"]
    return routes


def _read(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield f"/{path.relative_to(folder).as_posix()}", path.read_bytes()
