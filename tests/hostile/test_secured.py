"""What strangers send to a socket with CURVE or PLAIN: none gets in, good peers are served, and no secret is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
import zmq
from support.house import SENDERS, House, at_most
from support.secured import CLIENT_KEY, CLIENT_SECRET, SERVER_KEY, SERVER_SECRET, Talk, curve_client, curve_server
from support.strangers import (
    COMMAND,
    CURVE_GREETING,
    GREETING,
    LONG,
    PLAIN_GREETING,
    command,
    frame,
    hello,
    ready,
    stranger,
)
from zmq.utils import z85

from geventrelay.access import passwords
from geventrelay.access.keys import KeyPair, write_pair
from geventrelay.access.passwords import set_password
from geventrelay.zmtp import sodium
from geventrelay.zmtp.connection import Connection

PASSWORD = "correct-horse"
AS_CLIENT = {"curve_publickey": CLIENT_KEY, "curve_secretkey": CLIENT_SECRET, "curve_serverkey": SERVER_KEY}
READY_TO_SEND = ready(b"PUSH") + frame(b"bad")
NULL = GREETING + READY_TO_SEND


def asked(client: Connection) -> bytes:
    """What a `client` of CURVE sends before it hears more than a greeting."""
    said = client.to_send()
    client.receive(CURVE_GREETING[:32] + b"\1" + CURVE_GREETING[33:])
    client.next_event()
    return said + client.to_send()


# A whole handshake of a peer that is let in.
RECORDED = bytes(Talk(curve_client(), curve_server()).go().said[0])

PLAIN_ATTACKS = {
    "NULL": NULL,
    "CURVE": RECORDED,
    "another server": PLAIN_GREETING[:32] + b"\1" + PLAIN_GREETING[33:] + hello(b"alice", b"guess"),
    "READY at once": PLAIN_GREETING + READY_TO_SEND,
    "INITIATE at once": PLAIN_GREETING + command(b"INITIATE") + frame(b"bad"),
    "a message at once": PLAIN_GREETING + frame(b"bad"),
    "what a server says": PLAIN_GREETING + command(b"WELCOME") + command(b"INITIATE") + frame(b"bad"),
    "a HELLO without a password": PLAIN_GREETING + command(b"HELLO", b"\5alice"),
    "a HELLO that says too much": PLAIN_GREETING + command(b"HELLO", b"\5alice\1x" + bytes(300)),
    "a HELLO that is a message": PLAIN_GREETING + frame(b"\5HELLO\5alice\1x"),
    "a HELLO of 2^62 bytes": PLAIN_GREETING + bytes([LONG | COMMAND]) + (2**62).to_bytes(8, "big"),
    "no name": PLAIN_GREETING + hello(b"", b""),
    "a wrong password": PLAIN_GREETING + hello(b"alice", b"guess") + command(b"INITIATE") + READY_TO_SEND,
    "two words at once": PLAIN_GREETING + hello(b"alice", b"guess") * 2,
    "a name that breaks lines": PLAIN_GREETING + hello(b"x\n\x1b[2Jdenied device=y\0\xff", b"guess"),
    "the longest name": PLAIN_GREETING + hello(b"u" * 255, b"p" * 255),
}

CURVE_ATTACKS = {
    "NULL": NULL,
    "PLAIN": PLAIN_GREETING + hello(b"alice", PASSWORD.encode()),
    "another server": CURVE_GREETING[:32] + b"\1" + RECORDED[64:],
    "READY at once": CURVE_GREETING + READY_TO_SEND,
    "a message at once": CURVE_GREETING + frame(b"bad"),
    "a sealed message at once": CURVE_GREETING + command(b"MESSAGE", bytes(60)),
    "a HELLO of zeros": CURVE_GREETING + command(b"HELLO", b"\1\0" + bytes(192)),
    "a HELLO of another version": CURVE_GREETING + command(b"HELLO", b"\2\0" + bytes(192)),
    "a HELLO that is cut": CURVE_GREETING + command(b"HELLO", b"\1\0" + bytes(191)),
    "a HELLO that says too much": CURVE_GREETING + command(b"HELLO", b"\1\0" + bytes(65_000)),
    "a HELLO for another server": asked(curve_client(server=sodium.new_pair()[0])),
    "INITIATE at once": CURVE_GREETING + command(b"INITIATE", bytes(300)),
    "a recorded handshake": RECORDED + frame(b"bad"),
    "a recorded handshake, INITIATE twice": RECORDED + RECORDED[64 + 2 + 6 + 194 :],
    "a recorded HELLO twice": RECORDED[: 64 + 2 + 6 + 194] + RECORDED[64 : 64 + 2 + 6 + 194],
}


@pytest.fixture
def plain(tmp_path, monkeypatch) -> Mapping[str, Any]:
    """The rules of a house that has a password, and how alice says it."""
    # As cheap as scrypt can be.
    monkeypatch.setattr(passwords, "_COST_LOG2", 1)
    set_password("test", tmp_path / "users", "alice", PASSWORD)
    return {
        "rules": {"plain_passwords": tmp_path / "users"},
        "shows": {"plain_username": "alice", "plain_password": PASSWORD},
    }


@pytest.fixture
def curve(tmp_path) -> Mapping[str, Any]:
    """The rules of a house that has keys, and alice's."""
    write_pair("test", tmp_path, "server", KeyPair(SERVER_KEY, SERVER_SECRET))
    write_pair("test", tmp_path / "clients", "alice", KeyPair(CLIENT_KEY, CLIENT_SECRET))
    rules = {"curve_secret": tmp_path / "server.key_secret", "curve_clients": tmp_path / "clients"}
    return {"rules": rules, "shows": AS_CLIENT}


def failures(home: House) -> int:
    return sum(home.new("handshake_failures").values())


def suffer(home: House, attacks: Mapping[str, bytes]) -> None:
    for count, (name, data) in enumerate(attacks.items(), 1):
        with contextlib.closing(stranger(home.address)) as one:
            with at_most(name):
                one.sendall(data)
            home.until(lambda home: failures(home) >= count)  # noqa: B023
        assert failures(home) == count, name
        home.serve(1)
    assert not home.new("connected_total")
    home.is_as_before()


def shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged has no secret in it, and each line is one line of text."""
    keys = (z85.encode(key).decode() for key in (SERVER_SECRET, CLIENT_SECRET))
    secrets = ("guess", PASSWORD, "p" * 255, *keys)
    for line in (record.getMessage() for record in caplog.records):
        assert line.isprintable(), ascii(line)
        assert not [one for one in secrets if one in line]


def test_what_is_no_handshake_of_plain_gets_nothing_in(house, plain, caplog):
    home = house(SENDERS, **plain)
    suffer(home, PLAIN_ATTACKS)
    # libzmq takes a HELLO of another server, and one that is a message, for one of a client.
    assert home.new("denied") == {"unknown_user": 3, "wrong_password": 4 if home.engine == "libzmq" else 2}
    shows_no_secret(caplog)


def test_what_is_no_handshake_of_curve_gets_nothing_in(house, curve, caplog):
    home = house(SENDERS, **curve)
    suffer(home, CURVE_ATTACKS)
    assert not home.new("denied")
    shows_no_secret(caplog)


def test_a_crowd_with_wrong_passwords_keeps_no_other_out(house, plain, peer):
    home, count = house(SENDERS, **plain), 40
    with contextlib.ExitStack() as stack:
        for number in range(count):
            one = stack.enter_context(contextlib.closing(stranger(home.address)))
            one.sendall(PLAIN_GREETING + hello(b"%d" % number, b"guess"))
        with contextlib.closing(peer.connect(zmq.PUSH, home.address, **plain["shows"])):
            home.serve()
            home.until(lambda home: home.new("denied") == {"unknown_user": count})
            home.until(lambda home: home.new("connected_total") == 1)
    home.is_as_before()


def test_clients_with_wrong_keys_that_never_give_up(house, curve, peer):
    home = house(SENDERS, **curve)
    wrong = {**AS_CLIENT, "curve_serverkey": zmq.curve_keypair()[0]}
    storm = [peer.connect(zmq.PUSH, home.address, wait=False, reconnect_ivl=1, **wrong) for _ in range(3)]
    home.until(lambda home: failures(home) >= 30)
    home.serve()
    assert not home.new("connected_total")
    for one in storm:
        one.close()
    home.is_as_before()
