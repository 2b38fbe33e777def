"""How long messages take from a device to the others of its name: a trace on request, as JSON.

It sends probes to other devices, so it needs the token, as every change does. It takes seconds, and only one of each
device goes on at a time.
"""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..backbone.trace.hops import Hop, Trace, TracedRelay
from ..backbone.values import BackboneSnapshot
from ..errors import SettingsError, StartError
from ..log import event
from ..printable import printable
from ..settings.checks import seconds
from . import report
from .http.messages import Refusal, Request, Response, json_response
from .http.router import Handler

if TYPE_CHECKING:
    from ..server.server import Server

log = logging.getLogger("geventrelay")

DEFAULT_S, MOST_S = 3.0, 60.0
"""How long answers are waited for: by default, and at most; in seconds."""

Json = dict[str, Any]


class Traces:
    """Answers requests for traces.

    :param server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def routes(self) -> dict[tuple[str, str], Handler]:
        """The routes, by method and pattern."""
        return {("POST", "/api/devices/{}/trace"): self._trace}

    def _trace(self, request: Request, name: str) -> Response:
        supervised = self._server.devices.get(name)
        if supervised is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no device is called {name}")
        try:
            topic, limit_s = _chosen(request)
        except SettingsError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        log.info(event("http-command", device=name, command="trace"))
        try:
            found = supervised.device.trace(topic, limit_s)
        except StartError as error:
            raise Refusal(HTTPStatus.CONFLICT, f"device {error}") from error
        if found is None:
            sentence = f"device {name} is joined with no others: backbone (--backbone) has it join them"
            raise Refusal(HTTPStatus.NOT_FOUND, sentence)
        made = as_json(found, supervised.device.snapshot().backbone)
        return json_response({"version": report.VERSION, "device": name, **made})


def _chosen(request: Request) -> tuple[bytes | None, float]:
    """The topic, and how long to wait for answers, in seconds."""
    given = request.given("topic", "seconds")
    # An empty one is one: what subscribers to everything ask for.
    topic = request.query.get("topic")
    limit_s = seconds("seconds", given.get("seconds", str(DEFAULT_S)))
    if not 0 < limit_s <= MOST_S:
        raise SettingsError("seconds", f"a number above 0 and up to {MOST_S:g}", limit_s)
    # No request has room for one that is too long.
    return None if topic is None else os.fsencode(topic), limit_s


def as_json(found: Trace, backbone: BackboneSnapshot | None) -> Json:
    """What was `found`, and how the device stands with what keeps its work: its `backbone`, where that is known."""
    topic = None if found.topic is None else printable(found.topic.decode(errors="backslashreplace"))
    return {
        "answered": found.is_answered,
        "limit_s": found.limit_s,
        "took_s": _rounded(found.took_s),
        "topic": topic,
        "relay": found.relay,
        "host": printable(found.host),
        "server": printable(found.server),
        "reason": printable(found.reason),
        "away_s": _rounded(found.away_s),
        "waiting": found.waiting,
        "incoming": found.incoming,
        "dropped": found.dropped,
        "wanted": found.wanted,
        "subscriptions": found.subscriptions,
        "room": found.room,
        "workers": found.workers,
        "store": None if backbone is None else report.store(backbone),
        "relays": [_relay(one) for one in found.relays],
    }


def _relay(one: TracedRelay) -> Json:
    return {
        "relay": one.relay,
        "host": printable(one.host),
        "outcome": one.outcome.value,
        "reason": printable(one.reason),
        "seconds": _rounded(one.seconds),
        "silent_s": _rounded(one.silent_s),
        "dropped": one.dropped,
        "sent": one.sent,
        "wanted": one.wanted,
        "subscriptions": one.subscriptions,
        "room": one.room,
        "workers": one.workers,
        "credit": one.credit,
        "hops": [_hop(hop) for hop in one.hops],
        "look_at": None if one.stays is None else {"there": one.stays.is_there, "values": list(one.stays.look_at)},
    }


def _hop(hop: Hop) -> Json:
    return {
        "place": hop.place.value,
        "seconds": _rounded(hop.seconds),
        "messages": hop.messages,
        "over": hop.is_over,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
