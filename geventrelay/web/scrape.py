"""The route to the metrics, which are there if `prometheus_client` is."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..log import event
from .http.messages import Refusal, Request, Response
from .hub_delay import HubDelay

if TYPE_CHECKING:
    from ..server.server import Server

log = logging.getLogger("geventrelay")

_MISSING = "metrics need prometheus_client, which is not installed: pip install 'geventrelay[metrics]'"


def metrics(server: Server, hub_delay: HubDelay) -> Callable[[Request], Response]:
    """The handler of ``/metrics``: 501 without `prometheus_client`, which is said in the log once, too.

    :param server: the server. :param hub_delay: how late its hub is.
    """
    try:
        # By name, since it may not be there; and not before somebody asks for HTTP, for it takes a while.
        made: Any = importlib.import_module("geventrelay.web.metrics").Metrics(server, hub_delay)
    except ImportError as error:
        if error.name != "prometheus_client":
            raise
        log.warning(event("no-metrics", reason=_MISSING))
        return _refuse

    def answer(request: Request) -> Response:
        content, content_type = made.scrape(request.headers.get("accept", ""))
        return Response(content, content_type, headers={"Cache-Control": "no-store"})

    return answer


def _refuse(request: Request) -> Response:
    raise Refusal(HTTPStatus.NOT_IMPLEMENTED, _MISSING)
