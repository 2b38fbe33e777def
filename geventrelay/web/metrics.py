"""What Prometheus scrapes. Needs `prometheus_client`, the extra ``metrics``; docs/http.rst lists every metric."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import gevent
import zmq
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..devices.snapshot import State
from ..engine.counters import Drop, OutletSnapshot, PumpSnapshot
from ..engine.native.choose import burst_name
from ..engine.peertable import PeersSnapshot
from ..version import version
from .hub_delay import HubDelay

if TYPE_CHECKING:
    from ..server.server import Server
    from ..server.supervisor import SupervisedDevice

_WHERE = ("device", "socket")
_WHY = ("device", "socket", "reason")

_PUMP: tuple[tuple[str, str, Callable[[PumpSnapshot], int]], ...] = (
    ("received_messages", "Messages read from the socket.", lambda pump: pump.received),
    ("received_parts", "Parts of the messages read from the socket.", lambda pump: pump.received_parts),
    ("received_bytes", "Bytes of the messages read from the socket.", lambda pump: pump.received_bytes),
    ("bursts", "Times that the inner loop read from the socket.", lambda pump: pump.bursts),
)
_OUTLET: tuple[tuple[str, str, Callable[[OutletSnapshot], int]], ...] = (
    ("sent_messages", "Messages handed to libzmq for the socket's peers.", lambda outlet: outlet.sent),
    ("sent_parts", "Parts of the messages handed to libzmq for the socket's peers.", lambda outlet: outlet.sent_parts),
    ("sent_bytes", "Bytes of the messages handed to libzmq for the socket's peers.", lambda outlet: outlet.sent_bytes),
)
_PEERS: tuple[tuple[str, str, Callable[[PeersSnapshot], int]], ...] = (
    ("connects", "Connections to the socket whose handshake went through.", lambda peers: peers.connected_total),
    ("disconnects", "Connections to the socket that have ended.", lambda peers: peers.disconnected_total),
    ("connect_retries", "Times that connecting the socket was tried again.", lambda peers: peers.retries),
)


class Metrics:
    """Everything that is known of a server, apart from whatever else the process may tell Prometheus.

    :param server: the server. :param hub_delay: how late its hub is.
    """

    def __init__(self, server: Server, hub_delay: HubDelay) -> None:
        self._server = server
        self._hub_delay = hub_delay
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """All metrics as they are now, and the format that they are in. Yields to the hub.

        :param accept: which formats whoever asks would take: an Accept header, or nothing.
        """
        encode, content_type = choose_encoder(accept)
        registry = CollectorRegistry()
        registry.register(_Collected([*self._collect(), *self._process.collect()]))
        # For two hundred devices that takes a tenth of a second, for which the hub is not to be kept.
        return gevent.get_hub().threadpool.apply(encode, (registry,)), content_type

    def _collect(self) -> Iterator[Metric]:
        devices = list(self._server.devices.values())
        yield from _of_server(self._server, self._hub_delay)
        yield from _of_devices(devices)
        yield from _of_pumps(devices)
        yield from _of_peers(devices)


class _Collected(Collector):
    """What has been collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _of_server(server: Server, hub_delay: HubDelay) -> Iterator[Metric]:
    build = {
        "version": version(), "burst": burst_name(), "gevent": gevent.__version__, "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(), "python": platform.python_version(),
    }  # fmt: skip
    yield InfoMetricFamily("geventrelay_build", "What this is and what it runs on.", build)
    yield GaugeMetricFamily("geventrelay_ready", "1 if every device is up, else 0.", int(server.ready))
    late = "Seconds by which a timer fired late: what every greenlet waited for its turn"
    yield GaugeMetricFamily("geventrelay_hub_delay_seconds", f"{late}, the last time.", hub_delay.last_s)
    yield GaugeMetricFamily("geventrelay_hub_delay_max_seconds", f"{late}, at most in a minute.", hub_delay.max_s)


def _of_devices(devices: Iterable[SupervisedDevice]) -> Iterator[Metric]:
    states = _gauge("device_state", "1 for the state that the device is in, 0 for the others.", ("device", "state"))
    restarts = _counter("device_restarts", "Times that the device was started again after a failure.", ("device",))
    for one in devices:
        for state in State:
            states.add_metric((one.name, state.value), int(one.state is state))
        restarts.add_metric((one.name,), one.restarts)
    yield from (states, restarts)


def _of_pumps(devices: Iterable[SupervisedDevice]) -> Iterator[Metric]:
    pump_families = [(_counter(name, text, _WHERE), value) for name, text, value in _PUMP]
    outlet_families = [(_counter(name, text, _WHERE), value) for name, text, value in _OUTLET]
    held = _gauge("held_messages", "Messages read from the socket that some outlet has not taken yet.", _WHERE)
    dropped = _counter("dropped_messages", "Messages that the socket did not take, by reason.", _WHY)
    for one in devices:
        for pump in one.snapshot().pumps:
            where = (one.name, pump.source)
            held.add_metric(where, pump.held)
            for family, of_pump in pump_families:
                family.add_metric(where, of_pump(pump))
            for outlet in pump.outlets:
                for family, of_outlet in outlet_families:
                    family.add_metric((one.name, outlet.socket), of_outlet(outlet))
                # Those that have not occurred too: a rate needs something to begin with.
                for reason in Drop:
                    dropped.add_metric((one.name, outlet.socket, reason.value), outlet.dropped.get(reason, 0))
    yield from (family for family, _ in pump_families)
    yield from (family for family, _ in outlet_families)
    yield from (held, dropped)


def _of_peers(devices: Iterable[SupervisedDevice]) -> Iterator[Metric]:
    families = [(_counter(name, text, _WHERE), value) for name, text, value in _PEERS]
    connected = _gauge("peers", "Peers that are connected to the socket.", _WHERE)
    failures = _counter("handshake_failures", "Connections whose handshake failed, by reason.", _WHY)
    for one in devices:
        for key, peers in one.peers().items():
            where = (one.name, key)
            connected.add_metric(where, len(peers.peers))
            for family, value in families:
                family.add_metric(where, value(peers))
            for reason, count in peers.handshake_failures.items():
                failures.add_metric((*where, reason), count)
    yield connected
    yield from (family for family, _ in families)
    yield failures


def _counter(name: str, text: str, labels: Iterable[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"geventrelay_{name}", text, labels=list(labels))


def _gauge(name: str, text: str, labels: Iterable[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"geventrelay_{name}", text, labels=list(labels))
