"""The last values of a device over HTTP, for those who know the token, and nobody waits for them."""

from __future__ import annotations

import contextlib
import json
import time
from urllib.parse import quote_from_bytes

import gevent
import pytest
import zmq
from support.http import TOKEN, Client, FakeServer
from support.switch import CORES

from geventrelay import Forwarder, Relay, StartError
from geventrelay.cli.http_stream import open_http
from geventrelay.recording import from_line
from geventrelay.settings import HttpAddress
from geventrelay.testing import LOCAL, Peers, eventually, within
from geventrelay.web import last
from geventrelay.web import tap as taps
from geventrelay.web.site import Site

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATH = "/api/devices/weather/last"
SIDES = {"frontend": LOCAL, "backend": LOCAL}


@pytest.fixture
def serve(token_file):
    """Serves devices over HTTP; gives the client."""
    with contextlib.ExitStack() as stack:

        def serve(*devices, token=True):
            site = Site(FakeServer.of(*devices), HttpAddress("127.0.0.1", 0), token_file if token else None)
            site.start()
            stack.callback(site.stop)
            return Client(site.url)

        yield serve


@pytest.fixture(params=sorted(CORES))
def kept(request, run, peers: Peers, monkeypatch):
    """``kept(message, ...)``: a device with either core that has published these messages."""
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)

    def kept(*messages, settings=Forwarder, key="frontend", **options):
        ends = SIDES if settings is Forwarder else {"sub": LOCAL, "pub": LOCAL}
        device = run(settings(name="weather", last_value=True, **ends, **options))
        publisher = peers.connect(zmq.XPUB, *device.endpoints[key], sndhwm=0)
        publisher.recv()
        for parts in messages:
            publisher.send(*parts)
        eventually(lambda: device.snapshot().pumps[0].received == len(messages), "all messages")
        return device

    return kept


def lines(client: Client, query: str = "") -> list:
    answer = client.ask("GET", PATH + query, BEARER)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.body.splitlines()]


def parts(found: list) -> list:
    return [one["parts"] for one in found]


def test_each_last_value_is_a_line_in_the_order_of_topics(kept, serve):
    device = kept([b"b 1"], [b"a", b"\xff\x00"], [b"c:1"], [b"b 2"], [b"\xfe", b"x"])
    found = lines(serve(device))
    assert parts(found) == [["a", {"hex": "ff00"}], ["b 2"], ["c:1"], [{"hex": "fe"}, "x"]]
    assert {one["source"] for one in found} == {"backend"}
    assert all(abs(one["time"] - time.time()) < 20 for one in found)
    # The topic is told where it is not the first part.
    assert [one.get("topic") for one in found] == [None, "b", None, None]
    assert from_line(json.dumps(found[1])).parts == (b"b 2",)
    counts = device.snapshot().pumps[0].outlets[0]
    assert (counts.last_values, counts.last_values_given) == (4, 0)


def test_a_prefix_and_a_limit_choose(kept, serve):
    client = serve(kept(*([b"\xff%d" % number, b"v"] for number in range(20)), [b"other", b"v"]))
    found = lines(client, f"?prefix={quote_from_bytes(bytes([255]))}1&limit=3")
    assert [bytes.fromhex(one["parts"][0]["hex"]) for one in found] == [b"\xff1", b"\xff10", b"\xff11"]
    assert lines(client, "?prefix=nothing") == []
    assert len(lines(client)) == 21


def test_very_many_are_read_some_at_a_time(kept, serve, monkeypatch):
    monkeypatch.setattr(last, "_AT_A_TIME", 7)
    client = serve(kept(*([b"t%03d" % number, b"v"] for number in range(100))))
    assert parts(lines(client)) == [[f"t{number:03}", "v"] for number in range(100)]
    assert len(lines(client, "?limit=15")) == 15


def test_large_ones_are_left_out_and_a_line_says_so(kept, serve, monkeypatch):
    monkeypatch.setattr(taps, "MAX_MESSAGE_BYTES", 20)
    found = lines(serve(kept([b"a", b"x" * 19], [b"b", b"x" * 20], [b"c", b"y"])))
    assert parts([found[2]]) == [["c", "y"]]
    assert [one.get("left_out_bytes") for one in found] == [21, 22, None]
    assert [one.get("topic") for one in found] == ["a", "b", None]


def test_a_relay_keeps_what_its_pub_port_publishes(kept, serve):
    device = kept([b"news 1"], settings=Relay, key="sub")
    assert [(one["source"], one["parts"]) for one in lines(serve(device))] == [("pub", ["news 1"])]


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        (PATH, {}, 401, "expected Bearer"),
        (PATH, {"Authorization": "Bearer wrong"}, 401, "expected Bearer"),
        ("/api/devices/other/last", BEARER, 404, "no device is called other"),
        ("/api/devices/none/last", BEARER, 404, "device none keeps no last values: last-value = true (--last-value)"),
        (PATH + "?limit=0", BEARER, 400, "limit: expected an integer from 1"),
        (PATH + "?topic=x", BEARER, 400, "query: expected one of prefix, limit, got 'topic'"),
    ],
)
def test_wrong_wishes_are_refused(kept, run, serve, path, headers, status, said):
    none = run(Forwarder(name="none", **SIDES))
    answer = serve(kept(), none).ask("GET", path, headers)
    assert answer.status == status
    assert said in answer.json["error"]
    assert answer.json["error"].count("\n") == 0


def test_without_a_token_they_are_not_shown(kept, serve):
    answer = serve(kept([b"a", b"secret"]), token=False).ask("GET", PATH, BEARER)
    assert (answer.status, "--http-token-file" in answer.json["error"]) == (403, True)
    assert b"secret" not in answer.body


def test_a_device_that_is_down_has_none_to_tell(kept, serve):
    device = kept([b"a", b"1"])
    client = serve(device)
    device.stop(0)
    answer = client.ask("GET", PATH, BEARER)
    assert (answer.status, answer.json["error"]) == (409, "device weather is stopped, so it has no last values")


def test_a_device_that_stops_meanwhile_is_told(kept, monkeypatch):
    monkeypatch.setattr(last, "_AT_A_TIME", 1)
    device = kept([b"a", b"1"], [b"b", b"1"])
    body = last._Lines(device, last._Chosen(b"", None), lambda: None)
    pieces = iter(body)
    assert json.loads(next(pieces))["parts"] == ["a", "1"]
    device.stop(0)
    assert json.loads(next(pieces)) == {"error": "the device has stopped meanwhile"}
    assert list(pieces) == []


def test_so_many_read_at_a_time_and_no_more(kept, serve, monkeypatch):
    monkeypatch.setattr(last, "MAX_READERS", 0)
    answer = serve(kept([b"a", b"1"])).ask("GET", PATH, BEARER)
    assert (answer.status, answer.json["error"]) == (503, "there are 0 readers of last values already")
    monkeypatch.setattr(last, "MAX_READERS", 1)
    client = serve(kept([b"a", b"1"]))
    # Each answer gives its place back.
    assert [len(lines(client)) for _ in range(3)] == [1, 1, 1]


def test_the_command_reads_them(kept, serve, token_file):
    client = serve(kept([b"b 1"], [b"a", b"\xff"], [b"c", b"1"]))
    where = f"http://{client.host}:{client.port}"

    def read(**more):
        options = {"device": "weather", "token_file": token_file, **more}
        stream = open_http("ENDPOINT", where, "last", {"prefix": "", "limit": 2}, **options)
        try:
            stream.begin()
            found = []
            while records := stream.receive():
                found += records
            return found
        finally:
            stream.close()

    with within("the answer"):
        found = gevent.spawn(read).get()
    assert [(one.source, one.parts) for one in found] == [("backend", (b"a", b"\xff")), ("backend", (b"b 1",))]
    with pytest.raises(StartError, match="no device is called other"):
        read(device="other")
    with pytest.raises(StartError, match="expected Bearer"):
        read(token_file=None)
