"""Commands that read a server, where another program answers that means harm: one line says so, and they end with 1."""

from __future__ import annotations

import json
import signal

import pytest
from support.hostile_server import CHUNKED, HEAD, dripping, flooding, hostile_server
from support.process import GEVENTRELAY

JSON, LINES = HEAD % b"application/json" + b"\r\n", HEAD % b"application/x-ndjson" + b"\r\n"
STREAM = HEAD % b"application/x-ndjson" + CHUNKED
API = "expected the API of geventrelay, got "


def message(**changes: object) -> bytes:
    return json.dumps({"time": 1.0, "source": "frontend", "parts": ["a"], **changes}).encode() + b"\n"


def arguments(command: str, port: int) -> list[str]:
    url = f"http://127.0.0.1:{port}"
    watched = f"{url}/api/devices/a/tap"
    return {
        "top": ["top", url, "--once"],
        "tap": ["tap", watched],
        "last": ["last", f"{url}/api/devices/a/last"],
        "record": ["record", "some", "--from", watched],
        "trace": ["trace", "a", url, "--seconds", "1"],
    }[command]


@pytest.fixture
def said(run):
    """``said("top", pieces)``: what the command prints on standard error, in one line, when it ends with 1."""

    def said(command: str, pieces) -> str:
        with hostile_server(pieces) as port:
            program = run([*GEVENTRELAY, *arguments(command, port)])
            assert program.wait() == 1, program.report()
        *before, line = program.errors.splitlines()
        assert before in ([], [f"watching http://127.0.0.1:{port}/api/devices/a/tap"]) or command == "record"
        assert "Traceback" not in program.errors
        return line.replace(str(port), "PORT")

    return said


@pytest.mark.parametrize("command", ["top", "tap", "last", "record", "trace"])
def test_an_answer_without_an_end_is_none_of_the_api(said, command):
    line = said(command, lambda: flooding(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"))
    assert line.endswith(f"PORT: {API}a head of more than 65536 bytes") or "does not speak HTTP" in line
    line = said(command, lambda: flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert line.endswith(f"PORT: {API}a head of more than 65536 bytes")


@pytest.mark.parametrize(
    ("body", "got"),
    [
        (b'{"time": NaN, "source": "a", "parts": ["a"]}\n', '{"time": NaN'),
        (message(time=1e300), '{"time": 1e+300'),
        (message(time="soon"), '{"time": "soon"'),
        (message(parts="text"), '{"time": 1.0'),
        (message(parts={"a": 1}), '{"time": 1.0'),
        (message(parts=[["a"]]), '{"time": 1.0'),
        (message(source="a" * 256), '{"time": 1.0'),
        (b"[1]\n", "[1]"),
        (b"[" * 100_000 + b"\n", "[[["),
        (b"9" * 100_000 + b"\n", "999"),
        (b"\x1b]0;owned\x07\xe2\x80\xae\n", r"\x1b]0;owned\x07\u202e"),
        (b"a line", "a line without an end"),
    ],
)
@pytest.mark.parametrize("command", ["tap", "last", "record"])
def test_a_line_that_is_no_message_is_shown_in_part_and_ends_it(said, command, body, got):
    assert f"127.0.0.1:PORT: {API}{got}" in said(command, lambda: [LINES + b"\n" + body])


def test_an_error_in_the_middle_ends_it_and_steers_no_terminal(said):
    error = json.dumps({"error": "\x1b]0;owned\x07" + "x" * 1000}).encode() + b"\n"
    line = said("last", lambda: [LINES + message() + error])
    assert line.startswith("127.0.0.1:PORT: \\x1b]0;owned\\x07xxx")
    assert len(line) < 200


def test_a_line_that_is_longer_than_any_message_is_not_kept(said):
    assert said("tap", lambda: flooding(LINES + b"\n", b"x")).endswith(f"PORT: {API}a line without an end")


@pytest.mark.parametrize("end", [b"", b"5", b"zz\r\n", b"64\r\n{", b"-5\r\nabc\r\n"])
def test_a_stream_that_breaks_off_is_no_end(said, end):
    line = said("tap", lambda: [STREAM + b"1\r\n\n\r\n" + end])
    assert line == "lost 127.0.0.1:PORT: the answer broke off" or line.startswith(f"127.0.0.1:PORT: {API}")


@pytest.mark.parametrize("piece", [b"\n", b"1\r\n\n\r\n", b'{"lost": 1}\n'])
def test_a_flood_of_lines_that_are_no_messages_keeps_neither_a_limit_nor_a_signal_waiting(run, piece):
    start = STREAM if piece.endswith(b"\r\n") else LINES
    with hostile_server(lambda: flooding(start, piece)) as port:
        assert run([*GEVENTRELAY, *arguments("tap", port), "--seconds", "0.5"]).wait() == 0
        program = run([*GEVENTRELAY, *arguments("tap", port)])
        program.until_logged("watching ")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0, program.report()[:2000]


SILENCES = {
    "nothing": lambda: dripping(b"", b""),
    "the status line a byte at a time": lambda: dripping(b"HTTP/1.1 200 ", b"O"),
    "a head and nothing": lambda: dripping(LINES, b""),
}


@pytest.mark.parametrize("name", SILENCES)
@pytest.mark.parametrize("command", ["tap", "record"])
def test_a_server_that_says_nothing_keeps_neither_a_limit_nor_a_signal_waiting(run, folder, command, name):
    with hostile_server(SILENCES[name]) as port:
        words = [*GEVENTRELAY, *arguments(command, port)]
        limited = run([*words, "--seconds", "0.2"])
        assert limited.wait() == 1, limited.report()
        (folder / "some").unlink(missing_ok=True)
        signalled = run(words)
        signalled.until_logged(f"waiting for http://127.0.0.1:{port}/")
        signalled.signal(signal.SIGTERM)
        assert signalled.wait() == 1, signalled.report()
        for program in (limited, signalled):
            assert program.errors.splitlines()[-1].startswith("nothing ")


@pytest.mark.parametrize("where", ["http://a..b", "http://" + "a" * 70])
def test_a_name_that_is_none(run, where):
    for words in (["tap", f"{where}/api/devices/a/tap"], ["top", where]):
        program = run([*GEVENTRELAY, *words])
        assert program.wait() == 1, program.report()
        (line,) = program.errors.splitlines()
        assert line.endswith(": no such host")


def test_a_path_of_any_characters_can_be_asked_for(run):
    with hostile_server(lambda: [JSON + b"{}"]) as port:
        program = run([*GEVENTRELAY, "tap", f"http://127.0.0.1:{port}/ü b"])
        assert program.wait() == 1
        assert program.errors == f"127.0.0.1:{port}: {API}application/json\n"
