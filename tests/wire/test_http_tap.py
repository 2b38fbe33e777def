"""A device's traffic over HTTP: a line for each message, for those who know the token, and nobody waits for them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from urllib.parse import quote_from_bytes

import gevent
import pytest
import zmq
from gevent import socket
from support.http import TOKEN, Client, FakeServer

from geventrelay import Queue, StartError, Streamer
from geventrelay.cli import message_source
from geventrelay.cli.message_options import WatchOptions
from geventrelay.recording import Record, to_line
from geventrelay.recording.record import source_name
from geventrelay.settings import HttpAddress
from geventrelay.testing import LOCAL, Peers, eventually, within
from geventrelay.web import tap as taps
from geventrelay.web.site import Site

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATH = "/api/devices/tasks/tap"


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


@pytest.fixture
def streamer(run, peers: Peers):
    """A device and a function that has it move a message."""
    device = run(Streamer(name="tasks", frontend=LOCAL, backend=LOCAL))
    source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    sink = peers.connect(zmq.PULL, *device.endpoints["backend"])

    def move(*parts):
        source.send(*parts)
        assert sink.recv() == list(parts)

    return device, move


@contextlib.contextmanager
def lines(client: Client, path: str = PATH):
    """A function that gives the next line of the answer, parsed; None at its end. It begins when the watch is on."""
    with socket.create_connection((client.host, client.port), timeout=10) as connection:
        request = f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        connection.sendall(request.encode())
        with connection.makefile("rb") as file:
            assert b" 200 " in file.readline()
            while file.readline() != b"\r\n":
                pass
            assert file.readline() == b"\n"

            def line():
                while (text := file.readline()) == b"\n":
                    pass
                return json.loads(text) if text else None

            yield line


def message(line):
    return line["source"], line["parts"]


def test_each_message_is_a_line(serve, streamer):
    device, move = streamer
    move(b"before")
    with lines(serve(device)) as line:
        move(b"text", b"", b"\x00\xff")
        move(b"more")
        first = line()
        assert message(first) == ("frontend", ["text", "", {"hex": "00ff"}])
        assert first["time"] > 1_700_000_000
        assert message(line()) == ("frontend", ["more"])
        device.stop(0)
        assert line() is None


def test_topic_and_sample_choose(serve, streamer):
    device, move = streamer
    query = f"?direction=frontend&topic={quote_from_bytes(bytes([255]))}x&sample=2"
    with lines(serve(device), PATH + query) as line:
        for number in range(4):
            move(b"\xffx", b"%d" % number)
            move(b"x", b"other")
        assert [line()["parts"][1] for _ in range(2)] == ["0", "2"]


def test_a_direction_is_chosen(serve, run, peers: Peers):
    device = run(Queue(name="tasks", frontend=LOCAL, backend=LOCAL))
    client = peers.connect(zmq.REQ, *device.endpoints["frontend"], routing_id=b"client")
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])
    with lines(serve(device), PATH + "?direction=backend") as line:
        client.send(b"hello")
        worker.recv()
        worker.send(b"world")
        client.recv()
        assert message(line()) == ("backend", ["client", "", "world"])


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        (PATH, {}, 401, "expected Bearer"),
        (PATH, {"Authorization": "Bearer wrong"}, 401, "expected Bearer"),
        ("/api/devices/other/tap", BEARER, 404, "no device is called other"),
        (PATH + "?direction=backend", BEARER, 400, "direction: expected one of frontend, got 'backend'"),
        (PATH + "?sample=0", BEARER, 400, "sample: expected an integer from 1"),
        (PATH + "?prefix=x", BEARER, 400, "query: expected one of direction, topic, sample, got 'prefix'"),
    ],
)
def test_wrong_wishes_are_refused(serve, streamer, path, headers, status, said):
    answer = serve(streamer[0]).ask("GET", path, headers)
    assert answer.status == status
    assert said in answer.json["error"]


def test_without_a_token_nobody_may_watch(serve, streamer):
    answer = serve(streamer[0], token=False).ask("GET", PATH, BEARER)
    assert (answer.status, "cannot be watched" in answer.json["error"]) == (403, True)


def test_a_device_that_is_not_up_cannot_be_watched(serve, streamer):
    device, _ = streamer
    client = serve(device)
    device.stop(0)
    answer = client.ask("GET", PATH, BEARER)
    assert (answer.status, answer.json["error"]) == (409, "cannot watch tasks: it is stopped")


def test_asking_for_the_head_alone_leaves_no_watch(serve, streamer):
    device, _ = streamer
    assert serve(device).ask("HEAD", PATH, BEARER).status == 405
    eventually(lambda: not device._assembly.tap()._tapped, "the copy to end")


def test_there_is_a_limit_to_watches_and_who_leaves_makes_room(serve, streamer, monkeypatch):
    monkeypatch.setattr(taps, "MAX_WATCHERS", 1)
    monkeypatch.setattr(taps, "SILENCE_S", 0.01)
    device, _ = streamer
    client = serve(device)
    with lines(client):
        answer = client.ask("GET", PATH, BEARER)
        assert (answer.status, answer.json["error"]) == (503, "there are 1 watchers already")
    eventually(lambda: not device._assembly.tap()._tapped, "the end of the watch")
    with lines(client):
        pass


def test_a_client_who_does_not_read_is_told_what_he_lost_and_delays_nobody(serve, streamer):
    device, move = streamer
    count, body = 3000, b"x" * 5000
    with lines(serve(device)) as line:
        for number in range(count):
            move(b"%d" % number, body)
        seen, lost = 0, 0
        with within("everything to be told", 20):
            while seen + lost < count:
                one = line()
                seen += "parts" in one
                lost += one.get("lost", 0)
        assert seen + lost == count
        assert lost > 0
        move(b"again")
        assert line()["parts"] == ["again"]


def test_a_message_that_is_too_large_is_told_and_left_out(serve, streamer, monkeypatch):
    monkeypatch.setattr(taps, "MAX_MESSAGE_BYTES", 10)
    device, move = streamer
    with lines(serve(device)) as line:
        move(b"x" * 6, b"y" * 5)
        move(b"small")
        told = line()
        assert (told["source"], told["left_out_bytes"], "parts" in told) == ("frontend", 11, False)
        assert line()["parts"] == ["small"]


def test_a_message_of_too_many_parts_is_told_and_left_out(serve, streamer, monkeypatch):
    monkeypatch.setattr(taps, "MAX_MESSAGE_PARTS", 2)
    device, move = streamer
    with lines(serve(device)) as line:
        move(b"a", b"b", b"c")
        move(b"a", b"b")
        assert line()["left_out_bytes"] == 3
        assert line()["parts"] == ["a", "b"]


@pytest.mark.parametrize("part", [b"\0", b"\xff", "\u0080".encode(), "\U0001f600".encode(), b'"', b"\x7f"])
def test_no_line_is_longer_than_the_command_reads(part):
    every, at_once = taps.MAX_MESSAGE_BYTES, taps.MAX_MESSAGE_PARTS
    whole = part * (every // len(part))
    pieces = (b"",) * 10 + (part,) * (at_once - 11)
    for parts in ((whole,), (*pieces, whole[: -len(part) * len(pieces)])):
        record = Record(10**18, source_name(b"\xff" * 255), parts)
        assert len(to_line(record).encode()) + 1 <= taps.MAX_LINE_BYTES


# The other end: what `geventrelay tap` and `geventrelay record` read.


def watch(client: Client, token_file: Path, **words):
    options = WatchOptions(**{"device": "tasks", "token_file": token_file, **words})
    return message_source.watch("ENDPOINT", f"http://{client.host}:{client.port}", options)


def test_the_command_reads_what_the_server_tells(serve, streamer, token_file, monkeypatch, capsys):
    monkeypatch.setattr(taps, "MAX_MESSAGE_BYTES", 10)
    device, move = streamer
    with watch(serve(device), token_file, topic="t", count=3) as batches:
        assert batches.begin()
        got = gevent.spawn(lambda: [record for records in batches for record in records])
        move(b"other")
        move(b"t1", b"\x00\xff")
        move(b"t" * 11)
        move(b"t2")
        device.stop()
        with within("the end"):
            records = got.get()
    assert [record.parts for record in records] == [(b"t1", b"\x00\xff"), (b"t2",)]
    assert "a message of 11 bytes left out" in capsys.readouterr().err


def test_the_command_samples_once(serve, streamer, token_file):
    device, move = streamer
    with watch(serve(device), token_file, sample=2, count=2, direction="frontend") as batches:
        assert batches.begin()
        got = gevent.spawn(lambda: [record for records in batches for record in records])
        for number in range(4):
            move(b"%d" % number)
        with within("two of four"):
            assert [record.parts for record in got.get()] == [(b"0",), (b"2",)]


def test_the_command_says_what_the_server_said(serve, streamer, token_file):
    client = serve(streamer[0])
    with pytest.raises(StartError, match="Authorization: expected Bearer"):
        message_source.watch("ENDPOINT", f"http://{client.host}:{client.port}{PATH}", WatchOptions()).begin()
    with pytest.raises(StartError, match="no device is called other"):
        watch(client, token_file, device="other").begin()
    with pytest.raises(StartError, match=r"cannot read 127\.0\.0\.1:1: "):
        message_source.watch("ENDPOINT", "http://127.0.0.1:1" + PATH, WatchOptions()).begin()


@pytest.mark.parametrize(("given", "status"), [(TOKEN, 200), ("wrong", 401), ("", 401)])
def test_a_token_can_be_tried_without_a_change(serve, streamer, given, status):
    client = serve(streamer[0])
    assert client.ask("GET", "/api/token", {"Authorization": f"Bearer {given}"}).status == status


def test_where_there_is_no_token_none_is_right(serve, streamer):
    answer = serve(streamer[0], token=False).ask("GET", "/api/token", BEARER)
    assert (answer.status, "--http-token-file" in answer.json["error"]) == (403, True)
