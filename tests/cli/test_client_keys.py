"""Commands that show their keys to a device that lets known peers in alone."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import zmq
from support.process import GEVENTRELAY, LIMIT_S

from geventrelay import SettingsError, StartError
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.access.passwords import set_password
from geventrelay.cli.client_keys import ClientKeys
from geventrelay.cli.commands.ctl import command
from geventrelay.endpoints import Endpoint
from geventrelay.settings import ControlType

SIDES = ("--frontend", "0", "--backend", "0", "--control", "0", "--tap", "0")
KEYS = ("--curve-secret", "alice.key_secret", "--curve-serverkey", "relay.key")


@pytest.fixture
def pairs(folder):
    """The files of alice, of the relay and of mallory, who is unknown, in the working folder of programs."""
    for name in ("relay", "alice", "mallory"):
        write_pair("DIR", folder, name, new_pair())
    os.mkdir(folder / "clients")
    shutil.copy(folder / "alice.key", folder / "clients")
    return folder


@pytest.fixture
def secured(start, pairs):
    return start("streamer", *SIDES, "--curve-secret", "relay.key_secret", "--curve-clients", "clients")


def keys_of(folder, name, server="relay"):
    keys = ClientKeys(curve_secret=str(folder / f"{name}.key_secret"), curve_serverkey=str(folder / f"{server}.key"))
    return keys.socket_options()


def ask(endpoint, keys, *, limit_s=LIMIT_S):
    return command(Endpoint.parse(">" + endpoint), ControlType.REP, "statistics", limit_s, keys=keys)


def test_ctl_replay_and_tap_have_their_keys_with_them(run, secured, peers, pairs):
    done = run([*GEVENTRELAY, "ctl", secured["control"], "statistics", "--json", *KEYS])
    assert done.wait() == 0, done.report()
    assert json.loads(done.output)["frontend"]["received_parts"] == 0
    options = {zmq.SocketOption(number).name.lower(): value for number, value in keys_of(pairs, "alice").items()}
    source = peers.connect(zmq.PUSH, secured["frontend"], **options)
    sink = peers.connect(zmq.PULL, secured["backend"], **options)
    source.send(b"before")
    assert sink.recv() == [b"before"]
    recording = run([*GEVENTRELAY, "record", "kept", "--from", secured["tap"], "--count", "1", *KEYS])
    recording.until_logged("recording ")
    source.send(b"task")
    assert sink.recv() == [b"task"]
    assert recording.wait() == 0, recording.report()
    replayed = run(
        [*GEVENTRELAY, "replay", "kept", "--to", secured["frontend"], "--type", "PUSH", "--speed", "max", *KEYS]
    )
    assert replayed.wait() == 0, replayed.report()
    assert sink.recv() == [b"task"]


def test_last_has_its_keys_with_it(run, start, pairs):
    ends = ("--frontend", "0", "--backend", "0")
    rules = ("--curve-secret", "relay.key_secret", "--curve-clients", "clients")
    server = start("forwarder", *ends, "--last-value", *rules)
    known = run([*GEVENTRELAY, "last", server["backend"], "--wait", "1", *KEYS])
    assert known.wait() == 0, known.report()
    assert known.errors.startswith(f"no last value at {server['backend']} within 1 s")
    unknown = run([*GEVENTRELAY, "last", server["backend"], "--wait", "0.5"])
    assert unknown.wait() == 1, unknown.report()
    assert unknown.errors.endswith("within 0.5 s, or it does not let this program in\n")


def test_a_command_that_is_not_let_in_says_why(secured, pairs):
    for keys, why in (
        ({}, "may ask for keys"),
        (keys_of(pairs, "alice", server="mallory"), "may ask for keys, for other ones"),
        (keys_of(pairs, "mallory"), "does not let in these keys"),
    ):
        with pytest.raises(StartError, match=f"no answer within 2 s; the device {why}"):
            ask(secured["control"], keys, limit_s=2)
    assert len(ask(secured["control"], keys_of(pairs, "alice"))) == 8


def test_ctl_has_a_password_with_it(start, run, folder):
    set_password("FILE", folder / "users", "alice", "hunter2")
    server = start("streamer", *SIDES, "--plain-passwords", "users")
    (folder / "password").touch(0o600)
    (folder / "password").write_text("hunter2\n")
    words = [*GEVENTRELAY, "ctl", server["control"], "statistics", "--plain-username", "alice", "--plain-password"]
    done = run([*words, "password"])
    assert done.wait() == 0, done.report()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"curve_secret": "a"}, "--curve-secret: expected --curve-serverkey beside it, got 'a'"),
        ({"plain_password": "a"}, "--plain-password: expected --plain-username beside it, got 'a'"),
        (
            {"curve_secret": "a", "plain_username": "b"},
            "--plain-username: expected no --curve-secret beside it, got 'b'",
        ),
        (
            {"plain_username": "b", "plain_password": "env:NOT_SET"},
            "--plain-password: expected a password of 1 to 255 bytes in the first line, got 'env:NOT_SET'",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, line):
    with pytest.raises(SettingsError) as error:
        ClientKeys(**options).socket_options()
    assert str(error.value) == line


def test_keys_are_not_for_http(run, pairs):
    program = run([*GEVENTRELAY, "tap", "http://127.0.0.1:1", "--device", "a", *KEYS])
    assert program.wait() == 2, program.report()
    assert "--curve-secret: expected an endpoint of ZeroMQ" in program.errors
