"""Loops: which devices would have their own messages back, and which chains are none."""

from __future__ import annotations

import socket

import pytest

from geventrelay import Custom, Forwarder, Queue, Relay, SettingsError, Streamer
from geventrelay.devices.patterns import plan
from geventrelay.settings import ServerSettings
from geventrelay.settings.loops import loops
from geventrelay.settings.socket_types import READABLE, WRITABLE

IN, MIDDLE, OUT = "tcp://127.0.0.1:5001", "tcp://127.0.0.1:5002", "tcp://127.0.0.1:5003"


def custom(frontend_type: str, backend_type: str, **sides) -> Custom:
    return Custom(frontend_type=frontend_type, backend_type=backend_type, **sides)


SAME = [
    ("tcp://*:5001", "tcp://127.0.0.1:5001"),
    ("tcp://0.0.0.0:5001", "tcp://127.8.8.8:5001"),
    ("tcp://0:5001", "tcp://localhost:5001"),
    ("tcp://[::]:5001", "tcp://[::1]:5001"),
    ("tcp://*:5001", f"tcp://{socket.gethostname()}:5001"),
    ("tcp://127.0.0.1:5001", "tcp://LocalHost.:5001"),
    ("tcp://localhost:5001", "tcp://127.1:05001"),
    ("tcp://lo:5001", "tcp://127.0.0.1:5001"),
    ("tcp://127.0.0.1:5001", "tcp://[::ffff:127.0.0.1]:5001"),
    ("tcp://[::1]:5001", "tcp://[0:0:0:0:0:0:0:1]:5001"),
    ("tcp://ip6-localhost:5001", "tcp://[::1]:5001"),
    ("tcp://Relay.Example:5001", "tcp://relay.example.:5001"),
    ("tcp://10.1.2.3:5001", "tcp://10.1.2.3:5001"),
    ("ipc:///run/a", "ipc:///run/../run//a"),
    ("ipc://@abstract", "ipc://@abstract"),
    ("inproc://a", "inproc://a"),
]


@pytest.mark.parametrize(("binds", "connects"), SAME)
def test_a_device_that_connects_to_itself_is_refused_with_the_way(binds, connects):
    for sides in ({"frontend": binds, "backend": ">" + connects}, {"frontend": ">" + connects, "backend": binds}):
        with pytest.raises(
            SettingsError, match="expected endpoints that lead no message back to where it was"
        ) as error:
            Streamer(name="s", **sides)
        assert error.value.value == f"s.backend -> {connects} -> s.frontend"
        assert error.value.name == ("backend" if sides["frontend"] == binds else "frontend")


@pytest.mark.parametrize(
    ("binds", "connects"),
    [
        ("tcp://127.0.0.1:5001", "tcp://127.0.0.1:5002"),
        ("tcp://127.0.0.1:5001", "tcp://127.0.0.2:5001"),
        ("tcp://127.0.0.1:5001", "tcp://[::1]:5001"),
        ("tcp://*:5001", "tcp://10.1.2.3:5001"),
        ("tcp://*:5001", "tcp://other.example:5001"),
        ("tcp://*:0", "tcp://127.0.0.1:5001"),
        ("ipc:///run/a", "ipc:///run/b"),
        ("ipc://*", "ipc:///run/b"),
        ("ipc://@a", "ipc://a"),
        ("inproc://a", "inproc://A"),
    ],
)
def test_an_endpoint_of_another_program_is_none(binds, connects):
    Streamer(frontend=binds, backend=">" + connects)


@pytest.mark.parametrize("cls", [Streamer, Queue, Forwarder])
def test_each_pattern_is_refused_that_connects_to_itself(cls):
    with pytest.raises(SettingsError, match="lead no message back"):
        cls(frontend=IN, backend=[OUT, ">" + IN])


@pytest.mark.parametrize("key", ["pub", "push", "tap"])
def test_a_relay_is_refused_that_reads_what_it_sends(key):
    with pytest.raises(SettingsError, match=rf"'relay\.{key} -> {IN} -> relay\.sub'"):
        Relay(**{"sub": ">" + IN, "pub": OUT, key: IN})


@pytest.mark.parametrize("kind", ["PAIR", "DEALER", "ROUTER"])
def test_a_socket_is_refused_that_connects_to_itself(kind):
    with pytest.raises(SettingsError, match=rf"'custom\.backend -> {OUT} -> custom\.backend'"):
        custom("DEALER", kind, frontend=IN, backend=[OUT, ">" + OUT])


@pytest.mark.parametrize("cls", [Streamer, Queue, Forwarder])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_ring_through_other_devices_is_refused_once_and_a_chain_is_not(cls, count):
    def devices(last: str):
        at = [f"tcp://127.0.0.1:{6000 + number}" for number in range(count)]
        following = [">" + one for one in at[1:]] + [last]
        return tuple(
            cls(name=f"d{number}", frontend=one, backend=other)
            for number, (one, other) in enumerate(zip(at, following, strict=True))
        )

    ServerSettings(devices=devices("tcp://*:7000"))
    with pytest.raises(SettingsError, match="lead no message back") as error:
        ServerSettings(devices=devices(">tcp://localhost:6000"))
    assert all(f"d{number}.backend" in error.value.value for number in range(count))
    assert len(found(*devices(">tcp://localhost:6000"))) == 1


def test_two_ways_to_one_place_and_a_watched_tap_and_control_are_no_loops():
    ServerSettings(
        devices=(
            Streamer(name="split", frontend=IN, backend=MIDDLE, tap=9001, control=9002),
            Streamer(name="left", frontend=">" + MIDDLE, backend=">" + OUT),
            Streamer(name="right", frontend=">" + MIDDLE, backend=">" + OUT),
            custom("PULL", "PUB", name="join", frontend=OUT, backend=9003, control=">inproc://x", control_type="SUB"),
            Relay(name="watch", sub=">9001", push="inproc://x"),
        )
    )


def test_two_devices_that_feed_each_other_are_a_loop_for_some_types_only():
    one = custom("PULL", "PUB", name="one", frontend=IN, backend=OUT)
    back = custom("SUB", "PUSH", name="back", frontend=">" + OUT, backend=">" + IN)
    away = custom("SUB", "PUSH", name="away", frontend=">" + OUT, backend=9000)
    ServerSettings(devices=(one, away))
    with pytest.raises(SettingsError, match=rf"'back\.backend -> {IN} -> one\.frontend -> one\.backend -> {OUT} -> "):
        ServerSettings(devices=(back, one))


def found(*devices):
    sockets = {
        device.name: {key: (device.socket_types[key], several) for key, several in device.endpoints.items()}
        for device in devices
    }
    return list(loops(sockets))


def test_thousands_of_devices_are_looked_at_once_each():
    count = 3_000
    chain = [
        Streamer(name=f"d{number}", frontend=f"ipc:///run/{number}", backend=f">ipc:///run/{number + 1}")
        for number in range(count)
    ]
    assert found(*chain) == []
    assert len(found(*chain, Streamer(name="last", frontend=f"ipc:///run/{count}", backend=">ipc:///run/0"))) == 1


@pytest.mark.parametrize(
    "settings",
    [
        Streamer(frontend=1, backend=2), Queue(frontend=1, backend=2), Forwarder(frontend=1, backend=2),
        Forwarder(frontend=1, backend=2, subscribe=""), Relay(sub=1, pub=2, push=3),
        custom("PAIR", "DEALER", frontend=1, backend=2), custom("ROUTER", "ROUTER", frontend=1, backend=2),
    ],
    ids=lambda settings: f"{settings.pattern}-{'-'.join(settings.socket_types.values())}",
)  # fmt: skip
def test_messages_are_taken_to_go_where_the_pumps_of_the_pattern_bring_them(settings):
    pumps = {(pump.source, outlet.socket) for pump in plan(settings).pumps for outlet in pump.outlets}
    types = settings.socket_types
    assert pumps == {
        (one, other) for one in types for other in types
        if one != other and types[one] in READABLE and types[other] in WRITABLE
    }  # fmt: skip
