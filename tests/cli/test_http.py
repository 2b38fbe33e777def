"""--http as a user starts it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from support.process import GEVENTRELAY

SIDES = ["--frontend", "0", "--backend", "0"]


def ask(url: str, **kwargs) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **kwargs), timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_server_answers_where_its_ready_file_says(start, folder):
    token = folder / "token"
    token.write_text("secret-of-ours\n")
    token.chmod(0o600)
    server = start("queue", *SIDES, "--http", "0", "--http-token-file", str(token), "--log-level", "debug")
    url = json.loads(server.ready_file.read_text())["http"]
    assert url.startswith("http://127.0.0.1:")
    assert ask(url + "/readyz")[0] == 200
    status, body = ask(url + "/metrics")
    assert (status, b'geventrelay_device_state{device="queue",state="running"} 1.0' in body) == (200, True)
    assert ask(url + "/api/devices/queue/pause", method="POST")[0] == 401
    header = {"Authorization": "Bearer secret-of-ours"}
    status, body = ask(url + "/api/devices/queue/pause", method="POST", headers=header)
    assert (status, json.loads(body)["device"]["state"]) == (200, "paused")
    server.until_logged("http-request")
    assert f"http url={url}" in server.errors
    assert "secret-of-ours" not in server.errors
    server.stop()


def test_requests_are_not_in_the_log_unless_asked_for(start):
    server = start("queue", *SIDES, "--http", "127.0.0.1:0")
    assert ask(json.loads(server.ready_file.read_text())["http"] + "/healthz")[0] == 200
    server.stop()
    assert "/healthz" not in server.errors


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_token_file_without_http_is_refused_in_one_line(run, folder, command):
    path = folder / "relay.toml"
    path.write_text(f'http-token-file = "{folder}/token"\n[device.a]\npattern = "queue"\nfrontend = 0\nbackend = 0\n')
    program = run([*GEVENTRELAY, command, path])
    assert program.wait() == 2, program.report()
    assert program.errors == f"--http-token-file: expected an address for http to go with it, got '{folder}/token'\n"


def test_the_file_may_have_the_token_and_the_command_line_the_address(start, folder):
    (folder / "token").write_text("secret\n")
    path = folder / "relay.toml"
    path.write_text(f'http-token-file = "{folder}/token"\n[device.a]\npattern = "queue"\nfrontend = 0\nbackend = 0\n')
    server = start("run", str(path), "--http", "127.0.0.1:0")
    assert ask(json.loads(server.ready_file.read_text())["http"] + "/healthz")[0] == 200
    server.stop()


@pytest.mark.parametrize("content", [None, "", "a b"])
def test_a_bad_token_file_ends_the_start_in_one_line(run, folder, content):
    path = folder / "token"
    if content is not None:
        path.write_text(content)
    program = run([*GEVENTRELAY, "queue", *SIDES, "--interface", "127.0.0.1", "--http", "0", "--http-token-file", path])
    assert program.wait() == 1
    assert program.errors.splitlines()[-1].startswith(f"cannot {'read' if content is None else 'use'} {path}")
    assert "Traceback" not in program.errors
