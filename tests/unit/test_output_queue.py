"""What a stalled reader of a standard stream meets: lines wait, then are dropped and counted, and nothing blocks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.server.output_queue import Backlog, QueuedStream, takes_at_once
from geventrelay.testing import eventually

# A piece of text by its size, or None where the writer takes one.
STEPS = st.lists(st.one_of(st.integers(1, 5), st.sampled_from([True, False])), max_size=200)
LIMIT_S = 10.0


def drain(backlog: Backlog) -> list[bytes]:
    found = []
    while text := backlog.take():
        backlog.written()
        found.append(text)
    return found


def test_what_waits_comes_in_order_and_each_gap_has_its_count_at_its_place():
    backlog = Backlog(4, b"%d lost\n".__mod__)
    for text in (b"a\n", b"b\n", b"c\nd\n", b"e\n"):
        backlog.put(text)
    assert not backlog.idle
    assert drain(backlog) == [b"a\n", b"b\n", b"3 lost\n"]
    backlog.put(b"f\n")
    assert drain(backlog) == [b"f\n"]
    assert backlog.idle
    assert backlog.dropped == 3


def test_a_piece_that_is_longer_than_the_limit_waits_if_nothing_else_does():
    backlog = Backlog(4, b"%d lost\n".__mod__)
    backlog.put(b"a long line\n")
    assert drain(backlog) == [b"a long line\n"]


def test_while_writing_fails_no_notice_is_tried_and_the_first_success_brings_it():
    backlog = Backlog(100, b"%d lost\n".__mod__)
    for _ in range(2):
        backlog.put(b"a\n")
        assert backlog.take() == b"a\n"
        backlog.failed()
        assert backlog.take() == b""
        assert backlog.idle
    backlog.put(b"b\n")
    assert drain(backlog) == [b"b\n", b"2 lost\n"]


def test_a_notice_that_cannot_be_written_is_no_dropped_line_and_comes_later():
    backlog = Backlog(1, b"%d lost\n".__mod__)
    backlog.put(b"a\n")
    backlog.put(b"b\n")
    assert backlog.take() == b"a\n"
    backlog.written()
    assert backlog.take() == b"1 lost\n"
    backlog.failed()
    backlog.put(b"c\n")
    assert drain(backlog) == [b"c\n", b"1 lost\n"]
    assert backlog.dropped == 1


@given(STEPS)
def test_every_line_is_written_or_counted_and_the_limit_holds(steps):
    backlog, put, named, written = Backlog(8, b"%d lost\n".__mod__), 0, 0, 0
    for step in [*steps, True]:
        if step is True or step is False:
            while text := backlog.take():
                if step:
                    named += int(text.split()[0]) if b"lost" in text else 0
                    written += text == b"x" * (len(text) - 1) + b"\n"
                    backlog.written()
                else:
                    backlog.failed()
                    break
        else:
            backlog.put(b"x" * step + b"\n")
            put += 1
        assert backlog._nbytes <= 8
    if not backlog.idle:
        assert drain(backlog) == []
    assert written + backlog.dropped == put
    assert named <= backlog.dropped


@pytest.fixture
def pipe():
    """A pipe with room for 4 KiB: the descriptor of its reader, and a text stream that writes to it."""
    reader, writer = os.pipe()
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with (
        open(writer, "w", encoding="ascii", errors="backslashreplace") as stream,
        open(reader, "rb", buffering=0) as end,
    ):
        yield end, stream
        # The thread may still be blocked in a write.
        os.set_blocking(reader, False)
        while end.read(65536):
            continue


def test_a_full_pipe_blocks_no_write_and_when_it_flows_one_line_says_what_is_missing(pipe):
    reader, stream = pipe
    queued = QueuedStream(stream, limit=10_000)
    queued.notice = "{} missing\n".format
    line = "x" * 99 + "\n"
    for _ in range(2000):
        queued.write(line)
    assert queued.dropped > 0
    read = b""
    while b"missing" not in read:
        read += reader.read(65536)
    *lines, notice = read.decode().splitlines()
    assert len(lines) + queued.dropped == 2000
    assert set(lines) == {line.rstrip()}
    assert notice == f"{queued.dropped} missing"
    queued.write("again\n")
    assert reader.read(65536) == b"again\n"


def test_the_end_waits_for_a_reader_that_reads_and_gives_up_on_one_that_does_not(pipe):
    reader, stream = pipe
    queued = QueuedStream(stream)
    queued.write("first\n")
    assert queued.finish(LIMIT_S)
    queued.write("later\n")
    assert reader.read(65536) == b"first\nlater\n"
    stalled = QueuedStream(stream)
    stalled.write("x" * 100_000 + "\n")
    assert not stalled.finish(0.01)
    # Nothing can block on the descriptor any more.
    os.write(stream.fileno(), bytes(1_000_000))


def test_a_short_line_goes_at_once_into_a_pipe_that_has_room_and_into_any_file(pipe, tmp_path):
    _, stream = pipe
    assert takes_at_once(stream, "x" * 4095)
    assert not takes_at_once(stream, "x" * 4096)
    os.set_blocking(stream.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(stream.fileno(), bytes(65536))
    assert not takes_at_once(stream, "x")
    with (tmp_path / "file").open("w") as file:
        assert takes_at_once(file, "x")


def test_lines_written_in_pieces_stay_whole_and_a_flush_brings_a_piece_out(pipe):
    reader, stream = pipe
    queued = QueuedStream(stream)
    print("a", "b\u20ac", file=queued)
    queued.write("no end")
    queued.flush()
    queued.writelines(["1\n", "2\n"])
    assert queued.finish(LIMIT_S)
    assert reader.read(65536) == b"a b\\u20ac\nno end1\n2\n"
    assert queued.encoding == "ascii"
    assert queued.fileno() == stream.fileno()


def test_a_write_that_fails_costs_each_line_one_try_and_later_ones_come_out(pipe):
    reader, stream = pipe
    queued = QueuedStream(stream)
    null = os.open("/dev/full", os.O_WRONLY)
    kept = os.dup(stream.fileno())
    os.dup2(null, stream.fileno())
    os.close(null)
    for _ in range(3):
        queued.write("lost\n")
        assert queued.finish(LIMIT_S)
    assert queued.dropped == 3
    assert isinstance(queued.error, OSError)
    os.dup2(kept, stream.fileno())
    os.close(kept)
    queued.notice = "{} missing\n".format
    queued.write("back\n")
    assert queued.finish(LIMIT_S)
    assert reader.read(65536) == b"back\n3 missing\n"


def test_a_descriptor_that_another_process_has_made_non_blocking_loses_nothing(pipe):
    reader, stream = pipe
    os.set_blocking(stream.fileno(), False)
    queued = QueuedStream(stream)
    queued.write("x" * 50_000 + "\n")
    read = 0
    while read < 50_001:
        read += len(reader.read(65536))
    assert not os.get_blocking(stream.fileno())
    assert queued.dropped == 0


def test_a_stream_that_was_closed_is_a_lost_line_and_no_failure(tmp_path):
    stream = (tmp_path / "log").open("w")
    queued = QueuedStream(stream)
    stream.close()
    with contextlib.suppress(ValueError):
        queued.write("lost\n")
    eventually(lambda: queued.dropped == 1, "a dropped line", LIMIT_S)


FORKS = """
import os, sys
from geventrelay.server.output_queue import QueuedStream
queued = QueuedStream(sys.stdout)
queued._lock.acquire()  # as the thread may hold it at that moment
child = os.fork()
if not child:
    queued.write("child\\n")
    queued.flush()
    os._exit(0)
queued._lock.release()
os.waitpid(child, 0)
queued.write("parent\\n")
queued.finish(10)
"""

PATCHED = """
import gevent.monkey
if {patched}:
    gevent.monkey.patch_all()
import gevent, os, sys
from geventrelay.server.output_queue import QueuedStream
reader, writer = os.pipe()
queued = QueuedStream(open(writer, "w"))
queued.write("x" * 1_000_000 + "\\n")
turns = gevent.spawn(gevent.sleep, 0)
turns.join()
read = 0
while read < 1_000_001:
    read += len(os.read(reader, 65536))
assert queued.finish(10)
print("done")
"""


@pytest.mark.parametrize(
    ("program", "output"),
    [(FORKS, "child\nparent\n"), (PATCHED.format(patched=False), "done\n"), (PATCHED.format(patched=True), "done\n")],
    ids=["forked", "plain", "patched"],
)
@pytest.mark.slow
def test_it_works_in_a_forked_child_and_with_and_without_monkey_patching(program, output):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)
