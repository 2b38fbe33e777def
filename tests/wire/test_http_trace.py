"""Traces over HTTP, of devices as they run."""

from __future__ import annotations

import gevent
import pytest
import zmq
from support.http import Client, FakeServer
from support.nats import nats_server

from geventrelay import Forwarder, Queue, Relay, Streamer
from geventrelay.backbone.trace.hops import Place
from geventrelay.backbone.values import LinkState
from geventrelay.settings import HttpAddress
from geventrelay.testing import LOCAL, connected, eventually
from geventrelay.web.site import Site

pytestmark = pytest.mark.usefixtures("no_device_expires")

PATH = "/api/devices/shop/trace"
# An upper bound: an answer takes as long as the machine is busy.
PATIENT = f"{PATH}?seconds=20"
ENGINES = ("libzmq", "zmtp")


@pytest.fixture
def nats(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
def serve(token_file):
    sites = []

    def serve(device, *, token: bool = True) -> Client:
        site = Site(FakeServer.of(device), HttpAddress("127.0.0.1", 0), token_file if token else None)
        sites.append(site)
        site.start()
        return Client(site.url)

    yield serve
    for site in sites:
        site.stop()


@pytest.fixture
def pair(run, nats):
    """Two relays that know each other, one of each engine."""
    made = [run(Relay(sub=LOCAL, pub=LOCAL, name="shop", backbone=nats.url, engine=engine)) for engine in ENGINES]
    know_each_other(*made)
    return made


def know_each_other(*devices) -> None:
    def known() -> bool:
        neighbours = [one.snapshot().backbone.neighbours for one in devices]
        return all(len(some) == len(devices) - 1 and all(one.about for one in some) for some in neighbours)

    eventually(known, "all to know each other", within_s=20)


@pytest.mark.parametrize("way", [0, 1])
def test_a_trace_tells_the_way_to_each_other_device(pair, serve, peers, way):
    one, two = pair[way], pair[1 - way]
    subscriber = peers.subscriber(*two.endpoints["pub"], prefix=b"a")
    publisher = peers.publisher(*one.endpoints["sub"])
    connected(publisher, subscriber, within_s=20)
    for _ in range(100):
        publisher.send(b"a")
    assert subscriber.recv_all(100) == [[b"a"]] * 100
    told = serve(one).post(f"{PATH}?topic=ab&seconds=20").json
    assert (told["version"], told["device"], told["answered"], told["topic"]) == (1, "shop", True, "ab")
    assert (told["relay"], told["away_s"], told["limit_s"]) == (one.snapshot().backbone.relay, None, 20)
    (other,) = told["relays"]
    assert (other["relay"], other["outcome"], other["reason"]) == (two.snapshot().backbone.relay, "answered", "")
    assert (other["sent"], other["wanted"], other["subscriptions"]) == (True, True, 1)
    assert [hop["place"] for hop in other["hops"]] == [place.value for place in Place]
    assert all(hop["over"] and hop["seconds"] >= 0 for hop in other["hops"])
    assert other["look_at"] is None
    assert one.trace(limit_s=20).is_answered


def test_bytes_that_are_no_text_can_be_asked_about(pair, serve):
    told = serve(pair[0]).post(f"{PATIENT}&topic=%ffa").json
    assert (told["answered"], told["topic"], told["relays"][0]["sent"]) == (True, "\\xffa", False)


def test_the_empty_topic_is_wanted_only_where_everything_is(pair, serve, peers):
    one, two = pair
    peers.subscriber(*two.endpoints["pub"], prefix=b"a")
    client, path = serve(one), f"{PATH}?topic=&seconds=20"
    eventually(lambda: one.snapshot().backbone.neighbours[0].wants == 1, "the interest in a topic")
    told = client.post(path).json
    assert (told["topic"], told["wanted"], told["subscriptions"]) == ("", False, 0)
    assert [(other["sent"], other["wanted"]) for other in told["relays"]] == [(False, False)]
    peers.subscriber(*two.endpoints["pub"], prefix=b"")
    eventually(lambda: client.post(path).json["relays"][0]["sent"], "the interest in everything")
    (other,) = client.post(path).json["relays"]
    assert (other["sent"], other["wanted"], other["subscriptions"]) == (True, True, 1)
    without = client.post(f"{PATH}?seconds=20").json
    assert (without["topic"], without["relays"][0]["sent"]) == (None, None)


@pytest.mark.parametrize("query", ["seconds=0", "seconds=-1", "seconds=61", "seconds=x", "seconds=nan", "other=1"])
def test_what_cannot_be_asked_is_told(pair, serve, query):
    answer = serve(pair[0]).post(f"{PATH}?{query}")
    assert answer.status == 400 and answer.json["error"]


def test_a_topic_that_no_message_can_have_is_too_long_for_a_request(pair, serve):
    client = serve(pair[0])
    assert client.post(f"{PATIENT}&topic={'a' * 8000}").json["answered"]
    assert client.post(f"{PATH}?topic={'a' * 8193}").status == 414


def test_only_a_device_with_a_backbone_that_is_up_can_be_traced(run, serve, pair):
    lone = run(Forwarder(frontend=LOCAL, backend=LOCAL, name="shop"))
    assert lone.trace() is None
    answer = serve(lone).post(PATH)
    assert answer.status == 404 and "--backbone" in answer.json["error"]
    assert serve(lone).post("/api/devices/none/trace").status == 404
    assert serve(lone).get(PATH).status == 405
    client = serve(pair[0])
    pair[0].stop()
    answer = client.post(PATH)
    assert (answer.status, answer.json["error"]) == (409, "device shop is stopped")


def test_it_needs_the_token(pair, serve):
    assert serve(pair[0]).post(PATH, token=None).status == 401
    assert serve(pair[0]).post(PATH, token="wrong").status == 401
    assert serve(pair[0], token=False).post(PATH).status == 403


def begun(client: Client, caplog, seconds: int) -> gevent.Greenlet:
    """A trace that goes on: the answer to come."""
    caplog.set_level("INFO", "geventrelay")
    answer = gevent.spawn(client.post, f"{PATH}?seconds={seconds}")
    eventually(lambda: "command=trace" in caplog.text, "the trace to begin")
    return answer


@pytest.mark.slow
def test_one_trace_of_a_device_goes_on_at_a_time_and_keeps_no_other_answer_waiting(pair, serve, nats, caplog):
    client = serve(pair[0])
    nats.kill()
    eventually(lambda: pair[0].snapshot().backbone.state is LinkState.CONNECTING, "no connection")
    first = begun(client, caplog, 30)
    answer = client.post(PATH)
    assert (answer.status, answer.json["error"]) == (409, "device shop is traced already: one trace at a time")
    assert client.get("/api/devices").status == 200
    nats.start()
    told = first.get(timeout=30).json
    assert told["answered"]
    assert told["relays"][0]["hops"][0]["place"] == "outbox"
    assert client.post(PATH).status == 200


@pytest.mark.slow
def test_a_trace_of_a_device_that_stops_ends_with_it(pair, serve, nats, caplog):
    nats.kill()
    eventually(lambda: pair[0].snapshot().backbone.state is LinkState.CONNECTING, "no connection")
    first = begun(serve(pair[0]), caplog, 60)
    pair[0].stop()
    assert not first.get(timeout=20).json["answered"]


@pytest.mark.parametrize("engine", ENGINES)
def test_of_work_it_tells_how_much_room_there_is(run, peers, nats, serve, engine):
    settings = {"frontend": LOCAL, "backend": LOCAL, "name": "shop", "backbone": nats.url, "engine": engine}
    one, two = devices = [run(Streamer(**settings)), run(Streamer(**settings))]
    know_each_other(*devices)
    told = serve(one).post(f"{PATIENT}&topic=a").json
    (other,) = told["relays"]
    assert (told["answered"], told["room"], other["room"], other["credit"]) == (True, 0, 0, 0)
    # With libzmq, the programs at a device are seen where a server runs it.
    none, some = (0, 1) if engine == "zmtp" else (None, None)
    assert (told["workers"], other["workers"]) == (none, none)
    # There are no topics in work.
    assert (told["wanted"], other["sent"], other["wanted"]) == (None, None, None)
    worker = peers.connect(zmq.PULL, *two.endpoints["backend"])
    pusher = peers.connect(zmq.PUSH, *one.endpoints["frontend"])
    for number in range(100):
        pusher.send(b"%d" % number)
    assert sorted(int(parts[0]) for parts in worker.recv_all(100)) == list(range(100))
    told = serve(one).post(PATIENT).json
    assert told["answered"] and told["room"] == 0
    assert told["relays"][0]["room"] > 0
    # The other one says once a second how many there are.
    eventually(lambda: one.trace().relays[0].workers == some, "the worker to be known", within_s=20)
    assert (one.trace().workers, two.trace().workers) == (none, some)
    assert serve(two).post(PATIENT).json["room"] > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_queue_has_room_for_requests_where_a_worker_is_free(run, peers, nats, serve, engine):
    settings = {"frontend": LOCAL, "backend": LOCAL, "name": "shop", "backbone": nats.url, "engine": engine}
    one, two = devices = [run(Queue(**settings)), run(Queue(**settings))]
    know_each_other(*devices)
    worker = peers.connect(zmq.REP, *two.endpoints["backend"])
    client = peers.connect(zmq.REQ, *one.endpoints["frontend"])
    for _ in range(2):
        client.send(b"question")
        assert worker.recv() == [b"question"]
        busy = serve(one).post(PATIENT).json
        worker.send(b"answer")
        assert client.recv() == [b"answer"]
        free = serve(one).post(PATIENT).json
        assert [found["answered"] for found in (busy, free)] == [True, True]
        assert [found["relays"][0]["room"] for found in (busy, free)] == [0, 1]
