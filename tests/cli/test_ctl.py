"""geventrelay ctl, and --control on every pattern."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import threading
import time

import psutil
import pytest
import zmq
from support.process import GEVENTRELAY, LIMIT_S, environment

from geventrelay import StartError
from geventrelay.cli.commands import ctl as command_ctl
from geventrelay.endpoints import Endpoint
from geventrelay.settings import ControlType
from geventrelay.testing import eventually

SIDES = ("--frontend", "0", "--backend", "0")
PATTERNS = {
    "relay": ("--sub-port", "0", "--pub-port", "0", "--push-port", "0"),
    "forwarder": ("forwarder", *SIDES),
    "queue": ("queue", *SIDES),
    "streamer": ("streamer", *SIDES),
    "custom": ("custom", "--frontend-type", "PULL", "--backend-type", "PUB", *SIDES),
}
TYPES = ["REP", "PAIR", "ROUTER", "PULL", "SUB"]
ANSWERING = ["REP", "PAIR", "ROUTER"]


def ctl(*arguments: str, code: int = 0) -> str:
    """Run ``geventrelay ctl`` and return what it prints: its answer, or with another exit code its complaint."""
    done = subprocess.run(
        [*GEVENTRELAY, "ctl", *arguments],
        capture_output=True, text=True, timeout=30, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr, done.stderr
    quiet, said = (done.stderr, done.stdout) if code == 0 else (done.stdout, done.stderr)
    assert quiet == ""
    return said.rstrip("\n")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_takes_control_and_the_ready_file_says_where(start, peers, pattern):
    server = start(*PATTERNS[pattern], "--control", "0")
    assert server["control"].startswith("tcp://127.0.0.1:")
    control = peers.connect(zmq.REQ, server["control"])
    for word in (b"PAUSE", b"RESUME", b"what?"):
        control.send(word)
        assert control.recv() == [b""]
    control.send(b"STATISTICS")
    assert control.recv() == [struct.pack("=Q", 0)] * 8
    control.send(b"TERMINATE")
    assert control.recv() == [b""]
    assert server.wait() == 0, server.report()
    assert server.output.startswith("accounting device="), server.report()
    assert not server.ready_file.exists()


def test_without_control_there_is_none(start):
    assert set(start("streamer", *SIDES).endpoints) == {"frontend", "backend"}


def test_control_can_be_connected_to_somebody_who_steers_many(start, peers, folder):
    # Verbose, since an XPUB tells only the first of equal subscriptions.
    steering = peers("XPUB", xpub_verbose=1)
    where = ">" + steering.endpoint
    servers = [start("streamer", *SIDES, "--control", where, "--control-type", "SUB") for _ in range(2)]
    assert steering.recv_all(2) == [[b"\x01"], [b"\x01"]]
    steering.send(b"TERMINATE")
    assert [server.wait() for server in servers] == [0, 0]


def test_each_command_says_what_it_did(start, peers):
    server = start("queue", *SIDES, "--control", "0")
    client = peers.connect(zmq.REQ, server["frontend"], routing_id=b"four")
    worker = peers.connect(zmq.REP, server["backend"])
    client.send(b"hello")
    worker.send(*worker.recv())
    client.recv()

    assert ctl(server["control"], "pause") == "pause: done"
    client.send(b"held back")
    assert not worker.socket.poll(100), "nothing was to pass while it was paused"
    frontend, backend = ctl(server["control"], "statistics").splitlines()
    assert frontend == "frontend  received 3 parts, 9 bytes; sent 3 parts, 9 bytes"
    assert backend == "backend   received 3 parts, 9 bytes; sent 3 parts, 9 bytes"
    assert ctl(server["control"], "resume") == "resume: done"
    assert worker.recv() == [b"held back"]
    assert json.loads(ctl(server["control"], "statistics", "--json")) == {
        "command": "statistics",
        "frontend": {"received_parts": 6, "received_bytes": 22, "sent_parts": 3, "sent_bytes": 9},
        "backend": {"received_parts": 3, "received_bytes": 9, "sent_parts": 6, "sent_bytes": 22},
    }
    assert json.loads(ctl("--json", server["control"], "terminate")) == {"command": "terminate"}
    worker.send(b"the reply")
    assert client.recv() == [b"the reply"], "TERMINATE was to wait for the replies, as SIGTERM does"
    assert server.wait() == 0, server.report()


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_control(start, kind):
    server = start("streamer", *SIDES, "--control", "0", "--control-type", kind)
    where, option = server["control"], ("--control-type", kind)
    assert ctl(where, "pause", *option) == "pause: done"
    if kind in ANSWERING:
        assert "received 0 parts" in ctl(where, "statistics", *option)
    assert ctl(where, "resume", *option) == "resume: done"
    assert ctl(where, "terminate", *option) == "terminate: done"
    assert server.wait() == 0, server.report()


def test_an_answer_that_cannot_be_written_is_told_in_one_line(start, run):
    server = start("streamer", *SIDES, "--control", "0")
    with open("/dev/full", "wb") as full:
        program = run([*GEVENTRELAY, "ctl", server["control"], "statistics"], stdout=full.fileno())
    assert program.wait() == 1
    assert program.errors == "cannot write to standard output: No space left on device\n"


def test_a_command_at_a_port_that_is_no_control_socket_may_have_become_a_message(start, peers):
    server = start("queue", *SIDES)
    worker = peers.connect(zmq.DEALER, server["backend"])
    said = ctl(server["frontend"], "terminate", "--timeout", "0.5", code=1)
    assert said.endswith(WHERE_TO)
    assert worker.recv()[-1] == b"TERMINATE"


def test_over_ipc(start, folder):
    server = start("streamer", *SIDES, "--control", f"ipc://{folder}/control")
    assert ctl(f"ipc://{folder}/control", "terminate") == "terminate: done"
    assert server.wait() == 0


WHERE_TO = "; if this is no control socket, it may have taken the command for a message"


@pytest.mark.parametrize("kind", ["PULL", "SUB"])
def test_statistics_of_a_type_that_cannot_answer_is_a_wrong_wish(kind):
    said = ctl("tcp://127.0.0.1:1", "statistics", "--control-type", kind, code=2)
    assert said == f"--control-type: expected a type that can answer: REP, PAIR or ROUTER, got '{kind}'"


@pytest.mark.parametrize("kind", TYPES)
def test_nobody_there_is_told_in_time(kind, folder):
    said = ctl(f"ipc://{folder}/nobody", "pause", "--control-type", kind, "--timeout", "0.3", code=1)
    # A PULL and a PAIR are sent nothing as long as they are not there, and a SUB not before it has subscribed.
    where_to = WHERE_TO if kind in ("REP", "ROUTER") else ""
    assert said == f"cannot pause ipc://{folder}/nobody: no answer within 0.3 s{where_to}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tcp://127.0.0.1:1", "restart"), "usage: "),
        (("nonsense://x", "pause"), "ENDPOINT: expected "),
        (("http://127.0.0.1:80", "pause"), "ENDPOINT: expected the endpoint of --control; http:// is that of --http"),
        (("tcp://127.0.0.1", "pause"), "ENDPOINT: expected "),
        (("tcp://127.0.0.1:1", "pause", "--control-type", "PUB"), "--control-type: expected one of REP, "),
        (("tcp://127.0.0.1:1", "pause", "--timeout", "soon"), "--timeout: expected "),
        (("tcp://127.0.0.1:1", "pause", "--timeout", "-1"), "--timeout: expected "),
        (("tcp://127.0.0.1:1", "pause", "--sndhwm", "1"), "--sndhwm: expected "),
        (("tcp://127.0.0.1:1",), "usage: "),
        (("pause",), "usage: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_said_in_one_line(arguments, said):
    complaint = ctl(*arguments, code=2)
    assert complaint.startswith(said)
    assert "\n" not in complaint


def test_a_port_alone_is_enough(start):
    server = start("streamer", *SIDES, "--control", "0")
    assert ctl(server["control"].rpartition(":")[2], "terminate") == "terminate: done"
    assert server.wait() == 0


def test_a_wrong_control_type_is_refused(run):
    program = run([*GEVENTRELAY, "streamer", *SIDES, "--control", "0", "--control-type", "PUB"])
    assert program.wait() == 2
    assert program.errors.startswith("--control-type: expected one of REP, "), program.report()


def test_terminate_drains_like_sigterm(start, peers):
    outputs = []
    for way in ("terminate", signal.SIGTERM):
        server = start("streamer", *SIDES, "--control", "0", "--drain", "10")
        source = peers.connect(zmq.PUSH, server["frontend"])
        for number in range(500):
            source.send(b"%d" % number)
        sink = peers.connect(zmq.PULL, server["backend"])
        assert sink.recv() == [b"0"]
        if way == "terminate":
            ctl(server["control"], "terminate")
        else:
            server.signal(way)
        got = [b"0"]
        while server.lives or sink.socket.poll(100):
            if sink.socket.poll(10):
                got.append(sink.recv()[0])
        assert server.wait() == 0, server.report()
        assert got == [b"%d" % number for number in range(len(got))]
        outputs.append((len(got), server.output))
    assert outputs[0] == outputs[1]


@pytest.mark.slow
def test_a_paused_server_with_input_waiting_uses_no_cpu(start, peers):
    server = start("streamer", *SIDES, "--control", "0")
    sink, source = peers.connect(zmq.PULL, server["backend"]), peers.connect(zmq.PUSH, server["frontend"])
    ctl(server["control"], "pause")
    for _ in range(100):
        source.send(b"waiting")
    process = psutil.Process(server.pid)

    def as_closed() -> bool:
        before = sum(process.cpu_times()[:2])
        time.sleep(0.2)
        return sum(process.cpu_times()[:2]) - before <= 0.01

    eventually(as_closed, "the server to use no CPU", LIMIT_S)
    before = sum(process.cpu_times()[:2])
    # Not a wait for anything: this and the one above are how long a measurement takes.
    time.sleep(0.5)
    assert sum(process.cpu_times()[:2]) - before <= 0.03
    assert not sink.recv_now()
    ctl(server["control"], "resume")
    assert sink.recv_all(100) == [[b"waiting"]] * 100


# A control socket that is none, and may mean harm


LINGERS: list[int] = []


class Socket(zmq.Socket):
    def close(self, linger=None) -> None:
        if not self.closed:
            LINGERS.append(self.linger)
        super().close(linger)


class Context(zmq.Context):
    _socket_class = Socket


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("word", ["pause", "statistics"])
def test_what_no_peer_takes_is_not_waited_for_a_second_time(monkeypatch, kind, word):
    if word == "statistics" and kind not in ANSWERING:
        return
    LINGERS.clear()
    monkeypatch.setattr(command_ctl.zmq, "Context", Context)
    with pytest.raises(StartError, match=r"no answer within 0.1 s"):
        command_ctl.command(Endpoint.parse(">1"), ControlType(kind), word, 0.1)
    # Before it, the socket that tells of its handshakes is closed.
    assert LINGERS[-1] == 0


@pytest.fixture
def answering():
    """``answering(parts)``: the endpoint of a program that answers everything with these, again and again."""
    over = threading.Event()
    threads = []
    with zmq.Context() as context:

        def serve(socket: zmq.Socket, answers: list[list[bytes]]) -> None:
            with socket:
                while not over.is_set():
                    if socket.poll(20):
                        routing_id, *_ = socket.recv_multipart()
                        for parts in answers:
                            socket.send_multipart([routing_id, *parts])

        def answering(*answers: list[bytes]) -> str:
            socket = context.socket(zmq.ROUTER)
            socket.linger = 0
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            threads.append(threading.Thread(target=serve, args=(socket, answers)))
            threads[-1].start()
            return f"tcp://127.0.0.1:{port}"

        yield answering
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "answers",
    [
        [[b"x"]],
        [[b"no envelope", b""]],
        [[b"", b"not", b"empty"]],
        [[b"", b"not empty"]],
        [[b""] * 50_000],
        [[b"x"] * 50_000],
        [[b"", b"\x1b[31m"]],
        [[b"not this"], [b"", b""]],
    ],
    ids=["short", "no envelope", "several parts", "text", "empty parts", "many parts", "escapes", "a second one"],
)
def test_an_answer_that_is_none_is_told_in_one_line(answering, answers):
    where = answering(*answers)
    # On a busy machine very many parts take their time, which is not what this is about.
    said = ctl(where, "pause", "--timeout", "25", code=1)
    assert said == f"{where}: expected the answer of a control socket, got other bytes{WHERE_TO}"


def test_the_reason_of_a_reload_cannot_steer_the_terminal_and_is_cut(answering):
    said = ctl(answering([b"", b"\x1b[31m\xe2\x80\xae\xff" + b"x" * 60_000]), "reload", code=1)
    assert said.startswith("\\x1b[31m\\u202e\ufffdxxx")
    assert len(said) < 5000


@pytest.mark.parametrize("kind", ["REP", "ROUTER"])
def test_an_answer_that_is_too_large_is_not_taken(answering, kind):
    where = answering([b"", b"x" * 100_000])
    said = ctl(where, "statistics", "--control-type", kind, "--timeout", "0.5", code=1)
    assert said == f"cannot read the statistics of {where}: no answer within 0.5 s{WHERE_TO}"


def test_answers_without_an_end_that_have_no_envelope_do_not_hold_it(answering):
    where = answering(*[[b"x"]] * 1000)
    assert "got other bytes" in ctl(where, "pause", code=1)


def test_disconnect_has_the_number_of_a_peer_and_says_if_there_is_none(start):
    server = start("streamer", "--frontend", "0", "--backend", "0", "--control", "0", "--engine", "zmtp")
    assert ctl(server["control"], "disconnect", "17", code=1) == "no peer has the number 17"
    said = ctl(server["control"], "disconnect", "x", code=2)
    assert "PEER: expected the number of a peer, as /api/devices/NAME/peers has it, got 'x'" in said
