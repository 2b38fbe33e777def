"""Devices that would have their own messages back: refused on the command line, in a file and at a reload."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from support.process import GEVENTRELAY, environment

RULE = "expected endpoints that lead no message back to where it was, got"
STREAMER = '[device.{name}]\npattern = "streamer"\nfrontend = "{frontend}"\nbackend = "{backend}"\n'
ITSELF = STREAMER.format(name="s", frontend="ipc://{folder}/a", backend=">ipc://{folder}/a")
RING = STREAMER.format(name="s", frontend="ipc://{folder}/a", backend="ipc://{folder}/b") + STREAMER.format(
    name="t", frontend=">ipc://{folder}/b", backend=">ipc://{folder}/a"
)
# What a file says, the line and the key that are named, and the way of a message.
LOOPS = {
    "itself": (ITSELF, "4: device.s.backend", "'s.backend -> ipc://{folder}/a -> s.frontend'"),
    "through another": (
        RING,
        "8: device.t.backend",
        "'t.backend -> ipc://{folder}/a -> s.frontend -> s.backend -> ipc://{folder}/b -> t.frontend'",
    ),
}


def called(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GEVENTRELAY, *arguments], capture_output=True, text=True, timeout=30, check=False, env=environment()
    )


def test_a_loop_on_the_command_line_is_refused(folder):
    done = called("streamer", "--frontend", f"ipc://{folder}/a", "--backend", f">ipc://{folder}/a")
    assert done.returncode == 2
    assert done.stderr == f"--backend: {RULE} 'streamer.backend -> ipc://{folder}/a -> streamer.frontend'\n"
    assert not (folder / "a").exists()


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_in_a_file_is_refused_with_its_line_and_the_way(folder, name, command):
    text, _, _ = LOOPS[name]
    file = folder / "relay.toml"
    file.write_text(text.format(folder=folder))
    done = called(command, str(file))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{file}:")
    assert_names_the_loop(line, name, folder)
    assert not (folder / "a").exists()


@pytest.mark.parametrize("name", LOOPS)
def test_a_reload_that_would_make_a_loop_changes_nothing(run, folder, name):
    file, ready = folder / "relay.toml", folder / "ready.json"
    good = STREAMER.format(name="s", frontend=f"ipc://{folder}/a", backend=f"ipc://{folder}/b")
    file.write_text(good)
    server = run([*GEVENTRELAY, "run", file, "--ready-file", ready])
    server.until(ready.exists, "ready file")
    before = json.loads(ready.read_text())["devices"]
    file.write_text(LOOPS[name][0].format(folder=folder))
    server.signal(signal.SIGHUP)
    server.until_logged("reload-failed")
    (line,) = (one for one in server.errors.splitlines() if "reload-failed" in one)
    assert_names_the_loop(line, name, folder)
    file.write_text(good)
    server.signal(signal.SIGHUP)
    server.until_logged(" reloaded unchanged=1 added=0 removed=0 changed=0 adjusted=0")
    assert json.loads(ready.read_text())["devices"] == before
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.report()
    assert "Traceback" not in server.errors


def assert_names_the_loop(line: str, name: str, folder) -> None:
    _, where, way = LOOPS[name]
    assert f"{where}: {RULE} " in line
    assert way.format(folder=folder) in line
