"""What Prometheus gets to see: the numbers that went through, under names that keep to its conventions."""

import re
import sys

import pytest
import zmq
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from support.http import Client, FakeServer

from geventrelay import Device, Forwarder, Queue, Relay, Streamer
from geventrelay.access.passwords import set_password
from geventrelay.settings import HttpAddress
from geventrelay.testing import LOCAL, Peers, eventually
from geventrelay.web.site import Site


@pytest.fixture
def serve():
    sites = []

    def serve(served):
        site = Site(served, HttpAddress("127.0.0.1", 0))
        sites.append(site)
        site.start()
        return Client(site.url)

    yield serve
    for site in sites:
        site.stop()


def scrape(client: Client) -> dict[tuple, float]:
    """Every sample, by its name and its labels' values in the alphabetical order of the labels."""
    answer = client.get("/metrics")
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    families = list(parser.text_string_to_metric_families(answer.body.decode()))
    return {
        (one.name.removeprefix("geventrelay_"), *one.labels.values()): one.value
        for family in families
        for one in family.samples
    }


def test_the_numbers_are_those_that_went_through(serve, run, peers: Peers):
    device = run(Queue(name="jobs", frontend=LOCAL, backend=LOCAL))
    client = peers.connect(zmq.DEALER, *device.endpoints["frontend"], routing_id=b"client")
    worker = peers.connect(zmq.DEALER, *device.endpoints["backend"])
    for number in range(9):
        client.send(b"", b"x" * number)
    for _ in range(9):
        request = worker.recv()
    for _ in range(4):
        worker.send(*request)
    client.recv_all(4)
    worker.send(b"nobody", b"", b"?")
    eventually(lambda: device.snapshot().pumps[1].received == 5, "the stray reply")
    told = scrape(serve(FakeServer.of(device)))
    # Nine requests of an id of six bytes, an empty part and up to eight bytes; four replies, and one to nobody.
    assert told["received_messages_total", "jobs", "frontend"] == 9
    assert told["received_parts_total", "jobs", "frontend"] == 27
    assert told["received_bytes_total", "jobs", "frontend"] == 9 * 6 + 36
    assert told["sent_messages_total", "jobs", "backend"] == 9
    assert told["sent_parts_total", "jobs", "backend"] == 27
    assert told["sent_bytes_total", "jobs", "backend"] == 9 * 6 + 36
    assert told["received_messages_total", "jobs", "backend"] == 5
    assert told["received_bytes_total", "jobs", "backend"] == 4 * 14 + 7
    assert told["sent_messages_total", "jobs", "frontend"] == 4
    assert told["dropped_messages_total", "jobs", "unroutable", "frontend"] == 1
    assert told["dropped_messages_total", "jobs", "full", "frontend"] == 0
    assert told["held_messages", "jobs", "frontend"] == 0
    assert told["bursts_total", "jobs", "frontend"] == device.snapshot().pumps[0].bursts


def test_state_readiness_and_restarts(serve, run):
    device = run(Streamer(name="tasks", frontend=LOCAL, backend=LOCAL))
    served = FakeServer.of(device)
    served.devices["tasks"].restarts = 3
    client = serve(served)
    device.pause()
    told = scrape(client)
    states = {key[2]: value for key, value in told.items() if key[0] == "device_state"}
    assert states == {"running": 0, "paused": 1, "stopping": 0, "stopped": 0, "failed": 0}
    assert told["device_restarts_total", "tasks"] == 3
    assert told["ready",] == 1
    device.stop(0)
    assert scrape(client)["ready",] == 0


def test_peers_and_what_became_of_others(serve, peers: Peers):
    with Device(Relay(sub=LOCAL, pub=LOCAL), watch_peers=True) as device:
        one, _ = (peers.connect(zmq.PUB, *device.endpoints["sub"]) for _ in range(2))
        eventually(lambda: device.peers()["sub"].connected_total == 2, "both peers")
        one.close()
        eventually(lambda: device.peers()["sub"].disconnected_total == 1, "one to leave")
        client = serve(FakeServer.of(device))
        host, _, port = device.endpoints["pub"][0].removeprefix("tcp://").rpartition(":")
        stranger = Client(f"http://{host}:{port}")
        stranger.raw(b"GET / HTTP/1.0\r\n\r\n")
        eventually(lambda: device.peers()["pub"].handshake_failures, "the stranger's end")
        told = scrape(client)
    assert [told[name, "relay", "sub"] for name in ("peers", "connects_total", "disconnects_total")] == [1, 2, 1]
    assert told["handshake_failures_total", "relay", "not_zmtp3", "pub"] == 1
    assert told["connect_retries_total", "relay", "sub"] == 0


def test_messages_and_bytes_of_each_user_are_told(serve, peers: Peers, tmp_path):
    set_password("x", tmp_path / "passwords", "alice", "secret")
    settings = Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp", plain_passwords=tmp_path / "passwords")
    shown = {"plain_username": "alice", "plain_password": "secret"}
    with Device(settings) as device:
        sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **shown)
        worker = peers.connect(zmq.PULL, *device.endpoints["backend"], **shown)
        sender.send(b"12345")
        assert worker.recv() == [b"12345"]
        client = serve(FakeServer.of(device))
        eventually(lambda: device.peers(accounts=True)["backend"].users["alice"].delivered == 1, "the count")
        told = scrape(client)
    names = ("received_messages", "received_bytes", "delivered_messages")
    for key, expected in (("frontend", [1, 5, 0]), ("backend", [0, 0, 1])):
        assert [told[f"user_{name}_total", "streamer", key, "alice"] for name in names] == expected


def test_build_and_process_are_told(serve):
    told = scrape(serve(FakeServer({})))
    (build,) = [key for key in told if key[0] == "build_info"]
    assert zmq.zmq_version() in build
    assert "hub_delay_seconds" in {key[0] for key in told}
    if sys.platform == "linux":
        assert told["process_open_fds",] > 0


def test_names_keep_to_the_conventions(serve, run):
    client = serve(FakeServer.of(run(Forwarder(frontend=LOCAL, backend=LOCAL))))
    text = client.get("/metrics").body.decode()
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            assert re.fullmatch(r"[a-z_]+", sample.name)
            if sample.name.startswith("geventrelay_"):
                assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
    answer = client.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {one.name for one in openmetrics.text_string_to_metric_families(answer.body.decode())} >= {
        "geventrelay_peers"
    }


def test_without_prometheus_client_metrics_are_501_and_the_rest_works(serve, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    client = serve(FakeServer({}))
    answer = client.get("/metrics")
    assert (answer.status, set(answer.json)) == (501, {"error"})
    assert "pip install prometheus_client" in answer.json["error"]
    assert "pip install prometheus_client" in caplog.text
    assert client.get("/healthz").status == 200
