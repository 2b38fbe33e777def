"""Everything that a server has for HTTP, put together: started after the devices, and stopped after them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import gevent

from ..endpoints import is_every_host
from ..log import event
from ..settings import HttpAddress, HttpOptions
from .api import Api
from .history import STEP_S, History, Totals
from .http.app import App
from .http.door import Door
from .http.listener import Listener
from .http.permissions import Guard
from .http.router import Router
from .http.static import page
from .http.token_file import TokenFile
from .hub_delay import HubDelay
from .in_turn import in_turn
from .last import LastValues
from .metrics import metrics
from .published import Published
from .tap import Taps
from .trace import Traces

if TYPE_CHECKING:
    from ..server.server import Server
    from ..server.supervisor import SupervisedDevice

log = logging.getLogger("geventrelay")


class Site:
    """Serves the page, the API and the metrics of a server over HTTP.

    :param server: the server.
    :param address: where to listen; port 0 takes a free port.
    :param token_file: a file whose first line is the token that changes need; None forbids every change.
    :param options: how much one client may use.
    """

    def __init__(
        self,
        server: Server,
        address: HttpAddress,
        token_file: Path | None = None,
        options: HttpOptions | None = None,
    ) -> None:
        self._server = server
        self._address = address
        self._token_file = token_file
        self._options = options or HttpOptions()
        self._refused: Counter[str] = Counter()
        self._history = History()
        self._hub_delay = HubDelay()
        self._api: Api | None = None
        self._listener: Listener | None = None
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    @property
    def url(self) -> str | None:
        """The URL at which it answers, e.g. ``http://127.0.0.1:8080``; None while it does not."""
        return None if self._listener is None or self._listener.address is None else f"http://{self._listener.address}"

    def start(self) -> None:
        """Begin to answer. Yields while a name is resolved.

        :raises StartError: if it cannot listen at the address, or the token file has no token.
        """
        guard = Guard(self._address.host, None if self._token_file is None else TokenFile(self._token_file).token)
        self._api = Api(
            self._server,
            can_change=guard.has_token,
            history=self._history,
            hub_delay=self._hub_delay,
            refused=self._refused,
        )
        routes = {
            **page(),
            **self._api.routes,
            **Published(self._server, self._api.recent).routes,
            **Taps(self._server, guard).routes,
            **LastValues(self._server, guard).routes,
            **Traces(self._server).routes,
            ("GET", "/metrics"): metrics(self._server, self._hub_delay, self._refused),
        }
        door = Door(self._options, self._refused)
        listener = Listener(self._address, in_turn(App(Router(routes), guard, door)), door)
        listener.start()
        self._listener = listener
        self._greenlets = [gevent.spawn(self._hub_delay.run), gevent.spawn(self._keep_history)]
        if is_every_host(self._address.host):
            advice = "--http 127.0.0.1:PORT opens it on this host only"
            log.warning(event("open-to-every-host", http=self.url, advice=advice))
        log.info(event("http", url=self.url, changes="with the token" if guard.has_token else "none"))

    def stop(self) -> None:
        """End every connection and stop listening. Yields; may be called twice."""
        gevent.killall(self._greenlets)
        self._greenlets = []
        if self._api is not None:
            self._api.events.close()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def _keep_history(self) -> None:
        while True:
            self._history.add(time.monotonic(), {name: _totals(one) for name, one in self._server.devices.items()})
            gevent.sleep(STEP_S)


def site_for(server: Server) -> Site:
    """The site of a `server` whose settings ask for HTTP. Does not yield."""
    settings = server.settings
    assert settings.http is not None  # the caller has checked this
    return Site(server, settings.http, settings.http_token_file, settings)


def _totals(supervised: SupervisedDevice) -> Totals:
    snapshot = supervised.snapshot()
    outlets = [outlet for pump in snapshot.pumps for outlet in pump.outlets]
    return Totals(
        received=sum(pump.received for pump in snapshot.pumps),
        dropped=sum(sum(outlet.dropped.values()) for outlet in outlets),
        lost=sum(sum((outlet.lost or {}).values()) for outlet in outlets),
        held=snapshot.held,
    )
