"""``geventrelay top`` as a user starts it, at a server that is made up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import termios
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from support.process import GEVENTRELAY, Program, environment
from support.stub_server import StubServer, backbone, neighbour, queue, relay

from geventrelay.testing import eventually

ESCAPE = "\x1b[31mred"


@pytest.fixture
def stub() -> Iterator[StubServer]:
    def devices(seconds: float) -> list[object]:
        return [
            relay("prices", received=1000 + int(500 * seconds), dropped=40),
            queue("orders", received=7, state="paused"),
            queue("a-name-that-is-longer-than-any-column-has-room-for", received=7),
            queue(ESCAPE, state="failed", failure=f"cannot bind {ESCAPE}\ntwice", restarts=3, next_start_in_s=4.2),
        ]

    with StubServer(devices) as server:
        yield server


def columns(number: int) -> dict[str, str]:
    return environment(COLUMNS=str(number))


def once(run, *arguments: str, code: int = 0, **kwargs: object) -> Program:
    program = run([*GEVENTRELAY, "top", *arguments], **kwargs)
    assert program.wait() == code, program.report()
    assert "Traceback" not in program.errors
    return program


def complaint(run, *arguments: str, code: int = 1, **kwargs: object) -> str:
    """The one line of a `top` that could not."""
    program = once(run, *arguments, code=code, **kwargs)
    (line,) = program.errors.splitlines()
    return line


@pytest.mark.slow
def test_a_table_fits_80_columns_and_has_every_device(run, stub):
    program = once(run, stub.url, "--once", env=columns(80))
    lines = program.output.splitlines()
    assert max(len(line) for line in lines) <= 80
    (prices,) = (line.split() for line in lines if line.startswith("prices "))
    assert prices[1] == "running"
    assert float(prices[2]) > 0
    assert prices[-3:] == ["40", "0", "3/12/0"]
    assert "orders" in program.output
    assert "paused" in program.output
    assert "prices: dropped 40 no_peer" in lines


@pytest.mark.slow
def test_servers_that_are_older_or_newer_are_shown_as_far_as_they_are_known(run, stub):
    new = queue("new", received=7, state="dreaming")
    new["pumps"][0]["outlets"][0]["dropped"] = {"too_late": 2}
    answer = {"version": 1, "server": {}, "devices": [{"name": "old"}, new]}
    stub.overrides["/api/devices"] = (200, answer)
    lines = once(run, stub.url, "--once", env=columns(100)).output.splitlines()
    assert lines[0].startswith("geventrelay ? (?), up 0 s, hub delay unknown")
    (old,) = (line.split() for line in lines if line.startswith("old "))
    assert set(old[1:]) == {"?"}
    (new,) = (line.split() for line in lines if line.startswith("new "))
    assert (new[1], new[-3:]) == ("dreaming", ["2", "0", "2/1"])
    assert "new: dropped 2 too_late" in lines
    old = json.loads(once(run, stub.url, "--once", "--json").output)["devices"][0]
    assert (old["name"], old["received"], old["received_per_s"], old["peers"]) == ("old", None, None, {})


@pytest.mark.slow
def test_what_a_server_says_cannot_steer_the_terminal(run, stub):
    output = once(run, stub.url, "--once", env=columns(200)).output
    assert "\x1b" not in output
    assert r"\x1b[31mred: failed: cannot bind \x1b[31mred\ntwice, restarted 3x, starts again in 4 s" in output


@pytest.mark.slow
def test_json_is_one_object_with_counts_and_rates(run, stub):
    (line,) = once(run, stub.url, "--once", "--json").output.splitlines()
    answer = json.loads(line)
    prices = answer["devices"][0]
    assert (answer["version"], answer["server"]["geventrelay"]) == (1, "0.1.0")
    assert (prices["name"], prices["dropped"], prices["peers"]) == (
        "prices",
        {"no_peer": 40},
        {"sub": 3, "pub": 12, "push": 0},
    )
    assert prices["received"] > 1000
    assert prices["received_per_s"] > 0
    assert prices["sent"] == 2 * prices["received"] - 40


@pytest.mark.slow
def test_json_goes_on_until_it_is_interrupted(run, stub):
    program = run([*GEVENTRELAY, "top", stub.url, "--json"])
    program.until(lambda: program.output.count("\n") >= 2, "two lines")
    program.signal(signal.SIGINT)
    assert program.wait() == 0, program.report()
    assert program.errors == ""


@pytest.mark.slow
def test_the_figures_of_a_real_server_are_those_that_went_through_it(run, start, peers):
    server = start("streamer", "--frontend", "0", "--backend", "0", "--http", "127.0.0.1:0")
    found = server.until(lambda: re.search(r"\burl=(http://\S+)", server.errors), "the URL in the log")
    sender, worker = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    for number in range(17):
        sender.send(b"%d" % number)
    assert [worker.recv() for _ in range(17)] == [[b"%d" % number] for number in range(17)]
    (line,) = once(run, found[1], "--once", "--json").output.splitlines()
    (device,) = json.loads(line)["devices"]
    assert (device["name"], device["state"], device["failure"]) == ("streamer", "running", None)
    assert (device["received"], device["sent"], device["dropped"], device["held"]) == (17, 17, {}, 0)
    assert device["peers"] == {"frontend": 1, "backend": 1}


def topics_of(*rows: dict[str, Any]) -> tuple[int, Any]:
    """An answer of /topics."""
    return 200, {"version": 1, "device": "prices", "sockets": {"pub": {"messages": 9, "topics": list(rows)}}}


@pytest.mark.slow
def test_topics_are_printed_where_they_are_asked_for(run):
    some = [
        relay("prices", received=9, topics=100),
        relay("gone", topics=5),
        queue("orders"),
        queue("new", topics=None),
    ]
    row = {"topic": f"eur{ESCAPE}", "messages": 9, "messages_per_s": 12.5, "lost": 3, "of_a_newer_server": [1]}
    with StubServer(lambda seconds: some) as stub:
        stub.overrides["/api/devices/prices/topics"] = topics_of({"topic": "usd"}, row)
        stub.overrides["/api/devices/gone/topics"] = (404, {"error": "device gone counts no topics"})
        lines = once(run, stub.url, "--once", "--topics", env=columns(100)).output.splitlines()
        assert lines[-3].split() == ["topic", "msg/s", "lost", "bytes/s", "messages", "subs", "device"]
        assert lines[-2].split() == [r"eur\x1b[31mred", "12", "3", "?", "9", "?", "prices"]
        assert lines[-1].split() == ["usd", "?", "?", "?", "?", "?", "prices"]
        answer = json.loads(once(run, stub.url, "--once", "--json", "--topics").output)
        busiest = {one["name"]: one["busiest"] for one in answer["devices"]}
        assert [one["topic"] for one in busiest.pop("prices")] == ["usd", f"eur{ESCAPE}"]
        assert busiest == {"gone": [], "orders": [], "new": []}
        assert "msg/s" not in once(run, stub.url, "--once").output
        assert "busiest" not in once(run, stub.url, "--once", "--json").output


@pytest.mark.slow
def test_the_mesh_is_printed_where_it_is_asked_for(run):
    def devices(seconds: float) -> list[Any]:
        others = [neighbour(1, sent=int(1000 * seconds), host=f"east{ESCAPE}"), neighbour(2, received=5)]
        return [relay("prices") | {"backbone": backbone(others)}, relay("local")]

    with StubServer(devices) as stub:
        lines = once(run, stub.url, "--once", "--mesh", env=columns(100)).output.splitlines()
        assert max(map(len, lines)) <= 100
        assert [line.split()[0] for line in lines[-4:]] == [
            "relay", "here:", r"east\x1b[31mred", "site-2.example.net",
        ]  # fmt: skip
        answer = json.loads(once(run, stub.url, "--once", "--json", "--mesh").output)
        mesh = {one["name"]: one["mesh"] for one in answer["devices"]}
        assert mesh["local"] == []
        assert [one["is_own"] for one in mesh["prices"]] == [True, False, False]
        assert mesh["prices"][1]["sent_per_s"] > 0 and mesh["prices"][2]["received"] == 5
        assert "mesh" not in once(run, stub.url, "--once", "--json").output


@pytest.mark.slow
def test_an_answer_with_topics_that_is_none_of_ours(run):
    with StubServer(lambda seconds: [relay("prices", topics=100)]) as stub:
        stub.overrides["/api/devices/prices/topics"] = topics_of({"topic": "usd", "messages": "many"})
        line = complaint(run, stub.url, "--once", "--topics")
    assert line.endswith("expected the API of geventrelay, got 'many' as messages of a topic")


@pytest.mark.slow
def test_the_topics_of_a_real_server_are_those_that_went_through_it(run, start, peers):
    server = start(
        *("forwarder", "--frontend", "0", "--backend", "0", "--http", "127.0.0.1:0"),
        *("--topics", "10", "--topic-until", ":", "--subscribe", ""),
    )
    found = server.until(lambda: re.search(r"\burl=(http://\S+)", server.errors), "the URL in the log")
    peers.connect(zmq.SUB, server["backend"], subscribe=b"")
    publisher = peers.connect(zmq.XPUB, server["frontend"])
    assert publisher.recv() == [b"\1"]
    for number in range(17):
        publisher.send(b"a:%d" % number)
    publisher.send(b"b:1")
    program = once(run, found[1], "--once", "--json", "--topics")
    (device,) = json.loads(program.output)["devices"]
    assert [(one["topic"], one["messages"], one["bytes"]) for one in device["busiest"]] == [("a", 17, 58), ("b", 1, 3)]


@pytest.mark.slow
def test_what_the_subscribers_of_a_real_server_lost_is_told(run, start, peers):
    server = start(
        *("forwarder", "--frontend", "0", "--backend", "0", "--http", "127.0.0.1:0", "--engine", "zmtp"),
        *("--topics", "10", "--sndhwm", "1", "--subscribe", ""),
    )
    found = server.until(lambda: re.search(r"\burl=(http://\S+)", server.errors), "the URL in the log")
    peers.connect(zmq.SUB, server["backend"], subscribe=b"", rcvhwm=1, rcvbuf=8192)
    publisher = peers.connect(zmq.XPUB, server["frontend"])
    assert publisher.recv() == [b"\1"]
    for _ in range(200):
        publisher.send(b"big " + b"x" * 100_000)
    url = found[1]
    (one,) = eventually(lambda: losing(run, url), "that it has lost some")
    assert one["lost_topics"] == [{"topic": "big", "hex": "626967", "lost": sum(one["lost"].values()), "error": 0}]
    lines = once(run, url, "--once", "--subscribers", env=columns(100)).output.splitlines()
    assert lines[-2].split() == ["subscriber", "lost", "why", "most", "of", "got", "waiting", "device"]
    assert lines[-1].split()[2:4] == ["slow", "big"]


def losing(run, url: str) -> list[dict[str, Any]]:
    """What subscribers of the one device at `url` lost, as it is told."""
    (device,) = json.loads(once(run, url, "--once", "--json", "--subscribers").output)["devices"]
    found: list[dict[str, Any]] = device["losing"]
    return found


class Terminal:
    """A pseudo-terminal: what is written to `descriptor` is collected by `read`."""

    def __init__(self) -> None:
        self._ours, self.descriptor = os.openpty()
        os.set_blocking(self._ours, False)
        self.shown = ""

    def read(self) -> str:
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 1 << 16):
                self.shown += data.decode(errors="replace")
        return self.shown

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    @property
    def lines(self) -> list[str]:
        """What is on the screen: the last frame, without colours."""
        frame = self.read().rpartition("\x1b[H")[2]
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame).replace("\r", "").split("\n")

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.descriptor)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.mark.slow
def test_a_screen_follows_the_server_and_ends_quietly(run, stub, terminal):
    env = environment(TERM="xterm", COLUMNS="100", LINES="30")
    program = run([*GEVENTRELAY, "top", stub.url], stdout=terminal.descriptor, env=env)
    program.until(lambda: terminal.read().count("3/12/0") >= 2, "two tables")
    port = stub.port
    stub.stop()
    program.until(lambda: "trying again" in terminal.read(), "that the server has gone")
    stub.start(port)
    seen = len(terminal.read())
    program.until(lambda: "3/12/0" in terminal.read()[seen:], "a table after that")
    program.signal(signal.SIGINT)
    assert program.wait() == 0, program.report()
    assert program.errors == ""


@pytest.fixture
def many() -> Iterator[StubServer]:
    """30 devices: one fails, one drops, and one has dropped before."""

    def devices(seconds: float) -> list[object]:
        some: list[dict[str, Any]] = [queue(f"queue-{number:02}", received=number) for number in range(30)]
        some[17] = queue("queue-17", state="failed", failure="cannot bind")
        some[20] = relay("queue-20", received=9000 + int(90 * seconds), dropped=40 + int(30 * seconds))
        some[21] = relay("queue-21", received=9000, dropped=77)
        return list(some)

    with StubServer(devices) as server:
        yield server


def named(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.startswith("queue-") and ":" not in line]


@pytest.mark.slow
def test_a_small_screen_shows_what_matters_and_keys_sort_scroll_and_end(run, many, terminal):
    before = termios.tcgetattr(terminal.descriptor)
    env = environment(TERM="xterm", COLUMNS="60", LINES="15")
    program = run([*GEVENTRELAY, "top", many.url], stdin=terminal.descriptor, stdout=terminal.descriptor, env=env)
    program.until(lambda: "queue-20: dropped" in "\n".join(terminal.lines), "a table with news")
    lines = terminal.lines
    assert (len(lines) <= 15, max(map(len, lines)) <= 60) == (True, True)
    assert set(named(lines)[:2]) == {"queue-17", "queue-20"}
    assert len(named(lines)) >= 9
    assert "30 devices: 1 failed" in lines[1]
    assert lines[2].split() == ["device", "state", "in/s", "out/s", "drop/s", "dropped", "held"]
    assert "queue-17: failed: cannot bind" in [line.strip() for line in lines]
    # What was dropped before top began takes no line.
    assert not [line for line in lines if "queue-21: dropped" in line]
    for keys, first in (
        ("n", "queue-00"),
        ("\x1b[B", "queue-01"),
        ("G", "queue-21"),
        ("t", "queue-20"),
        ("t", "queue-00"),
    ):
        terminal.press(keys)
        program.until(lambda first=first: named(terminal.lines)[:1] == [first], f"{first} on top")
    terminal.press("?")
    program.until(lambda: "sort by messages in" in "\n".join(terminal.lines), "the keys")
    terminal.press("x")
    program.until(lambda: named(terminal.lines)[:1] == ["queue-00"], "the table")
    terminal.press("q")
    assert program.wait() == 0, program.report()
    assert program.errors == ""
    assert termios.tcgetattr(terminal.descriptor) == before


@pytest.mark.slow
def test_keys_show_topics_and_subscribers_and_what_is_kept_and_the_mesh_and_devices_again(run, terminal):
    prices = relay("prices", received=9, topics=100)
    prices["pumps"][0]["outlets"][0] |= {"last_values": {"kept": 7, "bytes": 99, "given": 0, "forgotten": {}}}
    env = environment(TERM="xterm", COLUMNS="80", LINES="15")
    with StubServer(lambda seconds: [prices]) as stub:
        rows = ({"topic": f"topic-{number:02}", "messages_per_s": number} for number in range(30))
        stub.overrides["/api/devices/prices/topics"] = topics_of(*rows)
        arguments = ["top", stub.url, "--topics"]
        program = run([*GEVENTRELAY, *arguments], stdin=terminal.descriptor, stdout=terminal.descriptor, env=env)
        screen = lambda: "\n".join(terminal.lines)  # noqa: E731
        program.until(lambda: "topic-29" in screen(), "the topics")
        lines = terminal.lines
        assert (len(lines) <= 15, max(map(len, lines)) <= 80) == (True, True)
        assert [line.split()[0] for line in lines if line.startswith("topic-")][:2] == ["topic-29", "topic-28"]
        assert "1 to 11 of 30" in lines[-1]
        terminal.press("G")
        program.until(lambda: "topic-00" in screen() and "topic-29" not in screen(), "the last topic")
        terminal.press("v")
        program.until(lambda: "no subscriber has lost anything" in screen(), "the subscribers")
        terminal.press("v")
        program.until(lambda: re.search(r"prices +last values +7 +99 +0", screen()), "what is kept")
        terminal.press("v")
        program.until(lambda: "no device has a backbone" in screen(), "the mesh")
        terminal.press("v")
        program.until(lambda: re.search(r"^prices +running", screen(), re.MULTILINE), "the devices")
        terminal.press("q")
        assert program.wait() == 0, program.report()
    assert program.errors == ""


@pytest.mark.slow
def test_q_ends_it_also_while_the_server_is_away(run, many, terminal):
    env = environment(TERM="xterm", COLUMNS="80", LINES="24")
    program = run([*GEVENTRELAY, "top", many.url], stdin=terminal.descriptor, stdout=terminal.descriptor, env=env)
    program.until(lambda: named(terminal.lines), "a table")
    many.stop()
    program.until(lambda: "trying again" in terminal.read(), "that the server has gone")
    terminal.press("q")
    assert program.wait() == 0, program.report()


def test_a_port_that_nobody_listens_at(run):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert complaint(run, str(port), "--once") == f"cannot read http://127.0.0.1:{port}: Connection refused"


def test_a_port_of_zeromq_is_asked_about(run, peers):
    port = peers.bind(zmq.PULL).endpoint.rpartition(":")[2]
    said = complaint(run, port, "--once")
    assert said in (
        f"cannot read http://127.0.0.1:{port}: Connection reset by peer (is this the address of --http?)",
        f"cannot read http://127.0.0.1:{port}: a ZeroMQ socket answers there; is this the address of --http?",
    )


def test_a_server_that_never_answers(run):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        line = complaint(run, url, "--once", "--timeout", "0.2")
        assert line == f"cannot read {url}: no answer within 0.2 s"


@pytest.mark.parametrize(
    ("status", "answer", "ending"),
    [
        (200, "<html>", "expected the API of geventrelay, got other JSON"),
        (200, {"hello": "world"}, "expected the API of geventrelay, got other JSON"),
        (200, {"version": 2, "server": {}, "devices": []}, "expected version 1 of the API, got 2"),
        (200, {"version": 1, "server": {}, "devices": [{}]},
         "expected the API of geventrelay, got devices without 'name'"),
        (404, {"no": "thing"}, "expected the API of geventrelay, got HTTP 404"),
        (421, {"error": "Host: expected ours"}, "HTTP 421: Host: expected ours"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_of_ours(run, stub, status, answer, ending):
    stub.overrides["/api/devices"] = (status, answer)
    assert complaint(run, stub.url, "--once") == f"{stub.url.rstrip('/')}: {ending}"


def test_something_that_does_not_speak_http(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        program = run([*GEVENTRELAY, "top", url])
        connection, _ = other.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")
            assert program.wait() == 1, program.report()
        assert program.errors.splitlines() == [f"cannot read {url}: what answers there does not speak HTTP"]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "127.0.0.1:none", "http://a b", "http://h/?q"])
def test_a_url_that_is_none(run, url):
    line = complaint(run, url, "--once", code=2)
    assert line == f"URL: expected http://HOST:PORT, got {url!r}"


def test_without_rich_it_says_what_to_install_and_json_works(run, stub, folder):
    # The current folder comes first on the path of `python -m`.
    (folder / "rich").mkdir()
    (folder / "rich" / "__init__.py").write_text("raise ImportError('not here')")
    assert "pip install rich" in complaint(run, stub.url, "--once")
    once(run, stub.url, "--once", "--json")
