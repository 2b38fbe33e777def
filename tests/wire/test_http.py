"""The API over a real connection: what each route says, and whom it refuses."""

import functools
import json

import hypothesis
import pytest
import zmq
from gevent import socket
from hypothesis import strategies as st
from support.engines import libzmq_only
from support.http import TOKEN, Client, FakeServer, Reloaded

from geventrelay import Forwarder, Relay, SettingsError, StartError, Streamer
from geventrelay.settings import HttpAddress
from geventrelay.testing import LOCAL, Peers, eventually, within
from geventrelay.web.http.under_way import UnderWay
from geventrelay.web.site import Site


@pytest.fixture
def serve(token_file):
    sites = []

    def serve(served, token=True, host="127.0.0.1"):
        site = Site(served, HttpAddress(host, 0), token_file if token else None)
        sites.append(site)
        site.start()
        client = Client(site.url)
        client.site = site
        return client

    yield serve
    for site in sites:
        site.stop()


@pytest.fixture
def streamer(run):
    return run(Streamer(name="tasks", frontend=LOCAL, backend=LOCAL))


@pytest.fixture
def client(serve, streamer):
    return serve(FakeServer.of(streamer))


def test_devices_are_told_with_the_very_numbers_that_went_through(client, streamer, peers: Peers):
    pusher = peers.connect(zmq.PUSH, *streamer.endpoints["frontend"])
    puller = peers.connect(zmq.PULL, *streamer.endpoints["backend"])
    for _ in range(7):
        pusher.send(b"ab", b"cde")
    puller.recv_all(7)
    answer = client.get("/api/devices")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json
    assert told["version"] == 1
    assert told["server"]["ready"] is True
    assert told["server"]["can_change"] is True
    (device,) = told["devices"]
    count = {"messages": 7, "parts": 14, "bytes": 35}
    assert device["name"] == "tasks"
    assert (device["pattern"], device["state"], device["failure"]) == ("streamer", "running", None)
    (pump,) = device["pumps"]
    assert (pump["source"], pump["received"], pump["held"]) == ("frontend", count, 0)
    assert pump["bursts"] > 0
    (outlet,) = pump["outlets"]
    assert (outlet["socket"], outlet["sent"] | count, outlet["dropped"]) == ("backend", outlet["sent"], {})
    assert outlet["held"] == 0
    front, back = device["sockets"]
    assert (front["key"], front["type"], front["bound"]) == ("frontend", "PULL", streamer.endpoints["frontend"])
    assert (back["key"], back["type"], back["connects"]) == ("backend", "PUSH", [])


def test_one_device_is_told_as_among_all(client):
    (one,) = client.get("/api/devices").json["devices"]
    assert client.get("/api/devices/tasks").json == {"version": 1, "device": one}


@pytest.mark.parametrize("path", ["/api/devices/none", "/api/devices/none/peers", "/nothing", "/api", "/api/devices/"])
def test_what_is_not_there_is_404_in_json(client, path):
    answer = client.get(path)
    assert answer.status == 404
    assert set(answer.json) == {"error"}


def test_pause_and_resume_by_who_knows_the_token(client, streamer):
    assert client.post("/api/devices/tasks/pause").json["device"]["state"] == "paused"
    assert client.post("/api/devices/tasks/pause").status == 200
    assert client.post("/api/devices/tasks/resume").json["device"]["state"] == "running"
    assert streamer.state.value == "running"


def test_one_peer_is_disconnected_by_who_knows_the_token(serve, run, peers: Peers):
    device = run(Streamer(name="tasks", frontend=LOCAL, backend=LOCAL, engine="zmtp"))
    client = serve(FakeServer.of(device))
    peers.connect(zmq.PULL, *device.endpoints["backend"])
    (peer,) = eventually(lambda: client.get("/api/devices/tasks/peers").json["sockets"]["backend"], "the peer")
    path = f"/api/devices/tasks/peers/{peer['id']}/disconnect"
    assert client.post(path, token=None).status == 401
    assert len(device.peers()["backend"].peers) == 1
    assert client.post(path).json["device"]["sockets"][1]["peers"] == 0
    for number in (peer["id"], "x", "9" * 5000):
        assert client.post(f"/api/devices/tasks/peers/{number}/disconnect").status == 404


@libzmq_only("engine zmtp disconnects one")
def test_a_peer_of_libzmq_is_not_disconnected(client):
    answer = client.post("/api/devices/tasks/peers/1/disconnect")
    assert answer.status == 409
    assert answer.json["error"].startswith("device tasks: engine: expected zmtp")


def test_drain_stops_the_device_and_says_so(client, streamer):
    answer = client.post("/api/devices/tasks/drain")
    assert (answer.status, answer.json["device"]["state"]) == (200, "stopping")
    eventually(lambda: streamer.state.value == "stopped", "the drained device to stop")
    assert client.post("/api/devices/tasks/resume").status == 409
    assert client.post("/api/devices/tasks/drain").status == 200
    assert client.get("/readyz").json["problems"] == ["tasks is stopped"]


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "t\xf6k"])
def test_who_does_not_know_the_token_changes_nothing(client, streamer, token, caplog):
    header = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
    answer = client.ask("POST", "/api/devices/tasks/pause", header)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in answer.body.decode()
    assert 'http-not-allowed peer=127.0.0.1 request="POST /api/devices/tasks/pause"' in caplog.text
    assert streamer.state.value == "running"


def test_without_a_token_nobody_changes_anything(serve, streamer):
    client = serve(FakeServer.of(streamer), token=False)
    answer = client.post("/api/devices/tasks/pause")
    assert answer.status == 403
    assert "--http-token-file" in answer.json["error"]
    assert client.get("/api/devices").json["server"]["can_change"] is False
    assert streamer.state.value == "running"


def test_reload_tells_what_became_of_each_device(serve, streamer):
    served = FakeServer.of(streamer)
    served.result = Reloaded(unchanged=("tasks",), added=("new",))
    client = serve(served)
    assert client.post("/api/reload").json == {
        "version": 1, "unchanged": ["tasks"], "added": ["new"], "removed": [], "changed": [], "adjusted": []
    }  # fmt: skip


def test_reload_with_an_error_is_422_with_every_problem(serve, streamer):
    served = FakeServer.of(streamer)
    served.error = SettingsError("sndhwm", "an integer", "x")
    answer = serve(served).post("/api/reload")
    assert answer.status == 422
    assert answer.json["problems"] == ["sndhwm: expected an integer, got 'x'"]


def test_health_and_readiness(serve, run):
    served = FakeServer.of(run(Streamer(name="one", frontend=LOCAL, backend=LOCAL)))
    client = serve(served)
    assert client.get("/healthz").status == client.get("/readyz").status == 200
    supervised = served.devices["one"]
    supervised.device._life.fail("frontend", RuntimeError("no more"))
    eventually(lambda: supervised.state.value == "failed", "the device to fail")
    supervised.last_failure, supervised.next_start_s = "no more", 3.0
    assert client.get("/healthz").status == 200
    supervised.next_start_s = None
    assert client.get("/healthz").status == client.get("/readyz").status == 503
    assert client.get("/readyz").json == {"error": "not ready", "problems": ["one is failed (no more)"]}


def test_history_has_the_steps_of_every_device(client):
    told = client.get("/api/history").json
    assert (told["version"], told["interval_s"]) == (1, 5)
    assert told["devices"]["tasks"] == {"received": [], "dropped": [], "lost": [], "held": []}


def test_events_come_to_everybody_who_listens(client, streamer):
    listeners = [client.events() for _ in range(3)]
    first = [next(one) for one in listeners]
    streamer.pause()
    assert [one["devices"][0]["state"] for one in first] == ["running"] * 3
    with within("the pause at every listener"):
        # They come every second anyway.
        assert all(any(event["devices"][0]["state"] == "paused" for event in one) for one in listeners)
    for one in listeners:
        one.close()


def test_too_many_listeners_are_refused(client, monkeypatch):
    monkeypatch.setattr("geventrelay.web.events.MAX_LISTENERS", 1)
    listener = client.events()
    next(listener)
    assert client.get("/api/events").status == 503
    listener.close()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", "a@b", ""]
)
def test_a_name_that_is_not_ours_is_misdirected(client, host):
    answer = client.get("/api/devices", Host=host)
    assert answer.status == 421
    assert set(answer.json) == {"error"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:80", "[::1]", "10.0.0.1"])
def test_an_address_or_our_own_name_is_taken(client, host):
    assert client.get("/api/devices", Host=host).status == 200


def test_http_1_1_without_host_is_400(client):
    assert client.raw(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert client.raw(b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing_even_with_the_token(client, streamer, headers):
    assert client.post("/api/devices/tasks/pause", **headers).status == 403
    assert streamer.state.value == "running"


def test_our_own_page_may(client):
    ours = {"Origin": f"http://127.0.0.1:{client.port}", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/devices/tasks/pause", **ours).status == 200
    del ours["Sec-Fetch-Site"]
    assert client.post("/api/devices/tasks/resume", **ours).status == 200


def test_head_is_get_without_a_body(client):
    got, headed = client.get("/api/devices/none"), client.ask("HEAD", "/api/devices/none")
    assert (headed.status, headed.body) == (404, b"")
    assert headed.headers["content-length"] == got.headers["content-length"]
    assert client.ask("HEAD", "/api/events").status == 405


def test_options_and_wrong_methods_name_the_right_ones(client):
    answer = client.ask("OPTIONS", "/api/devices/tasks/pause")
    assert (answer.status, answer.headers["allow"], answer.body) == (204, "OPTIONS, POST", b"")
    for method, path in (("GET", "/api/devices/tasks/pause"), ("DELETE", "/api/devices"), ("PATCH", "/healthz")):
        answer = client.ask(method, path)
        assert (answer.status, set(answer.json)) == (405, {"error"})
        assert answer.headers["allow"]


def test_every_answer_has_the_headers_that_keep_browsers_in_check(client):
    for path in ("/api/devices", "/nothing", "/healthz"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1\r\n\r\n", 400),
        (b"GET / HTTP/x.y\r\n\r\n", 400),
        (b"GET nothing HTTP/1.1\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 101 + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e9\r\n\r\n", 400),
        (b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", 417),
    ],
)  # fmt: skip
def test_a_request_that_breaks_a_rule_gets_a_json_error(client, capfd, request_bytes, status):
    head, _, body = client.raw(request_bytes).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert set(json.loads(body)) == {"error"}
    assert capfd.readouterr().err == ""


def test_a_body_that_is_small_enough_is_read_over(client):
    body = b"x" * 1000
    assert client.ask("POST", "/api/reload", {"Authorization": f"Bearer {TOKEN}"}, body).status == 200


def test_a_request_that_comes_too_slowly_is_ended(client, monkeypatch):
    monkeypatch.setattr("geventrelay.web.http.listener.REQUEST_S", 0.1)
    assert client.raw(b"GET / HTTP/1.1\r\nHost: loc").startswith(b"HTTP/1.1 408 ")
    slow = b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabc"
    assert client.raw(slow).startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_asks_nothing_is_ended(client, monkeypatch):
    monkeypatch.setattr("geventrelay.web.http.listener.REQUEST_S", 0.1)
    assert client.raw(b"") == b""


def test_two_requests_over_one_connection(client):
    two = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /readyz HTTP/1.0\r\n\r\n"
    assert client.raw(two).count(b'{"status":"ok"}') == 2


def test_stopping_ends_listeners_and_idle_connections(token_file, streamer):
    site = Site(FakeServer.of(streamer), HttpAddress("127.0.0.1", 0), token_file)
    site.start()
    client = Client(site.url)
    listener = client.events()
    next(listener)
    with socket.create_connection((client.host, client.port), timeout=5) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(1) == b"H"
        site.stop()
        assert list(listener) == []
        while idle.recv(65536):
            pass
    site.stop()
    with pytest.raises(ConnectionRefusedError):
        client.get("/healthz")


def test_an_address_that_is_taken_is_named(client, streamer):
    address = HttpAddress("127.0.0.1", client.port)
    with pytest.raises(StartError, match=rf"cannot listen at 127.0.0.1:{client.port} \(--http\): "):
        Site(FakeServer.of(streamer), address).start()


@pytest.mark.parametrize("content", ["", "\n", "two words\n", "ключ\n", "\x00"])
def test_a_token_file_without_a_token_is_an_error_that_does_not_repeat_it(tmp_path, streamer, content):
    path = tmp_path / "bad"
    path.write_text(content)
    with pytest.raises(StartError) as caught:
        Site(FakeServer.of(streamer), HttpAddress("127.0.0.1", 0), path).start()
    assert str(path) in str(caught.value)
    assert "words" not in str(caught.value)


def test_a_token_file_that_is_not_there_is_named(tmp_path, streamer):
    with pytest.raises(StartError, match="No such file"):
        Site(FakeServer.of(streamer), HttpAddress("127.0.0.1", 0), tmp_path / "none").start()


def test_a_token_file_for_everybody_is_warned_about(tmp_path, streamer, serve, token_file, caplog):
    token_file.chmod(0o644)
    serve(FakeServer.of(streamer))
    assert "token-file-open-to-every-user" in caplog.text
    assert TOKEN not in caplog.text


def test_a_failure_of_ours_is_500_and_in_the_log_alone(serve, streamer, caplog, capfd):
    served = FakeServer.of(streamer)
    served.devices["tasks"].restarts = object()
    answer = serve(served).get("/api/devices")
    assert answer.status == 500
    assert "object" not in answer.body.decode()
    assert "http-failed" in caplog.text
    assert capfd.readouterr().err == ""


def test_patterns_with_other_sockets_are_told_as_well(serve, run):
    relay = run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL))
    forwarder = run(Forwarder(frontend=LOCAL, backend=LOCAL, control=LOCAL))
    told = serve(FakeServer.of(relay, forwarder)).get("/api/devices").json
    assert [one["name"] for one in told["devices"]] == ["relay", "forwarder"]
    sockets = [[(one["key"], one["type"]) for one in device["sockets"]] for device in told["devices"]]
    assert sockets == [
        [("sub", "SUB"), ("pub", "PUB"), ("push", "PUSH")],
        [("frontend", "XSUB"), ("backend", "XPUB"), ("control", "REP")],
    ]


_LINES = st.sampled_from(
    [b"GET /api/devices HTTP/1.1", b"POST /api/reload HTTP/1.1", b"GET /api/devices/tasks HTTP/1.0", b"GET / HTTP/1.1",
     b"OPTIONS * HTTP/1.1", b"HEAD /healthz HTTP/1.1", b"GET /api/devices/%ff%00/peers?a=%zz HTTP/1.1",
     b"Host: localhost", b"Host: 127.0.0.1", b"Content-Length: 3", b"Content-Length: x", b"Transfer-Encoding: chunked",
     b"Authorization: Bearer", b"Connection: close", b"Upgrade: websocket", b"Expect: 100-continue", b" folded",
     b": nameless", b"A_b: c", b""]
)  # fmt: skip
_GARBAGE = st.lists(st.one_of(_LINES, st.binary(max_size=40)), min_size=1, max_size=8).map(b"\r\n".join)


@pytest.mark.slow
@hypothesis.settings(max_examples=300)
@hypothesis.given(garbage=_GARBAGE)
def test_whatever_is_sent_gets_a_status_and_never_a_traceback(garbage, client, caplog, capfd):
    # With the end that every request has, so that the server need not wait for it.
    answer = client.raw(garbage + b"\r\n\r\n", shut=True)
    heads = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
    assert all(status < 500 for status in heads), (garbage, answer)
    assert not answer or heads, (garbage, answer)
    assert capfd.readouterr().err == ""
    assert "Traceback" not in caplog.text
    assert "http-failed" not in caplog.text


def test_a_listener_that_reads_nothing_is_dropped_and_holds_up_nobody(serve, run, monkeypatch):
    monkeypatch.setattr("geventrelay.web.http.listener.SEND_S", 0.2)
    monkeypatch.setattr("geventrelay.web.events.Events._event", lambda events: b"data: " + b"x" * 10_000_000)
    client = serve(FakeServer.of(run(Streamer(frontend=LOCAL, backend=LOCAL))))
    with socket.create_connection((client.host, client.port), timeout=5) as listener:
        listener.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert listener.recv(1) == b"H"
        assert client.get("/healthz").status == 200
        eventually(lambda: client.site._api.events.listeners == 0, "the listener to be dropped")
    assert client.get("/api/devices").json["server"]["http_refused"] == {"slow_reader": 1}


def test_large_answers_that_are_not_read_take_bounded_memory(serve, run, monkeypatch):
    answer = b'{"x": "' + b"y" * 20_000_000 + b'"}'
    monkeypatch.setattr("geventrelay.web.api.Api._devices", lambda api: answer + b"\n")
    monkeypatch.setattr("geventrelay.web.http.app.UnderWay", functools.partial(UnderWay, 30_000_000))
    client = serve(FakeServer.of(run(Streamer(frontend=LOCAL, backend=LOCAL))))
    assert client.get("/api/devices").body == answer + b"\n"
    with socket.create_connection((client.host, client.port), timeout=5) as one:
        one.sendall(b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert one.recv(1) == b"H"
        refused = client.get("/api/devices")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "?limit=" in refused.json["error"]
        assert client.get("/healthz").status == 200
        assert b'http_refused_total{reason="large_answers"} 1' in client.get("/metrics").body
    eventually(lambda: client.get("/api/devices").status == 200, "room for another one")


def test_the_page_comes_with_its_files_and_is_not_sent_twice(client):
    page = client.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body == client.get("/index.html").body
    assert client.get("/page.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert client.get("/style.css").headers["content-type"] == "text/css; charset=utf-8"
    again = client.get("/", If_None_Match=page.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert client.get("/", If_None_Match='"other"').status == 200


@pytest.mark.parametrize(
    "path",
    ["/../api.py", "/%2e%2e/api.py", "/..%2fapi.py", "/page/index.html", "//index.html", "/index.html/",
     "/./index.html", "/index.html%00", "/..\\api.py", "/etc/passwd"],
)  # fmt: skip
def test_no_path_leads_out_of_the_page(client, path):
    answer = client.get(path)
    assert (answer.status, set(answer.json)) == (404, {"error"})
