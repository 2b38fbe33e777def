"""Two servers with one ready file, a stale one, a terminal that closes, commands that nobody takes."""

from __future__ import annotations

import json
import signal

import pytest
from support.process import GEVENTRELAY

STREAMER = ["streamer", "--frontend", "0", "--backend", "0"]


def test_ready_file_of_another_server_is_left_alone(start, folder):
    path = folder / "shared.json"
    first = start(*STREAMER, ready_file=path)
    second = start(*STREAMER)
    # As if the second had been told to use the same file.
    path.write_text(json.dumps({"pid": second.pid}))
    first.stop()
    assert json.loads(path.read_text()) == {"pid": second.pid}


def test_stale_ready_file_is_gone_before_a_start_that_fails(run, folder):
    path = folder / "stale.json"
    path.write_text(json.dumps({"pid": 2**22 + 1, "device": "streamer", "endpoints": {}}))
    unresolvable = ["streamer", "--frontend", "tcp://nosuch.invalid:5555", "--backend", "0"]
    assert run([*GEVENTRELAY, *unresolvable, "--ready-file", str(path)]).wait() == 1
    assert not path.exists()


def test_closing_the_terminal_stops_it_like_any_other_request(start):
    server = start(*STREAMER)
    assert server.stop(signal.SIGHUP)["held"] == 0


@pytest.mark.parametrize("kind", ["REP", "ROUTER", "PAIR", "PULL", "SUB"])
def test_a_command_that_nobody_takes_is_told(run, folder, kind):
    program = run([*GEVENTRELAY, "ctl", f"ipc://{folder}/nobody", "pause", "--control-type", kind, "--timeout", "0.3"])
    assert program.wait() == 1
    assert "no answer within 0.3 s" in program.errors
    assert len(program.errors.splitlines()) == 1


@pytest.mark.parametrize("kind", ["ROUTER", "PAIR", "PULL", "SUB"])
def test_a_command_to_another_type_of_control_socket_is_told(start, run, folder, kind):
    server = start(*STREAMER, "--control", f"ipc://{folder}/control")
    command = ["ctl", f"ipc://{folder}/control", "terminate", "--control-type", kind, "--timeout", "0.5"]
    assert run([*GEVENTRELAY, *command]).wait() == 1
    server.stop()
