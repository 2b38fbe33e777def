"""What Prometheus scrapes. Needs `prometheus_client`, the extra ``metrics``; `catalogue` has every metric.

`prometheus_client` is imported when HTTP is first asked for: a server without it starts too, and the import takes time.
"""

from __future__ import annotations

import itertools
import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import gevent
import zmq

from ..devices.snapshot import State
from ..engine.counters import OutletSnapshot, PumpSnapshot
from ..engine.native.choose import burst_name
from ..engine.values import Kind, Value, summed
from ..log import event
from ..printable import printable
from ..version import version
from .catalogue import (
    BACKBONE,
    BUILD,
    DEVICE,
    OUTLET,
    PREFIX,
    PUMP,
    SERVER,
    SOCKET,
    TOPIC,
    TOPICS,
    USER,
    DeviceValues,
    Scope,
    ServerValues,
    TopicValues,
)
from .http.messages import Refusal, Request, Response
from .hub_delay import HubDelay
from .published import totals
from .recent import Recent

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

    from ..server.server import Server
    from ..server.supervisor import SupervisedDevice
    from ..switch.core_values import TopicCounts

log = logging.getLogger("geventrelay")

_MISSING = "metrics need prometheus_client, which is not installed: pip install prometheus_client"

MOST_TOPICS = 20
"""Of so many topics of a socket there are metrics: of the busiest, where at least half the number is certain."""
MOST_TOPIC_BYTES = 100
"""So much of each of these is in its label."""

Samples = Sequence[tuple[tuple[str, ...], object]]
"""Things of one kind at one moment, each behind the values of its labels."""


def metrics(server: Server, hub_delay: HubDelay, refused: Mapping[str, int]) -> Callable[[Request], Response]:
    """The handler of ``/metrics``. Without `prometheus_client` it answers 501, and the log says so once.

    :param server: the server.
    :param hub_delay: how late its hub is.
    :param refused: what HTTP has refused, by reason.
    """
    try:
        import prometheus_client  # noqa: F401 (whether it is there)
    except ImportError as error:
        if error.name != "prometheus_client":
            raise
        log.warning(event("no-metrics", reason=_MISSING))
        return _refuse
    made = Metrics(server, hub_delay, refused)
    recent: Recent[tuple[bytes, str]] = Recent()

    def answer(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        content, content_type = recent.get(accept, lambda: made.scrape(accept))
        return Response(content, content_type, headers={"Cache-Control": "no-store"})

    return answer


def _refuse(request: Request) -> Response:
    raise Refusal(HTTPStatus.NOT_IMPLEMENTED, _MISSING)


class Metrics:
    """Everything that is known of a server, and what `prometheus_client` itself knows of the process.

    :param server: the server.
    :param hub_delay: how late its hub is.
    :param refused: what HTTP has refused, by reason.
    """

    def __init__(self, server: Server, hub_delay: HubDelay, refused: Mapping[str, int]) -> None:
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

        self._server = server
        self._hub_delay = hub_delay
        self._refused = refused
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """All metrics as they are now, and the format that they are in. Yields to the hub.

        :param accept: an Accept header, or nothing: the formats that the client takes.
        """
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        registry = CollectorRegistry()
        collected: Any = _Collected([*self._collect(), *self._process.collect()])
        registry.register(collected)
        # With two hundred devices this takes 0.1 s, in which the hub must not be blocked.
        return gevent.get_hub().threadpool.apply(encode, (registry,)), content_type

    def _collect(self) -> Iterator[Metric]:
        devices = list(self._server.devices.values())
        yield _build_info()
        yield from _families(SERVER, [((), _of_server(self._server, self._hub_delay, self._refused))])
        yield from _families(DEVICE, [((one.name,), _of_device(one)) for one in devices])
        snapshots = [(one.name, one.snapshot()) for one in devices]
        pumps = [(name, pump) for name, snapshot in snapshots for pump in snapshot.pumps]
        yield from _families(PUMP, [((name, pump.source), pump) for name, pump in pumps])
        yield from _families(OUTLET, _outlets(pumps))
        joined = [((name,), one.backbone) for name, one in snapshots if one.backbone is not None]
        yield from _families(BACKBONE, joined)
        # What users have moved is looked for in all connections, and so only where there are users.
        found = [(one.name, one.peers(accounts=bool(one.settings.access_rules))) for one in devices]
        sockets = [((name, key), peers) for name, by_key in found for key, peers in by_key.items()]
        yield from _families(SOCKET, sockets)
        users = [(where, user, one) for where, peers in sockets for user, one in (peers.users or {}).items()]
        yield from _families(USER, [((*where, printable(user)), one) for where, user, one in users])
        counted = [((one.name, key), counts) for one in devices for key, counts in (one.device.topics() or {}).items()]
        yield from _families(TOPICS, [(where, totals(counts)) for where, counts in counted])
        busiest = [((*where, label), one) for where, counts in counted for label, one in _busiest(counts).items()]
        yield from _families(TOPIC, busiest)


class _Collected:
    """A collector, as `prometheus_client` calls it, of what has been collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _of_server(server: Server, hub_delay: HubDelay, refused: Mapping[str, int]) -> ServerValues:
    return ServerValues(
        ready=server.ready,
        hub_delay_s=hub_delay.last_s,
        hub_delay_max_s=hub_delay.max_s,
        log_dropped=server.log_dropped,
        http_refused=refused,
    )


def _of_device(device: SupervisedDevice) -> DeviceValues:
    return DeviceValues(states={state: int(device.state is state) for state in State}, restarts=device.restarts)


def _outlets(pumps: Iterable[tuple[str, PumpSnapshot]]) -> Samples:
    """What went to each socket, over all pumps that lead to it."""
    found: dict[tuple[str, ...], OutletSnapshot] = {}
    for name, pump in pumps:
        for outlet in pump.outlets:
            where = (name, outlet.socket)
            before = found.get(where)
            found[where] = outlet if before is None else summed(before, outlet, socket=outlet.socket)
    return list(found.items())


def _busiest(counts: TopicCounts) -> dict[str, TopicValues]:
    """The busiest topics, by what is their label. Those that differ in what is cut off are one."""
    found: dict[str, TopicValues] = {}
    # Where topics come once and never again, each takes the place and the number of another one. There would be other
    # labels at every scrape, and Prometheus keeps all that it has seen.
    certain = (one for one in counts.topics if one.messages >= 2 * one.error)
    for one in itertools.islice(certain, MOST_TOPICS):
        label = topic_label(one.topic)
        before = found.get(label)
        found[label] = TopicValues(
            messages=one.messages + (before.messages if before else 0),
            error=one.error,
            nbytes=one.nbytes + (before.nbytes if before else 0),
            per_s=one.per_s,
            bytes_per_s=one.bytes_per_s,
            lost=one.lost + (before.lost if before else 0),
            lost_error=one.lost_error,
            subscribers=one.subscribers,
        )
    return found


def topic_label(topic: bytes) -> str:
    """What stands for a `topic` in a label: text without control characters, no longer than `MOST_TOPIC_BYTES`."""
    text = printable(topic.decode(errors="backslashreplace"))
    return text.encode()[:MOST_TOPIC_BYTES].decode(errors="ignore")


def _build_info() -> Metric:
    from prometheus_client.core import InfoMetricFamily

    build = {
        "version": version(), "burst": burst_name(), "gevent": gevent.__version__, "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(), "python": platform.python_version(),
    }  # fmt: skip
    return InfoMetricFamily(BUILD.removesuffix("_info"), "What this is and what it runs on.", build)


def _families(scope: Scope, samples: Samples) -> Iterator[Metric]:
    """A metric for each value of a `scope` that has one, with the `samples` of it."""
    for value in scope.values:
        if value.metric:
            family = _family(value, scope.labels)
            for where, one in samples:
                _add(family, value, where, value.read(one))
            yield family


def _family(value: Value, labels: Iterable[str]) -> CounterMetricFamily | GaugeMetricFamily:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    made = CounterMetricFamily if value.kind is Kind.COUNTER else GaugeMetricFamily
    return made(PREFIX + value.metric, value.help, labels=[*labels, value.by] if value.by else list(labels))


def _add(family: CounterMetricFamily | GaugeMetricFamily, value: Value, where: tuple[str, ...], read: Any) -> None:
    if read is None:
        return
    if not value.by:
        family.add_metric(where, read)
        return
    # Those that have not occurred too: a rate needs a first value.
    for reason, number in (dict.fromkeys(value.known, 0) | read).items():
        family.add_metric((*where, reason), number)
