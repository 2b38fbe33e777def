"""geventrelay last, as a user starts it."""

from __future__ import annotations

import json
import signal

import pytest
import zmq
from support.process import GEVENTRELAY

from geventrelay.testing import Peers

FORWARDER = ("forwarder", "--frontend", "0", "--backend", "0", "--last-value")
SHOWN = [" unknown  prices/a | 3", " unknown  prices/b | \\xff", " unknown  temperature 22"]


def publish(peers: Peers, server, *messages: list[bytes], key: str = "frontend") -> None:
    """Publish messages; they have passed when this returns."""
    publisher, reader = peers.publisher(server[key]), peers.subscriber(server["backend"], prefix=b"\0end")
    for parts in (*messages, [b"\0end"]):
        publisher.send(*parts)
    assert reader.recv()[0] == b"\0end"


@pytest.fixture
def kept(start, peers):
    """A forwarder that keeps a few last values."""
    server = start(*FORWARDER)
    publish(
        peers, server, [b"prices/a", b"1"], [b"temperature 21"], [b"prices/b", b"\xff"], [b"prices/a", b"3"],
        [b"temperature 22"],
    )  # fmt: skip
    return server


@pytest.fixture
def last(run):
    """``last(endpoint, ...)`` runs the command to its end; gives its lines and what it said."""

    def last(*arguments: str, code: int = 0, **options) -> tuple[list[str], str]:
        program = run([*GEVENTRELAY, "last", *arguments], **options)
        assert program.wait() == code, program.report()
        assert "Traceback" not in program.errors
        return program.output.splitlines(), program.errors

    return last


def test_the_last_value_of_each_topic_is_shown_and_then_it_ends(kept, last):
    lines, said = last(kept["backend"])
    assert [line[26:] for line in lines[:-1]] == [SHOWN[1], SHOWN[0], SHOWN[2]]
    assert lines[-1].endswith("\\x00end")
    assert said == ""


def test_of_a_prefix_alone_as_json_or_hexadecimal_and_no_more_than_asked_for(kept, last):
    (line,), _ = last(kept["backend"], "temp", "--format", "json")
    assert json.loads(line)["parts"] == ["temperature 22"]
    lines, said = last(kept["backend"], "prices/", "--format", "hex", "--count", "1", "--wait", "600")
    assert [line.split("  ")[1] for line in lines] == [f"{b'prices/b'.hex()} | ff"]
    assert said == ""


def test_where_there_is_none_it_says_so_and_ends_with_0(kept, last):
    lines, said = last(kept["backend"], "nothing\x1b", "--wait", "0.5")
    assert (lines, said) == (
        [],
        "no last value that begins with 'nothing\\x1b' at "
        f"{kept['backend']} within 0.5 s (does the device have --last-value?)\n",
    )


def test_the_topic_may_end_at_other_bytes(start, last, peers):
    server = start(*FORWARDER, "--topic-until", ":")
    publish(peers, server, *([b"a:%d" % number] for number in range(3)))
    lines, _ = last(server["backend"], "a", "--topic-until", ":")
    assert [line.split("  ")[1] for line in lines] == ["a:2"]


def test_messages_may_have_stamps(start, last, peers):
    server = start(*FORWARDER, "--replay", "10", "--replay-port", "0", "--stamp")
    publish(peers, server, *([b"news %d" % number] for number in range(3)))
    lines, _ = last(server["backend"], "news", "--stamp")
    assert [line.split("  ")[1].split(" | ")[0] for line in lines] == ["news 2"]
    (one,), _ = last(server["backend"], "news", "--stamp", "--format", "json")
    assert len(json.loads(one)["parts"]) == 2


def test_a_flood_of_known_topics_does_not_keep_it_from_its_end(run, peers):
    publisher = peers.bind(zmq.XPUB)
    program = run([*GEVENTRELAY, "last", publisher.endpoint, "--wait", "0.5"])
    assert publisher.recv() == [b"\1"]

    def ended():
        publisher.send(b"same", b"1")
        publisher.send(b"other", b"1")
        return not program.lives

    program.until(ended, "the end")
    assert program.wait() == 0
    assert [line.split("  ")[1] for line in program.output.splitlines()] == ["same | 1", "other | 1"]


def test_it_can_be_bound_for_a_device_that_connects(run, start, peers):
    program = run([*GEVENTRELAY, "last", "@tcp://127.0.0.1:*", "--count", "1", "--wait", "600"])
    program.until_logged("bound to tcp://127.0.0.1:")
    start("forwarder", "--frontend", "0", "--backend", ">" + program.errors.split()[2], "--last-value")
    program.signal(signal.SIGTERM)
    assert program.wait() == 0, program.report()


def test_with_no_publisher_there_it_ends_with_1_and_one_sentence(last):
    lines, said = last("tcp://127.0.0.1:1", "--wait", "0.2", code=1)
    assert (lines, said) == ([], "no publisher at tcp://127.0.0.1:1 within 0.2 s, or it does not let this program in\n")


def test_a_signal_ends_it_in_peace(run, peers):
    publisher = peers.bind(zmq.XPUB)
    program = run([*GEVENTRELAY, "last", publisher.endpoint, "--wait", "600"])
    assert publisher.recv() == [b"\1"]
    publisher.send(b"one")
    program.until_said("one")
    program.signal(signal.SIGINT)
    assert program.wait() == 0
    assert program.errors == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "usage: expected last ENDPOINT [PREFIX]"),
        (("nonsense://x",), "ENDPOINT: expected "),
        (("inproc://x",), "ENDPOINT: expected tcp:// or ipc:// (inproc is within one process)"),
        (("http://127.0.0.1:1",), "ENDPOINT: expected http://HOST:PORT with --device NAME"),
        (("http://127.0.0.1:1/api/devices/x/last", "--device", "x"), "ENDPOINT: expected http://HOST:PORT with"),
        (("1", "--device", "x"), "--device: expected an http:// address"),
        (("http://127.0.0.1:1", "--device", "x", "--wait", "2"), "--wait: expected an endpoint of ZeroMQ"),
        (("http://127.0.0.1:1", "--device", "x", "--topic-until", ":"), "--topic-until: expected an endpoint"),
        (("http://127.0.0.1:1", "--device", "x", "--curve-secret", "f"), "--curve-secret: expected an endpoint"),
        (("1", "--wait", "0"), "--wait: expected a number above 0 (seconds)"),
        (("1", "--wait", "soon"), "--wait: expected a number from 0 to 86400 (seconds)"),
        (("1", "--count", "0"), "--count: expected an integer"),
        (("1", "--direction", "sub"), "--direction: expected a command that has it (tap, record, replay)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_said_in_one_line(last, arguments, said):
    lines, errors = last(*arguments, code=2)
    assert lines == []
    assert errors.startswith(said)
    assert errors.count("\n") == 1
