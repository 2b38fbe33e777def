"""The routes of the API: what each path returns, and what each changes."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

import gevent

from ..devices.snapshot import State
from ..engine.fair import FairYield
from ..errors import SettingsError, StartError
from ..log import event
from ..printable import printable
from . import report
from .events import Events
from .history import STEP_S, History
from .http.messages import Refusal, Request, Response, encoded, json_response
from .http.router import Handler
from .hub_delay import HubDelay
from .recent import Recent

if TYPE_CHECKING:
    from ..server.server import Server
    from ..server.supervisor import SupervisedDevice

log = logging.getLogger("geventrelay")

_NUMBER = re.compile("[0-9]{1,18}")


class Api:
    """Answers requests about a server.

    :param server: the server.
    :param can_change: whether there is a token, so that a client can change anything.
    :param history: the rates of the last 15 minutes.
    :param hub_delay: how late its hub is.
    :param refused: what HTTP has refused, by reason.
    :ivar recent: answers that were costly to make.
    """

    def __init__(
        self,
        server: Server,
        *,
        can_change: bool,
        history: History,
        hub_delay: HubDelay,
        refused: Mapping[str, int],
    ) -> None:
        self._server = server
        self._can_change = can_change
        self._history = history
        self._hub_delay = hub_delay
        self._refused = refused
        self.recent: Recent[bytes] = Recent(size=len)
        self.events = Events("devices", self._devices)

    @property
    def routes(self) -> dict[tuple[str, str], Handler]:
        """Every route, by method and pattern."""
        return {
            ("GET", "/api/devices"): self._get_devices,
            ("GET", "/api/devices/{}"): self._get_device,
            ("GET", "/api/devices/{}/peers"): self._get_peers,
            ("GET", "/api/devices/{}/subscriptions"): self._get_subscriptions,
            ("POST", "/api/devices/{}/pause"): self._pause,
            ("POST", "/api/devices/{}/resume"): self._resume,
            ("POST", "/api/devices/{}/drain"): self._drain,
            ("POST", "/api/devices/{}/peers/{}/disconnect"): self._disconnect,
            ("POST", "/api/reload"): self._reload,
            ("GET", "/api/backbone"): self._get_backbone,
            ("GET", "/api/history"): self._get_history,
            ("GET", "/api/values"): self._get_values,
            ("GET", "/api/events"): self._get_events,
            ("GET", "/healthz"): self._get_health,
            ("GET", "/readyz"): self._get_readiness,
        }

    def _devices(self) -> bytes:
        return self.recent.get("devices", self._make_devices)

    def _make_devices(self) -> bytes:
        return encoded(
            report.devices(
                self._server,
                hub_delay_s=self._hub_delay.last_s,
                can_change=self._can_change,
                http_refused=self._refused,
            )
        )

    def _get_devices(self, request: Request) -> Response:
        return Response(self._devices(), headers={"Cache-Control": "no-store"})

    def _get_device(self, request: Request, name: str) -> Response:
        return json_response(report.one_device(self._supervised(name)))

    def _get_peers(self, request: Request, name: str) -> Response:
        supervised = self._supervised(name)

        def make() -> bytes:
            with FairYield() as turn:
                return encoded(report.connections(supervised.peers(accounts=True), turn.wait))

        return Response(self.recent.get((supervised.device, "peers"), make), headers={"Cache-Control": "no-store"})

    def _get_subscriptions(self, request: Request, name: str) -> Response:
        device = self._supervised(name).device

        def make() -> bytes:
            topics = device.subscriptions()
            if topics is None:
                raise Refusal(HTTPStatus.NOT_FOUND, f"device {name} forwards no subscriptions (XSUB -> XPUB does)")
            return encoded(report.subscriptions(topics))

        # By the device itself: a reload may give its name to another.
        return Response(self.recent.get(device, make), headers={"Cache-Control": "no-store"})

    def _get_history(self, request: Request) -> Response:
        devices = {
            name: {
                "received": [round(rate, 2) for rate in series.received],
                "dropped": [round(rate, 2) for rate in series.dropped],
                "lost": [round(rate, 2) for rate in series.lost],
                "held": list(series.held),
            }
            for name, series in self._history.devices.items()
        }
        return json_response({"version": report.VERSION, "interval_s": STEP_S, "devices": devices})

    def _get_backbone(self, request: Request) -> Response:
        return json_response(report.backbones(self._server))

    def _get_values(self, request: Request) -> Response:
        return json_response(report.values())

    def _get_events(self, request: Request) -> Response:
        return self.events.response()

    def _get_health(self, request: Request) -> Response:
        failed = [
            one for one in self._server.devices.values() if one.state is State.FAILED and one.next_start_s is None
        ]
        return _verdict("failed for good", [_why_not_up(one) for one in failed])

    def _get_readiness(self, request: Request) -> Response:
        down = [one for one in self._server.devices.values() if one.state not in (State.RUNNING, State.PAUSED)]
        reasons = [_why_not_up(one) for one in down]
        if self._server.keeps_off:
            reasons.append("too few file descriptors are free: new connections are ended")
        return _verdict("not ready", reasons if reasons or self._server.ready else ["starting"])

    def _changed(self) -> None:
        """Have a client see what it has changed, and not an answer from before."""
        self.recent.forget()

    def _pause(self, request: Request, name: str) -> Response:
        return self._command(name, "pause", lambda one: one.device.pause())

    def _resume(self, request: Request, name: str) -> Response:
        return self._command(name, "resume", lambda one: one.device.resume())

    def _drain(self, request: Request, name: str) -> Response:
        supervised = self._supervised(name)
        log.info(event("http-command", device=name, command="drain"))
        # The answer does not wait for the end, which may take all of the drain time. It shows that the stop has begun.
        gevent.spawn(supervised.stop)
        gevent.sleep(0)
        self._changed()
        return json_response(report.one_device(supervised))

    def _disconnect(self, request: Request, name: str, number: str) -> Response:
        supervised = self._supervised(name)
        log.info(event("http-command", device=name, command=f"disconnect {printable(number)}"))
        try:
            found = _NUMBER.fullmatch(number) is not None and supervised.device.disconnect(int(number))
        except SettingsError as error:
            raise Refusal(HTTPStatus.CONFLICT, f"device {name}: {error}") from error
        if not found:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no peer of device {name} has the number {printable(number)}")
        self._changed()
        return json_response(report.one_device(supervised))

    def _command(self, name: str, word: str, act: Callable[[SupervisedDevice], None]) -> Response:
        supervised = self._supervised(name)
        if not supervised.device.started:
            raise Refusal(HTTPStatus.CONFLICT, f"device {name} is {supervised.state.value}, so it cannot {word}")
        log.info(event("http-command", device=name, command=word))
        act(supervised)
        self._changed()
        return json_response(report.one_device(supervised))

    def _reload(self, request: Request) -> Response:
        log.info(event("http-command", command="reload"))
        try:
            result = self._server.reload()
            self._changed()
        except SettingsError as error:
            problems = str(error).splitlines()
            sentence = "nothing was changed: the configuration has an error"
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, problems=problems) from error
        except StartError as error:
            raise Refusal(HTTPStatus.CONFLICT, str(error)) from error
        words = ("unchanged", "added", "removed", "changed", "adjusted")
        return json_response({"version": report.VERSION, **{word: list(getattr(result, word)) for word in words}})

    def _supervised(self, name: str) -> SupervisedDevice:
        supervised = self._server.devices.get(name)
        if supervised is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no device is called {name}")
        return supervised


def _verdict(complaint: str, reasons: list[str]) -> Response:
    if reasons:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, complaint, problems=reasons)
    return json_response({"status": "ok"})


def _why_not_up(supervised: SupervisedDevice) -> str:
    failure = f" ({supervised.last_failure})" if supervised.last_failure else ""
    return f"{supervised.name} is {supervised.state.value}{failure}"
