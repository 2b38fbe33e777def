"""geventrelay tap, record and replay, as a user starts them."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import stat
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest
import zmq
from support.process import GEVENTRELAY, environment

from geventrelay.errors import RecordingError
from geventrelay.recording import Reader, Record, Writer
from geventrelay.recording.questions import RESERVED, is_question
from geventrelay.testing import eventually

SIDES = ("--frontend", "0", "--backend", "0")


def records_of(path: Path) -> list[Record]:
    with path.open("rb") as file:
        return list(Reader(file))


def so_far(path: Path) -> list[Record]:
    """What is in a recording that is being written, which may not even have a header yet."""
    try:
        return records_of(path)
    except (OSError, RecordingError):
        return []


def recording(path: Path, *records: Record, cut: int | None = None) -> Path:
    file = io.BytesIO()
    writer = Writer(file, {"device": None})
    for record in records:
        writer.write(record)
    path.write_bytes(file.getvalue()[:cut])
    return path


def numbered(count: int, gap_ns: int = 0) -> list[Record]:
    return [Record(10**18 + n * gap_ns, "frontend", (b"%d" % n, b"\x00\xff", b"")) for n in range(count)]


def call(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run ``geventrelay`` to its end."""
    done = subprocess.run(
        [*GEVENTRELAY, *map(str, arguments)],
        capture_output=True, text=True, timeout=30, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def tap(peers):
    """A tap that a test feeds."""
    return peers.bind(zmq.XPUB)


@pytest.fixture
def started(run, tap):
    """``started("tap", tap.endpoint)`` starts a command and returns when it has begun."""

    def start(*arguments, prefix=b"", **options):
        program = run([*GEVENTRELAY, *arguments], **options)
        assert subscription(tap) == b"\1" + prefix
        program.until(lambda: answered(tap) and has_begun(program), "the beginning")
        return program

    return start


def subscription(tap) -> bytes:
    """The next subscription, or its end, that is no question."""
    while is_question((frame := tap.recv()[0])[1:]):
        answer(tap, frame)
    return frame


def answered(tap) -> bool:
    """Answer what is asked now, as a device's tap does."""
    for (frame,) in tap.recv_now():
        answer(tap, frame)
    return True


def answer(tap, frame: bytes) -> None:
    assert is_question(frame[1:]), frame
    if frame[:1] == b"\1":
        tap.send(frame[1:])


def has_begun(program) -> bool:
    return re.search(r"^(watching|recording) ", program.errors, re.MULTILINE) is not None


def said_later(program) -> str:
    """What it has said on standard error since it has begun."""
    return re.sub(r"^(waiting for .*\n)?(watching|recording) .*\n", "", program.errors)


# tap


def test_a_line_for_each_message(started, tap):
    program = started("tap", tap.endpoint, "--count", "2")
    before = time.time()
    tap.send(b"frontend", b"hello world", b"", b'{"a": 1}')
    tap.send(b"backend", b"x" * 1000)
    assert program.wait() == 0, program.report()
    first, second = program.output.splitlines()
    assert first.endswith(' frontend  hello world |  | {"a": 1}')
    assert second.endswith(" backend  " + "x" * 200 + "... (1000 bytes)")
    when = time.mktime(time.strptime(first[:19], "%Y-%m-%d %H:%M:%S"))
    assert abs(when - before) < 20


def test_nothing_that_is_sent_can_steer_a_terminal(started, tap):
    program = started("tap", tap.endpoint, "--count", "1")
    tap.send(b"front\x1b]0;x\x07", b"\x1b[31m\r\n\x00\x9b2J", "caf\u00e9 \u202egnp.exe \u2028".encode(), b"\xff\xfe")
    assert program.wait() == 0, program.report()
    (line,) = program.output.split("\n")[:-1]
    assert line.endswith(r"front\x1b]0;x\x07  \x1b[31m\r\n\x00\x9b2J | café \u202egnp.exe \u2028 | \xff\xfe")
    assert line.isprintable()


def test_hex_and_json(started, tap):
    program = started("tap", tap.endpoint, "--count", "1", "--format", "hex")
    tap.send(b"sub", b"\x00a", b"", b"\xff" * 300)
    assert program.wait() == 0
    assert program.output.endswith(" sub  0061 |  | " + "ff" * 200 + "... (300 bytes)\n")
    assert subscription(tap) == b"\0"
    program = started("tap", tap.endpoint, "--count", "1", "--format", "json")
    tap.send(b"sub", b"\x1b", b"\xff" * 300)
    assert program.wait() == 0
    said = json.loads(program.output)
    assert (said["source"], said["parts"]) == ("sub", ["\x1b", {"hex": "ff" * 300}])


def test_direction_topic_and_sample(started, tap):
    program = started(
        "tap", tap.endpoint, "--direction", "front", "--topic", "t", "--sample", "2", "--count", "2", prefix=b"front"
    )
    for number in range(4):
        tap.send(b"frontend", b"t%d" % number)
        tap.send(b"front", b"u")
        tap.send(b"front", b"t%d" % number)
    assert program.wait() == 0, program.report()
    assert [line.split("  ")[1] for line in program.output.splitlines()] == ["t0", "t2"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(started, tap, number):
    program = started("tap", tap.endpoint)
    tap.send(b"frontend", b"hello")
    program.until_said("hello")
    program.signal(number)
    assert program.wait() == 0
    assert said_later(program) == ""


def test_a_flood_does_not_keep_a_signal_from_ending_it(started, tap, folder):
    program = started("tap", tap.endpoint, stdout=os.open(os.devnull, os.O_WRONLY))
    tap.socket.set(zmq.SNDHWM, 0)
    for _ in range(20000):
        tap.send(b"frontend", b"hello")
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    assert said_later(program) == ""


def test_whoever_reads_its_output_may_leave(started, tap):
    read, write = os.pipe()
    program = started("tap", tap.endpoint, stdout=write)
    os.close(write)
    tap.send(b"frontend", b"hello")
    assert b"hello" in os.read(read, 1000)
    os.close(read)
    tap.send(b"frontend", b"hello")
    assert program.wait() == 0
    assert said_later(program) == ""


def test_it_ends_after_seconds(started, tap):
    assert started("tap", tap.endpoint, "--seconds", "1").wait() == 0


def test_with_no_tap_there_it_ends_with_1_and_one_line():
    done = call("tap", "tcp://127.0.0.1:1", "--seconds", "0.1", code=1)
    assert (done.stdout, done.stderr) == ("", "nothing watched: no tap or publisher at tcp://127.0.0.1:1\n")


def test_it_says_that_it_waits(run):
    program = run([*GEVENTRELAY, "tap", "tcp://127.0.0.1:1"])
    program.until_logged(
        "waiting for tcp://127.0.0.1:1 (a tap or a publisher; for the port of --http, give http://HOST:PORT)\n"
    )
    program.signal(signal.SIGTERM)
    assert program.wait() == 1
    assert said_later(program).endswith("nothing watched: no tap or publisher at tcp://127.0.0.1:1\n")


def test_it_can_be_bound_for_a_tap_that_connects(start, run, peers):
    program = run([*GEVENTRELAY, "tap", "@tcp://127.0.0.1:*", "--count", "1"])
    program.until_logged("bound to tcp://127.0.0.1:")
    server = start("streamer", *SIDES, "--tap", ">" + program.errors.split()[2])
    program.until_logged("watching @tcp://127.0.0.1:*\n")
    sink = peers.connect(zmq.PULL, server["backend"])
    peers.connect(zmq.PUSH, server["frontend"]).send(b"hello")
    assert sink.recv() == [b"hello"]
    assert program.wait() == 0
    assert " frontend  hello\n" in program.output


@pytest.mark.parametrize("kind", [zmq.PUB, zmq.XPUB])
def test_a_publisher_that_is_no_tap_is_watched_too(run, peers, kind):
    publisher = peers.bind(kind)
    arguments = ["--topic", "news", "--count", "2", "--format", "json"]
    program = run([*GEVENTRELAY, "tap", publisher.endpoint, *arguments])
    program.until_logged(f"watching {publisher.endpoint}, connected to a publisher that is no tap\n")

    def shown():
        publisher.send(b"other")
        publisher.send(b"news", b"\xff")
        return not program.lives

    program.until(shown, "two messages")
    assert program.wait() == 0
    for line in program.output.splitlines():
        message = json.loads(line)
        assert (message["source"], message["parts"]) == ("unknown", ["news", {"hex": "ff"}])


def test_what_a_publisher_sends_before_it_is_known_is_shown(run, peers):
    publisher = peers.bind(zmq.XPUB)
    program = run([*GEVENTRELAY, "tap", publisher.endpoint, "--count", "2"])
    assert publisher.recv() == [b"\1"]
    publisher.send(b"early", b"\1")
    publisher.send(b"", b"")
    assert program.wait() == 0, program.report()
    assert [line.split("  ", 1)[1] for line in program.output.splitlines()] == [r"early | \x01", " | "]


def test_a_publisher_has_no_directions(run, peers):
    publisher = peers.bind(zmq.PUB)
    program = run([*GEVENTRELAY, "tap", publisher.endpoint, "--direction", "backend"])
    assert program.wait() == 1
    assert program.errors.endswith(f"{publisher.endpoint} is no tap: its messages have no direction\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tap",), "usage: expected tap ENDPOINT"),
        (("tap", "nonsense://x"), "ENDPOINT: expected "),
        (("tap", "inproc://x"), "ENDPOINT: expected tcp:// or ipc:// (inproc is within one process)"),
        (("tap", "http://"), "ENDPOINT: expected http://HOST:PORT"),
        (("tap", "http://127.0.0.1:1"), "ENDPOINT: expected http://HOST:PORT with --device NAME"),
        (("tap", "http://127.0.0.1:x", "--device", "a"), "ENDPOINT: expected http://"),
        (("tap", "https://127.0.0.1:1/api/devices/x/tap"), "ENDPOINT: expected http://"),
        (("tap", "1", "--device", "x"), "--device: expected an http:// address"),
        (("tap", "1", "--format", "xml"), "--format: expected one of text, hex, json"),
        (("tap", "1", "--sample", "0.5"), "--sample: expected an integer"),
        (("tap", "1", "--count", "0"), "--count: expected an integer"),
        (("tap", "1", "--seconds", "soon"), "--seconds: expected a number from 0 to 86400 (seconds)"),
        (("tap", "1", "--append"), "--append: expected a command that has it (record)"),
        (("tap", "http://127.0.0.1:1", "--device", "x", "--token-file", "/nowhere"), "--token-file: expected a file"),
        (("record", "x"), "usage: expected record FILE --from=ENDPOINT"),
        (("replay", "x"), "usage: expected replay FILE --to=ENDPOINT"),
        (("replay", "x", "--to", "x"), "--to: expected "),
        (("replay", "x", "--to", "@inproc://x"), "--to: expected tcp:// or ipc://"),
        (("replay", "x", "--to", "1", "--speed", "0"), "--speed: expected a number above 0, or max"),
        (("replay", "x", "--to", "1", "--speed", "nan"), "--speed: expected a number above 0, or max"),
        (("replay", "x", "--to", "1", "--type", "ROUTER"), "--type: expected one of PUB, PUSH, DEALER, PAIR"),
        (("replay", "x", "--to", "1", "--skip-parts", "-1"), "--skip-parts: expected an integer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_said_in_one_line(arguments, said):
    done = call(*arguments, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("pattern", ["streamer", "relay"])
def test_a_device_is_watched_by_its_tap(start, run, peers, pattern):
    if pattern == "relay":
        server = start("--sub-port", "0", "--push-port", "0", "--tap", "0")
        source, sink = peers.publisher(server["sub"]), peers.connect(zmq.PULL, server["push"])
    else:
        server = start("streamer", *SIDES, "--tap", "0")
        source, sink = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    program = run([*GEVENTRELAY, "tap", server["tap"]])

    def shown():
        source.send(b"hello", b"you")
        return "hello | you" in program.output

    program.until(shown, "a message")
    assert {"relay": " sub  ", "streamer": " frontend  "}[pattern] in program.output
    program.signal(signal.SIGINT)
    assert program.wait() == 0
    sink.recv_now()
    server.stop()


def test_a_device_is_watched_and_recorded_over_http(start, run, peers, folder):
    token = folder / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    server = start("streamer", *SIDES, "--name", "tasks", "--http", "127.0.0.1:0", "--http-token-file", str(token))
    source, sink = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    http = json.loads(server.ready_file.read_text())["http"]
    options = ["--device", "tasks", "--token-file", token]
    tap = run([*GEVENTRELAY, "tap", http, *options, "--format", "hex"])
    path = folder / "some.rec"
    recorder = run([*GEVENTRELAY, "record", path, "--from", http, *options])

    def seen():
        source.send(b"hello", b"\x00\xff")
        return " frontend  68656c6c6f | 00ff\n" in tap.output and so_far(path)

    eventually(seen, lambda: tap.report() + recorder.report(), 20)
    assert records_of(path)[0].parts == (b"hello", b"\x00\xff")
    with path.open("rb") as file:
        assert Reader(file).metadata["device"] == "tasks"
    done = call("tap", http, "--device", "tasks", code=1)
    assert done.stderr.startswith(f"cannot read {http.removeprefix('http://')}: Authorization: expected Bearer")
    assert done.stderr.endswith(" (give it with --token-file)\n")
    (folder / "other").write_text("another\n")
    done = call("tap", http, "--device", "tasks", "--token-file", folder / "other", code=1)
    assert done.stderr.endswith(" (that of --token-file is another one)\n")
    sink.recv_now()
    server.stop()
    assert (tap.wait(), recorder.wait()) == (0, 0), tap.report() + recorder.report()
    assert recorder.errors.startswith(f"recording {http}\nrecorded messages=")


# record


def test_what_was_recorded_is_what_was_sent(started, tap, folder):
    path = folder / "some.rec"
    program = started("record", path, "--from", tap.endpoint)
    sent = [[b"frontend", b"%d" % n, b"", b"\x00\xff" * n] for n in range(200)]
    before = time.time_ns()
    for parts in sent:
        tap.send(*parts)
    program.until(lambda: len(so_far(path)) == len(sent), "everything in the file")
    program.signal(signal.SIGINT)
    assert program.wait() == 0, program.report()
    nbytes = sum(len(part) for parts in sent for part in parts[1:])
    assert said_later(program) == f"recorded messages=200 bytes={nbytes} file={path}\n"
    records = records_of(path)
    assert [[one.source.encode(), *one.parts] for one in records] == sent
    times = [one.time_ns for one in records]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.time_ns()
    with path.open("rb") as file:
        metadata = Reader(file).metadata
    assert (metadata["device"], metadata["from"]) == (None, tap.endpoint)
    assert abs(metadata["started"] - before / 1e9) < 20


def test_a_recorder_that_is_killed_leaves_what_it_had_and_can_be_gone_on_with(started, tap, folder):
    path = folder / "some.rec"
    program = started("record", path, "--from", tap.endpoint)
    for number in range(50):
        tap.send(b"frontend", b"%d" % number)
    program.until(lambda: len(so_far(path)) == 50, "everything in the file")
    program.signal(signal.SIGKILL)
    program.wait()
    assert [one.parts for one in records_of(path)] == [(b"%d" % number,) for number in range(50)]
    # As if it had been killed in the middle of a write.
    with path.open("ab") as file:
        file.write(b"half a record")
    assert subscription(tap) == b"\0"
    program = started("record", path, "--from", tap.endpoint, "--append", "--count", "1")
    tap.send(b"frontend", b"after")
    assert program.wait() == 0, program.report()
    assert "truncated at byte" in program.errors
    assert "that piece is removed" in program.errors
    assert [one.parts for one in records_of(path)] == [(b"%d" % number,) for number in range(50)] + [(b"after",)]


@pytest.mark.slow
def test_a_recorder_that_is_killed_in_a_flood_leaves_whole_records(started, tap, folder):
    path = folder / "some.rec"
    program = started("record", path, "--from", tap.endpoint)
    number = 0
    while not path.exists() or path.stat().st_size < 2_000_000:
        tap.send(b"frontend", b"%d" % number, b"x" * 1000)
        number += 1
    program.signal(signal.SIGKILL)
    program.wait()
    records = records_of(path)
    assert len(records) > 1000
    assert [int(one.parts[0]) for one in records[:1000]] == list(range(1000))


def test_count_seconds_direction_and_topic(started, tap, folder):
    program = started(
        "record", folder / "a", "--from", tap.endpoint, "--direction", "backend", "--topic", "t", "--count", "2",
        prefix=b"backend",
    )  # fmt: skip
    for parts in ([b"frontend", b"t"], [b"backend", b"u"], [b"backend", b"t1"], [b"backend", b"t2"]):
        tap.send(*parts)
    assert program.wait() == 0, program.report()
    assert [one.parts for one in records_of(folder / "a")] == [(b"t1",), (b"t2",)]
    assert subscription(tap) == b"\0backend"
    program = started("record", folder / "b", "--from", tap.endpoint, "--seconds", "1")
    assert program.wait() == 0, program.report()
    assert records_of(folder / "b") == []


def test_the_file_appears_once_every_message_is_recorded(run, tap, folder):
    path = folder / "some.rec"
    program = run([*GEVENTRELAY, "record", path, "--from", tap.endpoint, "--count", "1"])
    assert subscription(tap) == b"\1"
    (question,) = tap.recv()
    assert not path.exists()
    assert not has_begun(program)
    answer(tap, question)
    program.until(path.exists, "the file")
    tap.send(b"frontend", b"first")
    assert program.wait() == 0, program.report()
    assert [one.parts for one in records_of(path)] == [(b"first",)]
    assert said_later(program).startswith("recorded messages=1 ")


def test_a_question_is_asked_again(run, tap, folder):
    program = run([*GEVENTRELAY, "record", folder / "some", "--from", tap.endpoint])
    assert subscription(tap) == b"\1"
    asked = [tap.recv()[0] for _ in range(3)]
    assert asked[1] == b"\0" + asked[0][1:]
    assert asked[2] != asked[0]
    answer(tap, asked[2])
    program.until_logged(f"recording {tap.endpoint}\n")


def test_answers_to_others_are_not_recorded(started, tap, folder):
    program = started("record", folder / "some", "--from", tap.endpoint, "--count", "1")
    tap.send(RESERVED + b"other")
    tap.send(b"frontend", b"x")
    assert program.wait() == 0, program.report()
    assert [one.parts for one in records_of(folder / "some")] == [(b"x",)]


def test_each_message_after_the_file_appeared_is_recorded(start, run, peers, folder):
    path = folder / "some.rec"
    server = start("streamer", *SIDES, "--tap", "0")
    source, sink = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])
    program = run([*GEVENTRELAY, "record", path, "--from", server["tap"], "--count", "100"])
    program.until(path.exists, "the file")
    for number in range(100):
        source.send(b"%d" % number)
    assert program.wait() == 0, program.report()
    assert [int(one.parts[0]) for one in records_of(path)] == list(range(100))
    sink.recv_all(100)


@pytest.mark.parametrize("how", ["seconds", "signal"])
def test_one_that_ends_before_it_has_begun_has_its_header_alone(run, folder, how):
    path, where = folder / "some.rec", "tcp://127.0.0.1:1"
    program = run([*GEVENTRELAY, "record", path, "--from", where, *(["--seconds", "0.2"] if how == "seconds" else [])])
    if how == "signal":
        program.until_logged("waiting for ")
        assert not path.exists()
        program.signal(signal.SIGTERM)
    assert program.wait() == 1
    assert program.errors.splitlines()[-1].startswith(f"nothing recorded: no tap or publisher at {where}; ")
    assert records_of(path) == []


def test_a_recording_is_for_its_owner_alone(started, tap, folder):
    started("record", folder / "some", "--from", tap.endpoint)
    assert stat.S_IMODE((folder / "some").stat().st_mode) == 0o600


def test_a_file_that_is_there_is_not_touched(folder):
    path = recording(folder / "some.rec", *numbered(1))
    content = path.read_bytes()
    for arguments in ((), ("--count", "1")):
        done = call("record", path, "--from", "tcp://127.0.0.1:1", *arguments, code=2)
        assert done.stderr == f"FILE: expected a file that is not there yet, or --append, got '{path}'\n"
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"no recording", b"\x89GREC\r\n\x1a"])
def test_nothing_is_appended_to_what_is_no_recording(folder, content):
    path = folder / "some"
    path.write_bytes(content)
    done = call("record", path, "--from", "tcp://127.0.0.1:1", "--append", code=2)
    assert done.stderr.startswith("FILE: expected a recording to append to (this ")
    assert path.read_bytes() == content


def test_nothing_is_appended_behind_a_corrupt_record(folder):
    path = recording(folder / "some", *numbered(3))
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    done = call("record", path, "--from", "tcp://127.0.0.1:1", "--append", code=2)
    assert "corrupt at byte" in done.stderr
    assert path.read_bytes() == content


def test_append_makes_a_file_that_is_not_there(folder):
    call("record", folder / "new", "--from", "tcp://127.0.0.1:1", "--append", "--seconds", "0", code=1)
    assert records_of(folder / "new") == []


def test_two_recorders_cannot_write_one_file(started, tap, folder):
    path = folder / "some.rec"
    program = started("record", path, "--from", tap.endpoint)
    program.until(lambda: path.exists() and path.stat().st_size, "the file")
    done = call("record", path, "--from", "tcp://127.0.0.1:1", "--append", code=1)
    assert done.stderr == f"cannot write {path}: another process is recording there\n"


def test_a_file_that_cannot_be_written_is_told(folder):
    done = call("record", folder / "no" / "such", "--from", "tcp://127.0.0.1:1", code=1)
    assert done.stderr == f"cannot write {folder}/no/such: No such file or directory\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told():
    done = call("record", "/dev/full", "--from", "tcp://127.0.0.1:1", "--append", "--seconds", "0", code=1)
    assert done.stderr == "cannot write /dev/full: No space left on device\n"


def test_what_is_no_tap_is_not_recorded(started, tap, folder):
    program = started("record", folder / "some", "--from", tap.endpoint)
    tap.send(b"frontend", b"x")
    tap.send(b"x" * 256, b"y")
    assert program.wait() == 1
    assert said_later(program) == "source: expected at most 255 bytes, got 256\n"
    assert len(records_of(folder / "some")) == 1


def test_a_server_that_is_not_there_leaves_no_file(folder):
    done = call("record", folder / "some", "--from", "http://127.0.0.1:1/api/devices/x/tap", code=1)
    assert done.stderr.startswith("cannot read 127.0.0.1:1: ")
    assert not (folder / "some").exists()


# replay


@pytest.mark.parametrize(
    ("kind", "other"), [("PUSH", zmq.PULL), ("PUB", zmq.SUB), ("DEALER", zmq.DEALER), ("PAIR", zmq.PAIR)]
)
def test_what_is_replayed_is_what_was_recorded(run, peers, folder, kind, other):
    path = recording(folder / "some", *numbered(500))
    socket = peers(other)
    command = ["replay", path, "--to", socket.endpoint, "--type", kind.lower(), "--speed", "max"]
    program = run([*GEVENTRELAY, *command])
    assert socket.recv_all(500) == [list(one.parts) for one in numbered(500)]
    assert program.wait() == 0, program.report()
    assert program.output.startswith("replayed sent=500 unwanted=0 too_short=0 not_sent=0 seconds=")
    assert "replay: 10 %\n" in program.errors
    assert program.errors.endswith("replay: 100 %\n")


def test_a_recording_is_replayed_from_a_pipe(run, peers, folder):
    recording(folder / "some", *numbered(300))
    os.mkfifo(folder / "pipe")
    socket = peers("PULL")
    command = ["replay", folder / "pipe", "--to", socket.endpoint, "--type", "PUSH", "--speed", "max"]
    program = run([*GEVENTRELAY, *command])
    run(["cp", folder / "some", folder / "pipe"])
    assert socket.recv_all(300) == [list(one.parts) for one in numbered(300)]
    assert program.wait() == 0, program.report()
    assert program.output.startswith("replayed sent=300 unwanted=0 too_short=0 not_sent=0 ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_a_pipe_is_waited_for(run, peers, folder, number):
    records = recording(folder / "some", *numbered(1)).read_bytes()
    read, write = os.pipe()
    os.write(write, records)
    socket = peers("PULL")
    os.set_inheritable(read, True)
    command = ["replay", f"/proc/{os.getpid()}/fd/{read}", "--to", socket.endpoint, "--type", "PUSH"]
    program = run([*GEVENTRELAY, *command])
    socket.recv()
    program.signal(number)
    assert program.wait() == 1, program.report()
    assert program.errors.endswith("ended early: by a signal\n")
    os.close(read)
    os.close(write)


def test_recorded_and_replayed_through_real_devices(start, run, peers, folder):
    path = folder / "some.rec"
    server = start("streamer", *SIDES, "--tap", "0", "--control", "0")
    program = run([*GEVENTRELAY, "record", path, "--from", server["tap"]])
    source, sink = peers.connect(zmq.PUSH, server["frontend"]), peers.connect(zmq.PULL, server["backend"])

    def recorded():
        source.send(b"warm-up")
        return so_far(path)

    program.until(recorded, "the tap")
    sent = [[b"%d" % n, b"\x00", b"x" * n] for n in range(300)]
    for parts in sent:
        source.send(*parts)
    program.until(lambda: records_of(path)[-1].parts[0] == b"299", "everything in the file")
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    while sink.recv() != sent[-1]:
        pass

    program = run(
        [*GEVENTRELAY, "replay", path, "--to", server["frontend"], "--type", "PUSH", "--speed", "max", "--topic", ""]
    )
    got = []
    while not got or got[-1] != sent[-1]:
        got.append(sink.recv())
    assert [parts for parts in got if parts != [b"warm-up"]] == sent
    assert program.wait() == 0, program.report()


def test_gaps_are_kept_and_divided_by_speed(run, peers, folder):
    path = recording(folder / "some", *numbered(5, gap_ns=10**9))
    socket = peers("PULL")
    program = run([*GEVENTRELAY, "replay", path, "--to", socket.endpoint, "--type", "PUSH", "--speed", "10"])
    socket.recv_all(5)
    assert program.wait() == 0, program.report()
    # By its own clock: how late this process is awake says nothing.
    assert 0.4 <= float(program.output.rpartition("seconds=")[2]) < 4


def test_a_clock_that_was_set_back_is_no_gap(run, peers, folder):
    path = recording(folder / "some", *(Record(time_ns, "sub", (b"x",)) for time_ns in (10**18, 0, 10**6)))
    socket = peers("PULL")
    program = run([*GEVENTRELAY, "replay", path, "--to", socket.endpoint, "--type", "PUSH"])
    assert socket.recv_all(3) == [[b"x"]] * 3
    assert program.wait() == 0


def test_a_publisher_waits_for_a_subscription_and_counts_what_nobody_wants(run, peers, folder):
    path = recording(folder / "some", *(Record(n, "sub", (b"%d" % n,)) for n in range(100)))
    program = run([*GEVENTRELAY, "replay", path, "--to", "@tcp://127.0.0.1:*", "--speed", "max"])
    program.until_logged("waiting for a subscription")
    where = program.errors.split("bound to ")[1].split()[0]
    subscriber = peers.subscriber(where, prefix=b"1")
    assert subscriber.recv_all(11) == [[b"1"], *([b"%d" % n] for n in range(10, 20))]
    assert program.wait() == 0, program.report()
    assert program.output.startswith("replayed sent=11 unwanted=89 too_short=0 not_sent=0 ")


def test_slow_subscribers_are_waited_for(run, peers, folder):
    path = recording(folder / "some", *numbered(5000))
    subscriber = peers("SUB", rcvhwm=10)
    program = run([*GEVENTRELAY, "replay", path, "--to", subscriber.endpoint, "--speed", "max"])
    got = subscriber.recv_all(5000)
    assert got == [list(one.parts) for one in numbered(5000)]
    assert program.wait() == 0, program.report()


@pytest.mark.parametrize("kind", ["PUB", "PUSH", "DEALER"])
def test_with_nobody_there_nothing_is_lost_in_silence(folder, kind):
    path = recording(folder / "some", *numbered(7))
    done = call("replay", path, "--to", "tcp://127.0.0.1:1", "--type", kind, "--timeout", "0.2", code=1)
    assert done.stdout.startswith("replayed sent=0 unwanted=0 too_short=0 not_sent=7 ")
    assert "ended early: no receiver took messages in time\n" in done.stderr


def test_a_signal_ends_a_replay_and_what_was_not_sent_is_counted(run, peers, folder):
    path = recording(folder / "some", *numbered(10, gap_ns=10**12))
    socket = peers("PULL")
    program = run([*GEVENTRELAY, "replay", path, "--to", socket.endpoint, "--type", "PUSH"])
    socket.recv()
    program.signal(signal.SIGINT)
    assert program.wait() == 1
    assert program.output.startswith("replayed sent=1 unwanted=0 too_short=0 not_sent=9 "), program.report()
    assert program.errors.endswith("ended early: by a signal\n")


def test_a_choice_of_what_to_replay_and_parts_to_leave_out(run, peers, folder):
    records = [
        Record(1, "frontend", (b"id", b"", b"question")), Record(2, "backend", (b"id", b"", b"answer")),
        Record(3, "frontend", (b"id",)),
    ]  # fmt: skip
    path = recording(folder / "some", *records)
    socket = peers("PULL")
    program = run(
        [*GEVENTRELAY, "replay", path, "--to", socket.endpoint, "--type", "PUSH", "--direction",
         "frontend", "--skip-parts", "1"]
    )  # fmt: skip
    assert socket.recv() == [b"", b"question"]
    assert program.wait() == 0, program.report()
    assert program.output.startswith("replayed sent=1 unwanted=0 too_short=1 not_sent=0 ")


def test_a_truncated_recording_is_replayed_as_far_as_it_is_whole(run, peers, folder):
    path = recording(folder / "some", *numbered(10), cut=-1)
    socket = peers("PULL")
    program = run([*GEVENTRELAY, "replay", path, "--to", socket.endpoint, "--type", "PUSH", "--speed", "max"])
    assert [int(parts[0]) for parts in socket.recv_all(9)] == list(range(9))
    assert program.wait() == 0, program.report()
    assert program.output.startswith("replayed sent=9 ")
    assert f"{path}: truncated at byte" in program.errors


def test_a_corrupt_recording_is_replayed_up_to_there_and_ends_with_1(run, peers, folder):
    path = recording(folder / "some", *numbered(10))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    socket = peers("PULL")
    program = run([*GEVENTRELAY, "replay", path, "--to", socket.endpoint, "--type", "PUSH"])
    assert [int(parts[0]) for parts in socket.recv_all(9)] == list(range(9))
    assert program.wait() == 1
    assert f"{path}: corrupt at byte" in program.errors


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read {}: No such file or directory"), (b"x", "cannot replay {}: this is not a recording")],
)
def test_what_cannot_be_replayed_is_told(folder, content, said):
    path = folder / "some"
    if content is not None:
        path.write_bytes(content)
    done = call("replay", path, "--to", "tcp://127.0.0.1:1", code=1)
    assert done.stderr.startswith(said.format(path))
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_gets_a_progress_bar(peers, folder):
    pytest.importorskip("tqdm")
    path = recording(folder / "some", *numbered(10))
    socket = peers("PULL")
    ours, theirs = os.openpty()
    # Lines and columns: a bar of no width is none.
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = ["replay", str(path), "--to", socket.endpoint, "--type", "PUSH", "--speed", "max"]
    with subprocess.Popen(
        [*GEVENTRELAY, *command], stdout=subprocess.PIPE, stderr=theirs, env=environment()
    ) as process:
        os.close(theirs)
        for _ in range(10):
            socket.recv()
        assert process.wait(20) == 0
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            # So Linux tells that the other end was closed.
            pass
        os.close(ours)
        assert b"replay: 100%" in shown
        assert process.stdout.read().startswith(b"replayed sent=10 ")
