"""Which handler answers which method and path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import unquote

from .messages import Refusal, Request, Response

Handler = Callable[..., Response]
"""Takes the request, and the segment of the path for each `{}` of its pattern."""


class Router:
    """Finds the handler of a request.

    :param routes: handlers by method and pattern, e.g. ``("GET", "/api/devices/{}")``; a ``{}`` stands for one segment
        of the path, which the handler gets decoded. A handler of GET also answers HEAD.
    """

    def __init__(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._routes: dict[tuple[str, ...], dict[str, Handler]] = {}
        for (method, pattern), handler in routes.items():
            methods = self._routes.setdefault(tuple(pattern.split("/")), {})
            methods[method] = handler
            if method == "GET":
                methods["HEAD"] = handler

    def find(self, request: Request) -> tuple[Handler, list[str]]:
        """The handler of `request`, and the segments of the path that it gets.

        :raises Refusal: 404 if no pattern fits the path, 405 if the path does not take the method.
        """
        segments = tuple(request.path.split("/"))
        for pattern, methods in self._routes.items():
            names = _fit(pattern, segments)
            if names is not None:
                handler = _options(methods) if request.method == "OPTIONS" else methods.get(request.method)
                if handler is None:
                    sentence = f"{request.path} takes {_listed(methods)}, not {request.method}"
                    raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, sentence, {"Allow": _listed(methods)})
                return handler, names
        raise Refusal(HTTPStatus.NOT_FOUND, f"there is nothing at {request.path}")


def _fit(pattern: tuple[str, ...], segments: tuple[str, ...]) -> list[str] | None:
    if len(pattern) != len(segments):
        return None
    names = []
    for wanted, segment in zip(pattern, segments, strict=True):
        if wanted == "{}" and segment:
            names.append(unquote(segment))
        elif wanted != segment:
            return None
    return names


def _options(methods: Mapping[str, Handler]) -> Handler:
    def answer(request: Request, *names: str) -> Response:
        return Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": _listed(methods)})

    return answer


def _listed(methods: Mapping[str, Handler]) -> str:
    return ", ".join(sorted({*methods, "OPTIONS"}))
