"""The WSGI application: checks a request, calls its handler, and adds the headers of every answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from ...log import event
from .door import Door, have_run_out
from .messages import Refusal, Request, Response
from .permissions import Guard
from .router import Router
from .under_way import SMALL_BYTES, LargeBody, UnderWay

log = logging.getLogger("geventrelay")

ALWAYS = {
    # The page loads nothing from other sites, and no other site may show it in a frame.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer."""

_NOT_ALLOWED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST)
_READS = ("GET", "HEAD", "OPTIONS")
# RFC 9110, sections 15.3.5 and 15.4.5: neither has a body or a length.
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class App:
    """Answers requests; a WSGI application (PEP 3333).

    :param router: finds the handler of a request.
    :param guard: checks which requests are allowed.
    :param door: counts and logs what is refused since no file descriptor is free.
    """

    def __init__(self, router: Router, guard: Guard, door: Door) -> None:
        self._router = router
        self._guard = guard
        self._door = door
        self._under_way = UnderWay()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer the WSGI request in `environ`; `start_response` gets status and headers."""
        request = Request.of(environ)
        try:
            response = self._answer(request)
        except Refusal as refusal:
            response = refusal.response()
            if refusal.status in _NOT_ALLOWED:
                who, what = environ.get("REMOTE_ADDR"), f"{request.method} {request.path}"
                log.warning(event("http-not-allowed", peer=who, request=what, reason=refusal))
        except Exception as error:
            response = self._failure(request, str(environ.get("REMOTE_ADDR")), error).response()
        response, large = self._begin(request, response, str(environ.get("REMOTE_ADDR")))
        body = response.body
        headers = {**ALWAYS, **response.headers}
        if response.status not in _BODILESS:
            headers["Content-Type"] = response.content_type
            if isinstance(body, bytes):
                headers["Content-Length"] = str(len(body))
        start_response(f"{response.status.value} {response.status.phrase}", list(headers.items()))
        if large is not None:
            return large  # type: ignore[return-value]  # a view of bytes is sent as bytes are
        if not isinstance(body, bytes):
            return body
        return [] if request.method == "HEAD" or response.status in _BODILESS else [body]

    def _begin(self, request: Request, response: Response, peer: str) -> tuple[Response, LargeBody | None]:
        """The answer, and how it is sent if it is large; another one if too many large ones are being read."""
        body = response.body
        if not isinstance(body, bytes) or len(body) <= SMALL_BYTES or request.method == "HEAD":
            return response, None
        large = self._under_way.begin(body)
        if large is None:
            self._door.refuse("large_answers", peer, f"{request.path}: too many large answers are being read")
            sentence = "too many large answers are being read: try again, or ask for less with ?limit="
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"Retry-After": "1"}).response(), None
        return response, large

    def _failure(self, request: Request, peer: str, error: Exception) -> Refusal:
        if have_run_out(error):
            # Clients can bring that about, and it is no fault in this program.
            self._door.refuse("descriptors", peer, f"{request.path}: {error}")
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "no file descriptor is free for this answer")
        log.error(event("http-failed", method=request.method, path=request.path, error=error), exc_info=error)
        return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed at this; its log says why")

    def _answer(self, request: Request) -> Response:
        self._guard.check_host(request)
        handler, names = self._router.find(request)
        if request.method not in _READS:
            self._guard.check_change(request)
        response = handler(request, *names)
        if request.method == "HEAD" and not isinstance(response.body, bytes):
            # Such an answer has no end, and so no length.
            close = getattr(response.body, "close", None)
            if close is not None:
                close()
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} takes GET, not HEAD", {"Allow": "GET"})
        return response
