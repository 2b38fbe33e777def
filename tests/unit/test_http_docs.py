"""docs/http.rst has every route, every value and every metric, and no other; so has docs/page.rst for `top`."""

import json
import re
from pathlib import Path
from types import MappingProxyType

from geventrelay import Device, DeviceSnapshot, Drop, OutletSnapshot, PumpSnapshot, Queue
from geventrelay.backbone.trace.hops import Hop, Outcome, Place, Trace, TracedRelay
from geventrelay.backbone.values import BackboneDrop, BackboneSnapshot, LinkState, Neighbour, StoreState
from geventrelay.backbone.words.mesh import About
from geventrelay.cli.top.rates import rates
from geventrelay.engine.peeraccount import MOST_ACCOUNTS, MOST_TOPIC_BYTES, MOST_TOPICS, PeerAccount
from geventrelay.engine.peertable import PeerSnapshot, PeersSnapshot
from geventrelay.engine.useraccount import UserAccount
from geventrelay.settings import HttpOptions
from geventrelay.switch.contract import LOST_TOPICS, LostTopic, TopicCount, TopicCounts
from geventrelay.switch.subscribers import MOST_GONE, Subscriber, SubscribersSnapshot
from geventrelay.testing import LOCAL
from geventrelay.web import published, report
from geventrelay.web.api import Api
from geventrelay.web.catalogue import BUILD, SCOPES, metric_name
from geventrelay.web.http.listener import MAX_BODY_BYTES, MAX_HEADER_BYTES, REQUEST_S, SEND_S
from geventrelay.web.hub_delay import HubDelay
from geventrelay.web.last import LastValues
from geventrelay.web.metrics import MOST_TOPICS as MOST_TOPICS_OF_METRICS
from geventrelay.web.metrics import Metrics
from geventrelay.web.published import DEFAULT_TOPICS, Chosen, Published
from geventrelay.web.recent import CHEAP_S, SHARE
from geventrelay.web.tap import Taps
from geventrelay.web.trace import DEFAULT_S, MOST_S, Traces
from geventrelay.web.trace import as_json as trace_as_json

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "http.rst").read_text(encoding="utf-8")


class Nothing:
    devices = MappingProxyType({})
    ready = True
    log_dropped = 0


class Supervised:
    """A device that has never been started, as a server has it."""

    restarts, last_failure, started_at, next_start_s = 0, None, None, None

    def __init__(self, device: Device) -> None:
        self.device, self.name, self.settings, self.state = device, device.name, device.settings, device.state

    def snapshot(self) -> DeviceSnapshot:
        outlets = (OutletSnapshot("backend", held=0),)
        return DeviceSnapshot(self.name, self.state, (PumpSnapshot("frontend", outlets),))

    def peers(self) -> dict[str, PeersSnapshot]:
        return dict.fromkeys(self.device.sockets, PeersSnapshot())


class Server:
    started_at, ready, log_dropped = 0.0, True, 0

    def __init__(self) -> None:
        self.devices = {"queue": Supervised(Device(Queue(frontend=LOCAL, backend=LOCAL)))}


ACCOUNT = PeerAccount(
    1, "SUB", b"", "3.1", (b"a",), None, None, None, subscriptions=1, waiting=0, waiting_bytes=0
)  # fmt: skip
# A peer of engine zmtp, as it is told.
CONNECTIONS = report.connections(
    {"pub": PeersSnapshot((PeerSnapshot("", 0.0, "NULL", account=ACCOUNT),), users={"alice": UserAccount()})}
)
BACKBONE = BackboneSnapshot(
    relay="0", state=LinkState.CONNECTED, server="", reason="", waiting=0, waiting_bytes=0, incoming=0,
    incoming_bytes=0, wanted=0, credit=0, promised=0, others=1, store=StoreState.STORING,
    neighbours=(Neighbour("1", "", 0.0, 0, True, True, 0, 0, about=About(version="1", server="")),),
)  # fmt: skip
(PEER,), USER = CONNECTIONS["sockets"]["pub"], CONNECTIONS["users"]["pub"]["alice"]
COUNTS = TopicCounts(1, 0, (TopicCount(b"a", 1, 0, 1, 0.0, 0.0, 1.0, 0, 0, 1),))
TOPICS = json.loads(published.topics("prices", {"pub": COUNTS}, Chosen()))
SUBSCRIBER = Subscriber(PeerSnapshot("", 1.0, "NULL", account=ACCOUNT), lost_topics=(LostTopic(b"a", 1, 0),))
GONE = Subscriber(SUBSCRIBER.peer, False, SUBSCRIBER.lost_topics, left_at=1.0)
SUBSCRIBERS = json.loads(
    published.subscribers(
        "prices", {"pub": SubscribersSnapshot(subscribers=(SUBSCRIBER,), gone=(GONE,))}, 1, by_topic=True
    )
)


def table(heading: str) -> list[list[str]]:
    """The rows of the list-table whose first heading this is, each cell on one line."""
    text = TEXT.partition(f"\n   * - {heading}\n")[2]
    body = re.match(r"(?:   .*\n)*", text)
    rows = re.split(r"^   \* - ", body[0], flags=re.MULTILINE)[1:]
    return [[" ".join(cell.split()) for cell in re.split(r"^     - ?", row, flags=re.MULTILINE)] for row in rows]


def examples(text: str) -> list[str]:
    return re.findall(r"code-block:: json\n\n((?:    .*\n|\n)+)", text)


def keys(value: object) -> object:
    """The keys of JSON and of what is in it, without the values. Of a list, its first element stands for all."""
    if isinstance(value, dict):
        # What is by reason has other keys each time.
        return {
            key: keys(one)
            if key not in ("cut_off", "denied", "dropped", "handshake_failures", "lost", "peers")
            else None
            for key, one in value.items()
        }
    return [keys(one) for one in value[:1] if isinstance(one, dict)] if isinstance(value, list) else None


def test_every_metric_is_in_the_table_and_no_other():
    scraped, _ = Metrics(Nothing(), HubDelay(), {}).scrape("")
    names = set(re.findall(r"^# TYPE (geventrelay_\w+)", scraped.decode(), re.MULTILINE))
    assert names == {row[0].strip("`") for row in table("metric")}


def test_every_metric_has_its_labels_and_its_description_in_the_table():
    described = {
        metric_name(value): [", ".join([*scope.labels, value.by] if value.by else scope.labels) or "none", value.help]
        for scope in SCOPES
        for value in scope.values
        if value.metric
    }
    written = {row[0].strip("`"): row[1:] for row in table("metric")}
    del written[BUILD]
    assert written == described


def test_every_reason_to_drop_is_in_the_table_with_its_meaning():
    assert table("reason") == [[f"``{reason.value}``", reason.help] for reason in Drop]


def test_the_example_of_devices_has_every_key_and_no_other():
    answer = json.loads(
        json.dumps(report.devices(Server(), hub_delay_s=0.0, can_change=True, http_refused={"bad_request": 1}))
    )
    (example,) = (json.loads(one) for one in examples(TEXT) if '"devices": [\n' in one)
    assert keys(answer) == keys(example)


def test_the_example_of_peers_has_every_key_and_no_other():
    (example,) = (json.loads(one) for one in examples(TEXT) if '"sockets": {"pub": [' in one)
    (peer,) = example["sockets"]["pub"]
    assert keys(json.loads(json.dumps(PEER))) == keys(peer)
    assert CONNECTIONS.keys() == example.keys() and keys(USER) == keys(example["users"]["pub"]["alice"])


def test_the_example_of_a_backbone_has_every_key_and_no_other():
    (example,) = (json.loads(one) for one in examples(TEXT) if '"neighbours"' in one)
    (written,) = example["devices"].values()
    assert keys(json.loads(json.dumps(report.backbone(BACKBONE)))) == keys(written)
    assert {f"``{one.value}``" for one in BackboneDrop} <= set(re.findall(r"    - (``\w+``): it", TEXT))


def test_the_example_of_a_trace_has_every_key_and_every_place_and_outcome():
    way = TracedRelay(relay="1", host="", outcome=Outcome.ANSWERED, hops=tuple(Hop(place, 0.0) for place in Place))
    found = Trace(
        relay="0", host="", server="", reason="", away_s=None, waiting=0, incoming=0, dropped=0, limit_s=1.0,
        took_s=0.0, topic=b"", wanted=True, subscriptions=0, room=None, workers=None, relays=(way,),
    )  # fmt: skip
    (example,) = (json.loads(one) for one in examples(TEXT) if '"hops"' in one)
    answer = {"version": report.VERSION, "device": "prices", **trace_as_json(found, None)}
    assert keys(answer) == keys(example)
    assert [hop["place"] for hop in answer["relays"][0]["hops"]] == [
        hop["place"] for hop in example["relays"][0]["hops"]
    ]
    text = TEXT.partition("/api/devices/NAME/trace\n~~~")[2]
    told = re.findall(r"^    - ``([a-z]+)``: ", text.partition("\n``reason``")[0], re.MULTILINE)
    assert told == [outcome.value for outcome in Outcome]
    assert f"({DEFAULT_S:g} if it is not given, {MOST_S:g} at most)" in text


def test_the_example_of_topics_has_every_key_and_no_other():
    (example,) = (json.loads(one) for one in examples(TEXT) if '"topics": [\n' in one)
    assert keys(TOPICS) == keys(example)


def test_the_example_of_subscribers_has_every_key_but_those_of_every_peer():
    (example,) = (json.loads(one) for one in examples(TEXT) if '"gone": [\n' in one)
    (made,), (written,) = SUBSCRIBERS["sockets"].values(), example["sockets"].values()
    assert made.keys() == written.keys()
    for place in ("peers", "gone"):
        (one,), (other,) = made[place], written[place]
        assert other.keys() <= one.keys()
        assert one.keys() - other.keys() <= PEER.keys()
        assert one["lost_topics"][0].keys() == other["lost_topics"][0].keys()


def test_the_example_of_top_has_every_key_and_no_other():
    answer = json.loads(
        json.dumps(report.devices(Server(), hub_delay_s=0.0, can_change=True, http_refused={"bad_request": 1}))
    )
    (made,) = rates(answer, {}, 0).values()
    page = (DOCS / "page.rst").read_text(encoding="utf-8")
    written = re.search(r'\{"version": 1, "server": \{\.\.\.\}, (?:.+\n)+', page)
    (example,) = json.loads(written[0].replace("{...}", "{}"))["devices"]
    assert keys(json.loads(json.dumps(made.as_json()))) == keys(example)


def test_the_example_of_values_is_as_it_is_answered():
    (example,) = (json.loads(one) for one in examples(TEXT) if '"values"' in one)
    answer = report.values()
    assert all(one in answer["values"] for one in example["values"])
    assert example["drops"].items() <= answer["drops"].items()


def test_every_path_of_a_value_leads_to_it_in_the_json():
    answer = report.devices(Server(), hub_delay_s=0.0, can_change=True, http_refused={"bad_request": 1})
    (device,) = answer["devices"]
    pump = device["pumps"][0]
    found = {"server": answer["server"], "device": device, "socket": device["sockets"][0], "pump": pump}
    found["outlet"] = pump["outlets"][0]
    found["peer"], found["user"], found["backbone"] = PEER, USER, report.backbone(BACKBONE)
    found["topics"] = TOPICS["sockets"]["pub"]
    (found["topic"],) = found["topics"]["topics"]
    for value in report.values()["values"]:
        one = found[value["of"]]
        for key in value["path"]:
            one = one[key]
        # What engine libzmq does not tell is None.
        assert not value["path"] or one is None or isinstance(one, dict) == (value["by"] is not None), value


def test_every_route_is_in_the_table():
    api = Api(Nothing(), can_change=False, history=None, hub_delay=None, refused={})
    made = {
        **api.routes, **Taps(Nothing(), None).routes, **LastValues(Nothing(), None).routes,
        **Traces(Nothing()).routes,
        **Published(Nothing(), api.recent).routes,
    }  # fmt: skip
    routes = {f"{method} {pattern.replace('{}', 'NAME', 1).replace('{}', 'ID')}" for method, pattern in made}
    assert routes | {"GET /", "GET /metrics"} == {row[0].strip("`") for row in table("route")}


def test_the_examples_are_json():
    assert len(examples(TEXT)) == 10
    for example in examples(TEXT):
        assert json.loads(example)["version"] == 1


def test_the_limits_are_those_of_the_code():
    text = " ".join(TEXT.split())
    options = HttpOptions()
    assert f"{options.http_connections} connections (``--http-connections``)" in text
    assert f"{options.http_connections_per_client} connections of one address" in text
    assert f"{options.http_streams_per_client} answers without an end" in text
    assert f"the first {report.MAX_TOPICS:,} are here" in text
    assert f"the last {MOST_TOPICS} that it has asked for, sorted, with the first {MOST_TOPIC_BYTES} bytes" in text
    assert f"The first {MOST_ACCOUNTS:,} peers of a socket" in text
    assert f"``?limit=`` is how many topics, from 1 to {report.MAX_TOPICS}: {DEFAULT_TOPICS} if it is not given" in text
    assert f"at most {MOST_ACCOUNTS:,}. ``?limit=`` asks for fewer" in text
    assert f"At most {LOST_TOPICS} topics are counted" in text
    assert f"the last {MOST_GONE} subscribers that have left" in text
    assert f"the {MOST_TOPICS_OF_METRICS} busiest topics" in text
    assert f"more than {CHEAP_S * 1000:g} ms to make serves for {SHARE} times" in text
    assert f"{MAX_HEADER_BYTES // 1024} KiB for its headers" in text
    assert f"{MAX_BODY_BYTES // 1024} KiB for its body" in text
    assert f"{REQUEST_S:g} s from one answer" in text
    assert f"{SEND_S:g} s for a client" in text
