"""What a new configuration changes, as a value."""

from __future__ import annotations

import dataclasses

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import Custom, Forwarder, Queue, Relay, Streamer
from geventrelay.devices.live_changes import Adjustment, adjustment
from geventrelay.errors import SettingsError
from geventrelay.server.reload import ReloadResult, difference, needs_restart
from geventrelay.settings import HttpAddress, ServerSettings


def queue(name, **settings):
    # Ends that connect can be the same for several devices.
    return Queue(name=name, **{"frontend": ">5000", "backend": ">5001", **settings})


def relay(**settings):
    return Relay(**{"name": "r", "sub": 5000, "pub": 5001, **settings})


def server(*devices, **options):
    return ServerSettings(devices=devices, **options)


def test_each_device_is_in_its_place():
    old = server(queue("same"), queue("gone"), queue("moved"), queue("slower"))
    new = server(queue("new"), queue("slower", drain_s=5), queue("moved", backend=6000), queue("same"))
    assert difference(old, new) == ReloadResult(("same",), ("new",), ("gone",), ("moved",), ("slower",))


def test_another_pattern_under_the_same_name_is_a_change():
    streamer = Streamer(name="q", frontend=5000, backend=5001)
    assert difference(server(queue("q")), server(streamer)).changed == ("q",)


ADJUSTED = [
    (queue("q"), queue("q", linger_ms=5, drain_s=7)),
    (queue("q", frontend="tcp://*:5000", backend="tcp://*:5001"), queue("q", frontend="tcp://*:5000",
     backend="tcp://*:5001", interface="127.0.0.1")),
    (relay(), relay(subscribe=("a", "b"))),
    (Forwarder(frontend=1, backend=2, subscribe="a"), Forwarder(frontend=1, backend=2, subscribe="b")),
    (Custom(frontend=1, backend=2, frontend_type="SUB", backend_type="PUSH"),
     Custom(frontend=1, backend=2, frontend_type="SUB", backend_type="PUSH", subscribe="b")),
]  # fmt: skip

CHANGED = [
    (queue("q"), queue("q", sndhwm=5)),
    (queue("q"), queue("q", rcvhwm=5)),
    (queue("q"), queue("q", frontend=6000)),
    (queue("q", backend=6000), queue("q", backend=6000, interface="127.0.0.1")),
    (queue("q"), queue("q", heartbeat_ms=5)),
    (queue("q"), queue("q", max_message_size_bytes=5000)),
    (queue("q"), queue("q", ipv6=True)),
    (queue("q"), queue("q", io_threads=2)),
    (queue("q"), queue("q", socket_options={"backend": {zmq.SNDBUF: 5000}})),
    (queue("q"), queue("q", control=6000)),
    (queue("q", control=6000), queue("q", control=6000, control_type="SUB")),
    (relay(), relay(push=6000)),
    (relay(push=6000), relay(push=6000, push_payload="whole")),
    (relay(push=6000), relay(push=6000, push_when_full="block")),
    (Forwarder(frontend=1, backend=2), Forwarder(frontend=1, backend=2, subscribe="b")),
    (Forwarder(frontend=1, backend=2), Forwarder(frontend=1, backend=2, slow_subscriber="block")),
]


@pytest.mark.parametrize(("old", "new"), ADJUSTED)
def test_what_a_running_socket_can_take_is_adjusted(old, new):
    new = dataclasses.replace(new, name=old.name)
    assert difference(server(old), server(new)).adjusted == (old.name,)
    adjustment(old, new)


@pytest.mark.parametrize(("old", "new"), CHANGED)
def test_everything_else_is_a_restart(old, new):
    new = dataclasses.replace(new, name=old.name)
    assert difference(server(old), server(new)).changed == (old.name,)
    with pytest.raises(SettingsError, match="a value that does not change while the device runs"):
        adjustment(old, new)


def test_an_adjustment_with_something_that_needs_a_restart_is_a_restart():
    assert difference(server(queue("q")), server(queue("q", drain_s=5, frontend=6000))).changed == ("q",)


@given(*[st.lists(st.binary(max_size=2), min_size=1, max_size=5)] * 2)
def test_subscriptions_that_go_and_come_are_counted(before, after):
    # libzmq counts them too: what was subscribed to twice must be unsubscribed from twice.
    change = adjustment(relay(subscribe=before), relay(subscribe=after))
    now = [*before, *change.subscribe]
    for prefix in change.unsubscribe:
        now.remove(prefix)
    assert sorted(now) == sorted(after)
    assert not set(change.subscribe) & set(change.unsubscribe)


def test_a_control_sockets_own_subscription_stays():
    old, new = (relay(control=1, control_type="SUB", subscribe=prefixes) for prefixes in ((b"",), (b"a",)))
    assert adjustment(old, new) == Adjustment(subscribe=(b"a",), unsubscribe=(b"",))


@given(*[st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([{}, {"drain_s": 9}, {"frontend": ">7"}]))] * 2)
def test_every_device_is_in_exactly_one_place(before, after):
    old, new = (server(*(queue(name, **settings) for name, settings in one.items())) for one in (before, after))
    result = difference(old, new)
    placed = [*result.unchanged, *result.added, *result.removed, *result.changed, *result.adjusted]
    assert sorted(placed) == sorted({*before, *after})
    assert set(result.unchanged) == {name for name in before if after.get(name) == before[name]}


def test_options_of_the_process_that_wait_for_its_restart(tmp_path):
    old, new = server(log_level="info"), server(log_level="debug", fail_fast=True, ready_file=tmp_path / "ready")
    assert needs_restart(old, new) == ("ready_file",)
    assert needs_restart(old, server(http=HttpAddress("127.0.0.1", 80))) == ("http",)
