"""Who may connect to a socket: how the options of a device and of its sockets go together."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import zmq

from geventrelay import Queue, SettingsError, Streamer
from geventrelay.access.socket_rules import Role
from geventrelay.devices.live_changes import restart_needed_by
from geventrelay.endpoints import Endpoint
from geventrelay.errors import ConfigurationError
from geventrelay.settings import ServerSettings
from geventrelay.settings.file.load import load
from geventrelay.terms import Engine, Mechanism

CURVE = {"curve_secret": "server.key_secret", "curve_clients": "clients"}
SECRET = b"s" * 32


def device(**settings):
    return Streamer(**{"frontend": "tcp://*:5555", "backend": "tcp://*:5556", **settings})


def test_without_options_there_are_no_rules():
    assert device().access_rules == {}


def test_options_of_the_device_are_for_every_socket_that_binds():
    rules = device(control=5557, tap=5558, **CURVE).access_rules
    assert set(rules) == {"frontend", "backend", "control", "tap"}
    assert {one.mechanism for one in rules.values()} == {Mechanism.CURVE}
    assert {one.role for one in rules.values()} == {Role.SERVER}
    assert rules["tap"].curve_clients == Path("clients")


def test_a_socket_that_connects_is_a_client_and_holds_to_no_other_rule():
    rules = device(backend=">up:1", deny=["10.0.0.0/8"], curve_serverkey="up.key", **CURVE).access_rules
    assert rules["backend"].role is Role.CLIENT and rules["frontend"].role is Role.SERVER
    assert rules["backend"].deny == () and rules["frontend"].curve_serverkey is None
    assert "backend" not in device(backend=">up:1", plain_passwords="users").access_rules


def test_a_sockets_own_options_win_and_none_leaves_one_out():
    own = {"frontend": {"allow": ["10.0.0.0/8"]}, "control": {"curve_secret": "none"}}
    rules = device(control=5557, socket_access=own, allow=["192.168.0.0/16"], **CURVE).access_rules
    assert [str(one) for one in rules["frontend"].allow] == ["10.0.0.0/8"]
    assert [str(one) for one in rules["backend"].allow] == ["192.168.0.0/16"]
    assert rules["control"].mechanism is Mechanism.NULL


def test_no_peer_over_inproc_is_asked():
    assert set(device(backend="inproc://x", **CURVE).access_rules) == {"frontend"}


@pytest.mark.parametrize(
    ("settings", "open_"),
    [
        ({"allow": ["10.0.0.0/8"]}, False),
        ({"allow": ["10.0.0.0/8", "::/0"]}, True),
        ({"allow": ["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"]}, True),
        ({"allow": ["0.0.0.0/1", "128.0.0.0/2"]}, False),
        ({"allow": ["::ffff:0:0/96"]}, True),
        ({"allow": ["::ffff:0:0/97", "128.0.0.0/1"]}, True),
        ({"allow": ["::ffff:10.0.0.0/104"]}, False),
        ({"deny": ["10.0.0.0/8"]}, True),
        ({"plain_passwords": "users"}, False),
        (CURVE, False),
        ({**CURVE, "curve_clients": "any"}, True),
        ({**CURVE, "curve_clients": "any", "allow": ["10.0.0.0/8"]}, False),
    ],
)
def test_which_rules_let_every_peer_in(settings, open_):
    assert device(**settings).access_rules["frontend"].lets_all_in is open_


WRONG = {
    "CURVE without clients": ({"curve_secret": "s"}, "curve_clients: expected a folder with the keys"),
    "clients without a key": ({"curve_clients": "any"}, "curve_clients: expected curve-secret beside it"),
    "keys and passwords": ({**CURVE, "plain_passwords": "p"}, "plain_passwords: expected no curve-secret beside it"),
    "a client without a key": (
        {"backend": ">up:1", "curve_serverkey": "k"},
        "curve_serverkey: expected curve-secret beside it",
    ),
    "a client that would not encrypt": ({"backend": ">up:1", **CURVE}, "curve_secret: expected curve-serverkey"),
    "a server key that no socket uses": (
        {**CURVE, "curve_serverkey": "k"},
        "curve_serverkey: expected a socket that c",
    ),
    "networks that no socket uses": (
        {"frontend": ">a:1", "backend": ">a:2", "deny": ["::1"]},
        "deny: expected a socket that binds tcp or ipc",
    ),
    "both kinds of endpoints": (
        {"frontend": ["tcp://*:5555", ">a:1"], "allow": ["::1"]},
        "frontend: expected endpoints that all bind or all",
    ),
    "legacy peers": ({"legacy_peers": True, "allow": ["::1"]}, "legacy_peers: expected false where there are rules"),
    "legacy peers of one socket": (
        {"socket_options": {"backend": {zmq.ZAP_DOMAIN: True}}, "allow": ["::1"]},
        "backend.legacy_peers: expected false where there are rules",
    ),
    "a CURVE server of today": (
        {"socket_options": {"backend": {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SECRET}}},
        "backend.curve_server: expected curve-clients, a folder with the keys that may connect, or any, beside it",
    ),
    "two keys": (
        {"socket_options": {"backend": {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SECRET}}, **CURVE},
        "backend.curve_server: expected no curve-secret",
    ),
    "another mechanism": (
        {"socket_options": {"backend": {zmq.PLAIN_USERNAME: b"a"}}, **CURVE},
        "backend.plain_username: expected no plain-username where there are rules",
    ),
    "rules of one that connects": (
        {"backend": ">a:1", "socket_access": {"backend": {"allow": ["::1"]}}},
        "backend.allow: expected a socket that binds",
    ),
    "rules over inproc": (
        {"backend": "inproc://x", "socket_access": {"backend": {"allow": ["::1"]}}},
        "backend.allow: expected tcp or ipc",
    ),
    "no such socket": ({"socket_access": {"sub": {}}}, "socket_access: expected sockets out of"),
    "no such option": ({"socket_access": {"backend": {"deni": 1}}}, "socket_access: expected options out of"),
}


@pytest.mark.parametrize(("settings", "text"), WRONG.values(), ids=WRONG)
def test_what_does_not_go_together(settings, text):
    with pytest.raises(SettingsError) as raised:
        device(**settings)
    assert str(raised.value).startswith(text)


def test_a_curve_server_of_today_with_clients_of_its_own_is_right():
    own = {"socket_options": {"backend": {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SECRET}}}
    rules = device(socket_access={"backend": {"curve_clients": "any"}}, **own).access_rules
    assert set(rules) == {"backend"} and rules["backend"].mechanism is Mechanism.CURVE


def test_control_alone_may_have_rules_on_engine_zmtp():
    assert device(engine="zmtp", control=1, socket_access={"control": {"allow": ["::1"]}}).engine is Engine.ZMTP
    assert device(engine="zmtp", **CURVE).engine is Engine.ZMTP


def test_what_of_the_rules_needs_a_restart():
    old = device(**CURVE)
    live = {"curve_clients": "others", "allow": ["::1"], "socket_access": {"backend": {"deny": ["::2"]}}}
    assert restart_needed_by(old, dataclasses.replace(old, **live)) is None
    for change in ({"curve_secret": "other"}, {"socket_access": {"backend": {"curve_secret": "none"}}}):
        assert restart_needed_by(old, dataclasses.replace(old, **change)) is not None
    assert restart_needed_by(device(), device(allow=["::1"])) is not None


def test_a_file_has_them_for_a_device_and_for_single_sockets(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(
        """
        [device.q]
        pattern = "queue"
        frontend = 5555
        curve-secret = "server.key_secret"
        curve-clients = "clients"
        allow = ["10.0.0.0/8", "::1"]

        [device.q.backend]
        bind = 5556
        curve-clients = "workers"
        allow = "none"
        """
    )
    (settings,) = load(path, {}).devices
    rules = settings.access_rules
    assert isinstance(settings, Queue) and len(rules["frontend"].allow) == 2
    assert rules["backend"].curve_clients == Path("workers") and rules["backend"].allow == ()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("allow = '10.0.0.1/8'", "device.q.backend.allow: expected an IP address or a network"),
        ("curve-clients = 5", "device.q.backend.curve-clients: expected a path"),
        ("curve-client = 'c'", "expected a known key (did you mean curve-clients?)"),
        ("curve-secret = 's'", "expected a folder with the keys that may connect"),
        (
            "curve-server = true\ncurve-secretkey = '" + "a" * 40 + "'",
            "device.q.backend.curve-server: expected curve-cl",
        ),
    ],
)
def test_what_is_wrong_in_a_file_has_its_place(tmp_path, line, text):
    path = tmp_path / "relay.toml"
    path.write_text(f"[device.q]\npattern = 'queue'\nfrontend = 1\n[device.q.backend]\nbind = 2\n{line}\n")
    with pytest.raises(Exception) as raised:
        load(path, {})
    assert text in str(raised.value) and "Traceback" not in str(raised.value)


@pytest.mark.parametrize(
    ("endpoint", "beyond"),
    [
        ("tcp://*:1", True),
        ("tcp://10.0.0.1:1", True),
        ("tcp://eth0:1", True),
        ("tcp://[::]:1", True),
        ("tcp://127.0.0.1:1", False),
        ("tcp://127.1.2.3:1", False),
        ("tcp://[::1]:1", False),
        ("tcp://localhost:1", False),
        ("ipc://x", False),
        ("inproc://x", False),
        (">tcp://10.0.0.1:1", False),
    ],
)
def test_which_endpoints_other_hosts_may_reach(endpoint, beyond):
    assert Endpoint.parse(endpoint).is_beyond_loopback is beyond


@pytest.mark.parametrize(
    ("settings", "open_"),
    [
        ({}, ["frontend", "backend"]),
        ({"interface": "127.0.0.1", "frontend": 1, "backend": ">a:1"}, []),
        ({"control": "tcp://*:1", **CURVE, "socket_access": {"control": {"curve_secret": "none"}}}, ["control"]),
        ({**CURVE, "curve_clients": "any"}, ["frontend", "backend"]),
        (CURVE, []),
    ],
)
def test_require_auth_refuses_what_is_open_to_every_peer(settings, open_):
    made = device(**settings)
    assert made.open_to_all == open_
    if not open_:
        assert ServerSettings(devices=(made,), require_auth=True).require_auth
        return
    with pytest.raises(SettingsError, match=f"require_auth: expected .* got 'streamer {open_[0]} at tcp://"):
        ServerSettings(devices=(made,), require_auth=True)


def test_require_auth_in_a_file_tells_each_socket_with_its_line(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text("require-auth = true\n[device.q]\npattern = 'queue'\nfrontend = 1\nbackend = 2\n")
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    lines = str(raised.value).splitlines()
    assert [line.partition(": expected ")[0].rpartition("relay.toml:")[2] for line in lines if "expected" in line] == [
        "4: device.q.frontend",
        "5: device.q.backend",
    ]


def test_curve_with_engine_zmtp_needs_pynacl(monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl", None)
    with pytest.raises(
        SettingsError, match=r"^curve_secret: expected no CURVE .* without PyNaCl \(pip install"
    ) as told:
        device(engine="zmtp", **CURVE)
    assert str(told.value).count("\n") == 0


def test_what_is_wrong_for_each_socket_is_told_once():
    with pytest.raises(SettingsError, match=r"^curve_clients: expected a folder") as told:
        device(curve_secret=CURVE["curve_secret"])
    assert str(told.value).count("\n") == 0
