"""Clients without a token at HTTP: whatever they send, devices, probes and stops do not wait for it."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import signal
import struct
from urllib.parse import urlsplit

import gevent
import pytest
import zmq
from gevent import socket
from gevent.event import Event
from gevent.server import StreamServer
from support.http import TOKEN, Client, FakeServer

from geventrelay import SettingsError, Streamer
from geventrelay.settings import HttpAddress, HttpOptions
from geventrelay.testing import LOCAL, Peers, eventually, within
from geventrelay.web import report
from geventrelay.web import tap as taps
from geventrelay.web.site import Site

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
DEVICES = b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVENTS = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def site(relay_device):
    """``site(http_connections=5)`` serves a streamer over HTTP."""
    sites = []

    def serve(host="127.0.0.1", **options):
        options = {"http_trusted_proxy": (), **options}
        token = options.pop("http_token_file", None)
        made = Site(
            FakeServer.of(relay_device(Streamer(frontend=LOCAL, backend=LOCAL))),
            HttpAddress(host, 0),
            token,
            HttpOptions(**options),
        )
        made.start()
        sites.append(made)
        client = Client(made.url)
        client.site = made
        return client

    yield serve
    for one in sites:
        one.stop()


@pytest.fixture
def connect():
    """``connect(client)`` connects, and sends what is given."""
    made = []

    def connect(client, data=b"", source=""):
        one = socket.create_connection((client.host, client.port), 5, (source, 0) if source else None)
        made.append(one)
        one.sendall(data)
        return one

    yield connect
    for one in made:
        one.close()


def is_ended(connection):
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def ask(connection, request=HEALTH):
    connection.sendall(request)
    return connection.recv(65536).partition(b" ")[2][:3]


# Pipelining


def test_every_answer_to_a_client_that_pipelines_gives_everything_else_a_turn(site, connect):
    client = site()
    flooding = connect(client, DEVICES * 500)
    reading = gevent.spawn(is_ended, flooding)
    turns = []

    def count():
        while True:
            turns.append(len(turns))
            gevent.sleep(0)

    counting = gevent.spawn(count)
    made = []
    client.site._api._make_devices = lambda: made.append(len(turns)) or b"{}"
    eventually(lambda: len(made) >= 100, "a hundred answers")
    gevent.killall([reading, counting])
    # Between any two answers, another greenlet has run.
    assert all(later > earlier for earlier, later in itertools.pairwise(made[1:]))


def test_a_probe_is_answered_while_sixteen_connections_pipeline(site, connect):
    client = site()
    readers = [gevent.spawn(is_ended, connect(client, DEVICES * 200, "127.0.0.2")) for _ in range(16)]
    with within("the probe"):
        assert client.get("/healthz").status == 200
    gevent.killall(readers)


@pytest.mark.slow
def test_a_server_that_is_flooded_moves_messages_and_stops_when_told(start, peers: Peers, connect):
    server = start("streamer", "--frontend", "0", "--backend", "0", "--http", "0")
    where = urlsplit(json.loads(server.ready_file.read_text())["http"])
    flooding = socket.create_connection((where.hostname, where.port))

    def flood():
        with pytest.raises(OSError):
            while True:
                flooding.sendall(DEVICES * 100)

    greenlets = [gevent.spawn(flood), gevent.spawn(is_ended, flooding)]
    source, sink = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    for number in range(50):
        source.send(b"%d" % number)
        assert sink.recv() == [b"%d" % number]
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    gevent.joinall(greenlets, 10)
    flooding.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_connections_wait_while_no_descriptor_is_free(site, monkeypatch, caplog, capfd, number):
    client = site()
    accept, failures = StreamServer.do_read, iter([number, number])

    def fail(server):
        if failed := next(failures, None):
            raise OSError(failed, os.strerror(failed))
        return accept(server)

    monkeypatch.setattr(StreamServer, "do_read", fail)
    with within("the answer"):
        assert client.get("/healthz").status == 200
    assert caplog.text.count("http-refused") == 2
    assert "Traceback" not in capfd.readouterr().err
    assert json.loads(client.get("/api/devices").body)["server"]["http_refused"]["descriptors"] == 2


def test_a_client_that_sends_no_more_gets_every_answer_and_stays_a_listener(site, connect):
    client = site()
    assert client.raw(5 * HEALTH, shut=True).count(b"200 OK") == 5
    assert client.raw(b"", shut=True) == b""
    assert client.raw(HEALTH[:20], shut=True).startswith(b"HTTP/1.1 400 ")
    listener = connect(client, EVENTS)
    listener.shutdown(socket.SHUT_WR)
    seen = b""
    with within("two events"):
        while seen.count(b"event: devices") < 2:
            data = listener.recv(1 << 16)
            assert data
            seen += data


def test_watchers_that_are_killed_give_their_places_back(site, connect, tmp_path, monkeypatch):
    monkeypatch.setattr(taps, "MAX_WATCHERS", 2)
    monkeypatch.setattr(taps, "SILENCE_S", 0.05)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    client = site(http_token_file=token)
    watch = b"GET /api/devices/streamer/tap HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n"
    watchers = [connect(client) for _ in range(2)]
    for watcher in watchers:
        assert ask(watcher, watch % TOKEN.encode()) == b"200"
    assert ask(connect(client), watch % TOKEN.encode()) == b"503"
    for watcher in watchers:
        # As the kernel ends a connection of a process that was killed with data unread.
        watcher.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        watcher.close()
    free = connect(client)
    eventually(lambda: ask(free, watch % TOKEN.encode()) == b"200", "a place", 10)


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), zmq.ZMQError(errno.EMFILE)])
def test_an_answer_for_which_no_descriptor_is_free_is_a_line_of_the_log(site, monkeypatch, caplog, error):
    def fail(*_, **__):
        raise error

    client = site()
    monkeypatch.setattr(report, "devices", fail)
    for _ in range(2):
        answer = client.get("/api/devices")
        assert (answer.status, answer.json["error"]) == (503, "no file descriptor is free for this answer")
    assert caplog.text.count("http-refused") == 2
    assert "Traceback" not in caplog.text
    assert "http-failed" not in caplog.text


# Too many


def test_one_more_connection_of_an_address_ends_its_own_oldest_and_no_other(site, connect, caplog):
    client = site(http_connections_per_client=3)
    other = connect(client, source="127.0.0.2")
    own = [connect(client) for _ in range(3)]
    assert ask(own[0]) == b"200"
    more = connect(client)
    assert ask(more) == b"200"
    assert is_ended(own[0])
    assert [ask(one) for one in (own[1], own[2], other)] == [b"200"] * 3
    assert "http-over-limit" in caplog.text
    assert "option=--http-connections-per-client" in caplog.text
    assert json.loads(client.get("/api/devices").body)["server"]["http_refused"]["connections_per_client"] >= 1


def test_a_probe_has_a_place_when_all_are_taken_and_others_are_told_which_option_lifts_it(site, connect):
    client = site(http_connections=4)
    idle = [connect(client, source=f"127.0.0.{number}") for number in range(2, 6)]
    assert all(ask(one) == b"200" for one in idle)
    for path in ("/healthz", "/readyz"):
        assert client.get(path).status == 200
    refused = client.get("/api/devices")
    assert refused.status == 503
    assert "--http-connections" in refused.json["error"]
    # Places beyond the limit are few, and the oldest goes.
    spare = [connect(client, source="127.0.0.9") for _ in range(40)]
    assert client.get("/healthz").status == 200
    assert is_ended(spare[0])
    assert all(ask(one) == b"200" for one in idle)
    idle[0].close()
    eventually(lambda: client.get("/api/devices").status == 200, "the place to be free")


def test_one_more_stream_of_an_address_ends_its_own_oldest(site, connect):
    client = site(http_streams_per_client=2)
    other = connect(client, EVENTS, "127.0.0.2")
    first = connect(client, EVENTS)
    assert b"text/event-stream" in first.recv(65536)
    second, third = connect(client, EVENTS), connect(client, EVENTS)
    for one in (other, second, third):
        assert b"text/event-stream" in one.recv(65536)
    assert is_ended(first)
    assert client.site._api.events.listeners == 3


@pytest.mark.parametrize("trusted", [True, False])
def test_behind_a_trusted_proxy_a_client_is_who_the_proxy_says(site, connect, trusted):
    networks = HttpOptions.__dataclass_fields__["http_trusted_proxy"].metadata["option"].check("x", "127.0.0.1")
    client = site(
        http_streams_per_client=1, http_connections_per_client=2, http_trusted_proxy=networks if trusted else ()
    )
    streams = []
    for number in (1, 2, 3):
        request = EVENTS.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 9.9.9.9, 192.0.2.%d\r\n\r\n" % number)
        streams.append(connect(client, request))
        assert b"text/event-stream" in streams[-1].recv(65536)
    if trusted:
        eventually(lambda: client.site._api.events.listeners == 3, "all three")
        last = connect(client, request)
        assert b"text/event-stream" in last.recv(65536)
        assert is_ended(streams[2])
    else:
        assert is_ended(streams[0])
        assert is_ended(streams[1])


def test_ipv6_clients_count_by_their_network(site, connect):
    client = site("::1", http_connections_per_client=1)
    first = connect(client)
    assert ask(first) == b"200"
    assert ask(connect(client)) == b"200"
    assert is_ended(first)


# Nonsense


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length : 44", b"Transfer-Encoding : chunked", b"junk\r\nContent-Length: 44", b"Content-Length: +44",
        b"Content-Length: 4_4", b"X: a\rContent-Length: 5", b"X: a\0b", b"X: a\r\n folded", b"Content-Length: 44\nX: y",
        b"Content-Length: 4\r\nContent-Length: 44", b"Host: other",
        b"Content-Length: 44\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    ],
)  # fmt: skip
def test_a_head_that_a_proxy_could_read_another_way_is_refused_and_nothing_behind_it_is_answered(site, head):
    client = site()
    answer = client.raw(b"POST /x HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n%b" % (head, HEALTH))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_what_is_refused_is_a_line_of_the_log_that_says_why(site, caplog):
    client = site()
    client.raw(b"nonsense \x1b[31m\r\n\r\n")
    (line,) = [one.getMessage() for one in caplog.records if "http-refused" in one.getMessage()]
    assert "peer=127.0.0.1:" in line
    assert "a method, a path and a version" in line


def test_a_change_ends_well_where_its_connection_is_ended(site, tmp_path, connect, caplog):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    client = site(http_connections_per_client=1, http_token_file=token)
    begun, go_on, ended = Event(), Event(), Event()

    def reload():
        begun.set()
        go_on.wait()
        ended.set()
        raise SettingsError("x", "y", "z")

    client.site._server.reload = reload
    connect(client, f"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    with within("the change"):
        begun.wait()
        assert ask(connect(client)) == b"200"
        go_on.set()
        ended.wait()
    assert "option=--http-connections-per-client" in caplog.text


@pytest.mark.parametrize(
    "nonsense", [b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n" * 3, b"\xff" * 70_000, b"GET /api/devices HTTP/1.1\r\n"]
)
def test_nonsense_and_a_reset_leave_no_traceback(site, connect, nonsense, caplog, capfd):
    client = site()
    caplog.set_level(logging.DEBUG, "geventrelay")
    for _ in range(20):
        one = connect(client)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.send(nonsense)
        one.close()
    assert client.get("/healthz").status == 200
    eventually(
        lambda: not len(client.site._listener._server.pool) or client.get("/healthz").status == 200, "their ends"
    )
    assert capfd.readouterr().err == ""
    assert not [one for one in caplog.records if one.exc_info or one.levelno > logging.WARNING]


def test_a_thousand_connections_cost_others_nothing(site, connect):
    client = site()
    for _ in range(1000):
        connect(client, source="127.0.0.3")
        gevent.sleep(0)
    with within("an answer beside a thousand connections"):
        assert client.get("/api/devices").status == 200
