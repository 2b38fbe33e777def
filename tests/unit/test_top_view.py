"""What ``top`` shows after which keys, and what it leaves out."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stub_server import backbone, neighbour, relay, storing, working

from geventrelay.backbone.values import LinkState, StoreState
from geventrelay.cli.top import subscribers
from geventrelay.cli.top.keys import split
from geventrelay.cli.top.more_tables import kept_rows
from geventrelay.cli.top.rates import DeviceRates, rates
from geventrelay.cli.top.screen import Screen
from geventrelay.cli.top.since import Always, Since
from geventrelay.cli.top.subscribers import losses_of
from geventrelay.cli.top.table import columns_for
from geventrelay.cli.top.topics import TopicRates, to_ask
from geventrelay.cli.top.view import KEYS, SORTINGS, Shows, View

LETTERS = [
    *SORTINGS,
    "v",
    "r",
    "c",
    "?",
    "up",
    "down",
    "page-up",
    "page-down",
    "home",
    "end",
    "g",
    "G",
    "j",
    "k",
    " ",
    "b",
    "x",
]


def device(name="one", **changes):
    """A device that runs and does nothing."""
    per_s = {"received": 0.0, "sent": 0.0, "dropped": 0.0, "lost": 0.0}
    made = DeviceRates(
        name, "queue", "running", 0, None, None, {"frontend": 1}, 0, {"received": 0, "sent": 0, "dropped": {}}, per_s
    )
    changed = {key: value for key, value in changes.items() if key not in per_s}
    rates = {key: value for key, value in changes.items() if key in per_s}
    return dataclasses.replace(made, **changed, per_s={**per_s, **rates})


def names(view, devices, room=99):
    return [one.name for one in view.ordered(devices, room)]


@pytest.mark.parametrize(
    ("key", "changes", "falling"),
    [
        ("n", {}, False),
        ("s", {"state": "failed"}, True),
        ("i", {"received": 5.0}, True),
        ("o", {"sent": 5.0}, True),
        ("d", {"dropped": 5.0}, True),
        ("t", {"counts": {"received": 0, "sent": 0, "dropped": {"full": 5}}}, True),
        ("l", {"lost": 5.0}, True),
        ("a", {"counts": {"received": 0, "sent": 0, "dropped": {}, "lost": {"slow": 5}}}, True),
        ("h", {"held": 5}, True),
        ("p", {"peers": {"frontend": 5, "backend": None}}, True),
    ],
)
def test_each_key_sorts_and_again_turns_round(key, changes, falling):
    devices = [device("a"), device("b", **changes), device("c")]
    first = View().pressed(key, 3, 9)
    assert names(first, devices)[0] == ("b" if falling else "a")
    second = first.pressed(key, 3, 9)
    assert names(second, devices)[-1] == ("b" if falling else "a")
    assert names(second.pressed("c", 3, 9), devices) == ["a", "b", "c"]
    assert names(first.pressed("r", 3, 9), devices) == names(second, devices)


def test_those_that_need_a_look_are_first_only_where_not_all_fit():
    devices = [device("calm"), device("busy", received=9.0), device("failed", state="failed")]
    assert names(View(), devices, 3) == ["calm", "busy", "failed"]
    assert names(View(), devices, 2) == ["failed", "busy", "calm"]


def test_keys_scroll_to_the_end_and_not_beyond():
    devices = [device(str(number)) for number in range(10)]
    view = View("n")
    for key, first in [
        ("down", 1),
        ("page-down", 5),
        ("page-down", 6),
        ("j", 6),
        ("up", 5),
        ("home", 0),
        ("k", 0),
        ("G", 6),
    ]:
        view = view.pressed(key, 10, 4)
        assert view.shown(devices, 4)[0] == first
    # The screen has grown, or devices have gone.
    assert view.shown(devices, 8)[0] == 2
    assert view.shown(devices[:3], 4) == (0, devices[:3])


@given(st.lists(st.sampled_from(LETTERS)), st.integers(0, 12), st.integers(1, 12))
def test_any_keys_leave_a_full_screen(keys, number, room):
    devices = [device(str(index)) for index in range(number)]
    view = View()
    for key in keys:
        view = view.pressed(key, number, room)
    first, shown = view.shown(devices, room)
    assert len(shown) == min(number, room)
    assert 0 <= first <= max(0, number - room)


def test_the_list_of_keys_has_each_that_sorts():
    listed = [key for key, _ in KEYS]
    assert [key for key in SORTINGS if key not in listed] == []
    assert View().pressed("?", 1, 1).helps
    assert not View(helps=True).pressed("i", 1, 1).helps
    assert View(helps=True).pressed("i", 1, 1).key is None


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("q", ["q"]), ("ij", ["i", "j"]), ("\x1b[A\x1b[6~q", ["up", "page-down", "q"]), ("\x1bOB", ["down"]),
        ("\x1b", ["\x1b"]), ("\x1b[1;5Aq", ["\x1b[1;5A", "q"]), ("\x1b[15~q", ["\x1b[15~", "q"]),
        ("\x1b[H\x1b[4~", ["home", "end"]),
    ],
)  # fmt: skip
def test_what_a_terminal_sends_is_taken_apart_into_keys(text, keys):
    found = []
    while text:
        key, text = split(text)
        found.append(key)
    assert found == keys


def dropped(name="one", received=0, **reasons):
    return device(name, counts={"received": received, "sent": 0, "dropped": reasons})


def test_only_reasons_that_have_grown_since_it_began_are_told():
    since = Since()
    since.see([dropped(full=3, no_peer=5)])
    assert since.reasons(dropped(full=3, no_peer=5), "dropped") == {}
    since.see([dropped(full=4, no_peer=5)])
    assert since.reasons(dropped(full=4, no_peer=5), "dropped") == {"full": 4}
    assert since.reasons(dropped("new", full=1), "dropped") == {"full": 1}
    assert Always().reasons(dropped(full=3), "dropped") == {"full": 3}


def test_what_slow_subscribers_lose_is_news_as_what_is_dropped_is(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outlet = {"socket": "pub", "sent": {"messages": 9}, "dropped": {}, "delivered": 5}
    pump = {"source": "sub", "received": {"messages": 9}}
    before, after = (
        {"devices": [{"name": "one", "state": "running", "pumps": [pump | {"outlets": [outlet | {"lost": lost}]}]}]}
        for lost in ({}, {"slow": 4})
    )
    devices = rates(after, rates(before, {}, 0), 1.0)
    assert devices["one"].needs_a_look
    lines = Screen("http://127.0.0.1:8080").text({}, devices).splitlines()
    assert "dropping 0/s  losing 4/s" in lines[1]
    assert lines[-1] == "one: lost 4 slow"


def test_denied_peers_are_told_by_reason_over_all_sockets(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    before, after = (
        {"devices": [{"name": "one", "state": "running", "pumps": [], "sockets": [
            {"key": "frontend", "denied": {"unknown_key": number}}, {"key": "backend", "denied": {"address": 1}},
        ]}]}
        for number in (0, 3)
    )  # fmt: skip
    devices = rates(after, rates(before, {}, 0), 1.0)
    lines = Screen("http://127.0.0.1:8080").text({}, devices).splitlines()
    assert "denying 3/s" in lines[1]
    assert lines[-1] == "one: denied 3 unknown_key, 1 address"
    assert devices["one"].as_json()["denied_per_s"] == 3


def test_what_a_device_keeps_is_told_where_it_is_printed_once(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    nothing = {"last_values": {"kept": None, "bytes": None}, "log": {"messages": None, "bytes": None}}
    keeps = {"last_values": {"kept": 1, "bytes": 26}, "log": {"messages": 1500, "bytes": 31000, "oldest": 7}}
    pumps = [{"outlets": [nothing]}, {"outlets": [keeps]}, {"outlets": [{}]}]
    answer = {"devices": [{"name": "one", "pumps": pumps}, {"name": "two", "pumps": pumps[:1]}, {"name": "old"}]}
    devices = rates(answer, {}, 0)
    lines = Screen("http://127.0.0.1:8080").text({}, devices).splitlines()
    assert lines[-2:] == ["one: keeps 1 last value (26 bytes)", "one: keeps 1,500 messages (31,000 bytes) for replay"]
    assert [devices[name].as_json()["log"] for name in ("one", "two", "old")] == [keeps["log"], None, None]
    assert [devices[name].as_json()["last_values"] for name in ("one", "two")] == [keeps["last_values"], None]


def topic(name="a", device="one", **changes):
    made = TopicRates(device, "pub", name, messages=5, error=0, messages_per_s=1.0, bytes_per_s=20.0, lost=0)
    return dataclasses.replace(made, **changes)


def test_topics_are_shown_by_rate_and_in_the_columns_that_fit(monkeypatch):
    topics = [topic("a b\x1b"), topic("b", messages_per_s=2_000.0, error=1), topic("[red]", "old", messages_per_s=None)]
    for columns, wanted in (
        (
            80,
            [
                ["topic", "msg/s", "lost", "bytes/s", "messages", "subs", "device"],
                ["b", "2.0k", "0", "20", "~5", "?", "one"],
            ],
        ),
        (24, [["topic", "msg/s"], ["b", "2.0k"]]),
    ):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = Screen("http://127.0.0.1:8080").text({}, {"one": device()}, topics).splitlines()
        assert [line.split() for line in lines[-4:-2]] == wanted
        assert [line.split()[0] for line in lines[-2:]] == ["a", "[red]"]
        assert max(map(len, lines)) <= columns
    text = Screen("http://127.0.0.1:8080").text({}, {"one": device()}, [])
    assert text.splitlines()[-1].startswith("no topics: devices with")


def test_topics_are_asked_of_the_devices_that_count_some_and_have_the_most_traffic():
    some = [device(f"{number}", topics=5, received=float(number)) for number in range(12)]
    others = [device("none", topics=0, received=99.0), device("old", received=99.0)]
    assert to_ask([*others, *some]) == [f"{number}" for number in range(11, 1, -1)]


def test_subscribers_are_shown_by_loss_with_why_and_what_of_it():
    lost = [{"topic": "t\x1b", "hex": "74", "lost": 2, "error": 0}, {"topic": "u", "lost": 1}]
    there = {"address": "1.2.3.4:5", "user": "ann", "lost": {"left": 1, "slow": 2}, "lost_topics": lost, "delivered": 9}
    gone = {"address": "1.2.3.4:6", "left_at": 5.0, "lost": {"slow": 7000}, "waiting": 0, "of_a_newer_server": [1]}
    fine = {"address": "1.2.3.4:7", "lost": {"slow": 0}}
    answer = {"sockets": {"pub": {"peers": [there, fine, {"address": "old"}], "gone": [gone]}}}
    found = losses_of("one", answer)
    lines = Screen("http://127.0.0.1:8080").text({}, {"one": device()}, None, found).splitlines()
    assert [line.split() for line in lines[-3:]] == [
        ["subscriber", "lost", "why", "most", "of", "got", "waiting"],
        ["left:", "1.2.3.4:6", "7.0k", "slow", "?", "?", "0"],
        ["ann@1.2.3.4:5", "3", "slow+", r"t\x1b", "9", "?"],
    ]
    told = [one.as_json() for one in found]
    assert (told[0]["lost"], told[0]["lost_topics"][1]) == (there["lost"], lost[1] | {"hex": None, "error": None})
    text = Screen("http://127.0.0.1:8080").text({}, {"one": device()}, None, [])
    assert text.splitlines()[-1].startswith("no subscriber has lost anything")


def test_subscribers_are_asked_of_the_devices_that_lose_most():
    some = [device(f"{number}", counts={"lost": {"slow": 1}}, lost=float(number)) for number in range(12)]
    assert subscribers.to_ask([device("none"), *some]) == [f"{number}" for number in range(11, 1, -1)]


def test_what_is_kept_has_a_row_for_each_thing():
    values = {"kept": 3, "bytes": 2_000, "forgotten": {"age": 1, "topics": 2}}
    log = {"messages": 1, "bytes": 7, "forgotten_for_memory": None}
    assert kept_rows(
        [device(), device("two", last_values=values, log=log), device("old", last_values={"bytes": 1})]
    ) == [
        ("two", "last values", "3", "2.0k", "3"),
        ("two", "for replay", "1", "7", "?"),
        ("old", "last values", "?", "1", "?"),
    ]


def meshed(seconds=0, silent_s=0.4, **changes):
    """A device with two others of its name."""
    others = [
        neighbour(1, sent=1000 + 300 * seconds, received=7, lost=2, silent_s=silent_s),
        neighbour(2, about={"waiting": 3}) | {"work_sent": 50 * seconds, "credit": 64},
    ]
    return working(relay("prices") | {"backbone": backbone(others, sent=350 * seconds, waiting=4, **changes)})


def mesh_lines(width, monkeypatch, *devices, seconds=2.0):
    monkeypatch.setenv("COLUMNS", str(width))
    before = rates({"devices": list(devices[:1])}, {}, 0)
    found = rates({"devices": list(devices[-1:])}, before, seconds)
    some = [row for one in found.values() for row in one.mesh]
    return Screen("http://127.0.0.1:8080").text({}, found, None, None, some).splitlines()


def test_the_mesh_has_this_relay_and_the_others_with_what_goes_to_and_fro(monkeypatch):
    lines = mesh_lines(170, monkeypatch, meshed(), meshed(2, silent_s=3.1))
    assert [" ".join(line.split()) for line in lines[-4:]] == [
        "relay to/s from/s silent away waits peers in/s out/s lost credit promised device nats version",
        "here: here.example.net 350 0 - 0.4 ms 4 16 - - 0 0 0 prices nats://n1:4222 -",
        "site-1.example.net 300 0 3.1 s 2.1 ms 0 42 310 12k 2 0 0 prices nats://n2:4222 0.1.0",
        "site-2.example.net 50 0 0.4 s 2.1 ms 3 42 310 12k 0 64 0 prices nats://n2:4222 0.1.0",
    ]
    # A device without work knows of no credit.
    local = relay("prices") | {"backbone": backbone([neighbour(1)])}
    assert "credit" not in "".join(mesh_lines(170, monkeypatch, local))
    narrow = mesh_lines(60, monkeypatch, meshed())
    assert max(map(len, narrow)) <= 60 and narrow[-4].split()[:4] == ["relay", "to/s", "from/s", "silent"]


def test_a_device_without_a_connection_to_nats_says_so(monkeypatch):
    away = meshed(state=LinkState.CONNECTING, reason="Connection refused", server="")
    lines = mesh_lines(160, monkeypatch, away)
    assert "prices: no connection to NATS: Connection refused\\x1b" in lines
    (own,) = [line for line in lines if line.startswith("here: ")]
    assert "no NATS" in own
    # An older server still tells what it was before.
    assert " ms " not in own and " ? " in own
    assert "no device has a backbone" in mesh_lines(160, monkeypatch, relay("prices"))[-1]


def test_how_work_stands_that_nats_keeps_has_a_line_below_the_mesh(monkeypatch):
    lines = mesh_lines(170, monkeypatch, meshed(**storing()))
    assert lines[-1] == (
        "prices: NATS keeps its work on 3 servers, it holds 12 packs (31,000 bytes), 1,200 stored from here, "
        "3 on the way there, 900 fetched, 64 redelivered, 10 returned"
    )
    # It is not shared by credit.
    assert "credit" not in "".join(lines)
    quiet = storing(store_waiting=0, store_packs=1, store_bytes=70, store_replicas=1, redelivered=0, stored_again=0)
    assert mesh_lines(170, monkeypatch, meshed(**quiet))[-1] == (
        "prices: NATS keeps its work on 1 server, it holds 1 pack (70 bytes), 1,200 stored from here, 900 fetched"
    )
    away = storing(store=StoreState.WAITING, store_packs=None, store_bytes=None)
    assert "prices: NATS gives no answer, so that its work is not stored, 1,200" in "".join(
        mesh_lines(170, monkeypatch, meshed(**away))
    )
    reason = {"store": StoreState.REFUSED, "store_reason": "the server has no JetStream\x1b"}
    lines = mesh_lines(170, monkeypatch, meshed(**storing(**reason)))
    refused = "prices: NATS DOES NOT KEEP ITS WORK: the server has no JetStream\\x1b, "
    # Also where the mesh is not looked at.
    assert [line.startswith(refused) for line in lines].count(True) == 2


def test_relays_of_one_host_are_told_apart(monkeypatch):
    others = [neighbour(1, host="here.example.net"), neighbour(2)]
    lines = mesh_lines(170, monkeypatch, relay("prices") | {"backbone": backbone(others)})
    for start in ("here: here.example.net 9c3f5e0b  ", "here.example.net 00000000  ", "site-2.example.net  "):
        assert any(line.startswith(start) for line in lines)


def test_what_an_older_relay_does_not_say_is_unknown():
    old = {"relay": "1" * 16, "silent_s": 0.5, "received": 5}
    (device,) = rates({"devices": [relay("prices") | {"backbone": {"neighbours": [old]}}]}, {}, 0).values()
    own, other = (one.as_json() for one in device.mesh)
    assert (other["received"], other["peers"], other["nats"], other["sent"]) == (5, None, None, None)
    assert (own["is_own"], own["state"], own["peers"]) == (True, None, 16)


def test_a_key_turns_from_one_to_the_next_and_back_and_keeps_the_order_of_devices():
    view = View().pressed("d", 9, 3).pressed("down", 9, 3)
    topics = view.pressed("v", 9, 3)
    assert (topics.shows, topics.first) == (Shows.TOPICS, 0)
    assert topics.pressed("n", 9, 3) == topics
    assert topics.pressed("G", 9, 3).first == 6
    assert topics.pressed("v", 9, 3).shows is Shows.SUBSCRIBERS
    assert topics.pressed("v", 9, 3).pressed("v", 9, 3).shows is Shows.KEPT
    mesh = topics.pressed("v", 9, 3).pressed("v", 9, 3).pressed("v", 9, 3)
    assert mesh.shows is Shows.MESH
    back = mesh.pressed("v", 9, 3)
    assert (back.shows, back.key) == (Shows.DEVICES, "d")


def test_a_server_that_begins_again_counts_from_0():
    since = Since()
    since.see([dropped(received=9, full=3)])
    since.see([dropped(received=2)])
    assert since.reasons(dropped(received=3, full=1), "dropped") == {"full": 1}


def test_a_failure_of_before_is_told_only_where_the_device_is_still_down():
    since = Since()
    since.see([device(failure="x", restarts=2), device("down", failure="x", state="failed")])
    assert not since.has_failed(device(failure="x", restarts=2))
    assert since.has_failed(device(failure="x", restarts=3))
    assert since.has_failed(device("down", failure="x", state="failed"))
    assert Always().has_failed(device(failure="x"))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 132, 300])
def test_columns_fit_and_the_important_ones_are_there(width):
    columns = columns_for(width)
    assert sum(one.width + 2 for one in columns) + 11 <= max(width, 11)
    keys = [one.key for one in columns]
    if width >= 60:
        assert keys[:4] == ["state", "received", "sent", "dropped"]
        assert {"total", "held"} <= set(keys)
    assert ("peers" in keys) == (width >= 80)


def test_a_number_of_peers_that_is_not_certain_is_marked():
    one = device(peers={"frontend": 1, "backend": 2, "control": None}, uncertain=["backend", "control"])
    (column,) = (column for column in columns_for(120) if column.key == "peers")
    assert column.cell(one) == "1/~2/~?"


def test_what_the_server_says_of_its_peers_is_taken_over():
    sockets = [{"key": "frontend", "peers": 1, "certain": False}, {"key": "backend", "peers": 2, "certain": True}]
    (one,) = rates({"devices": [{"name": "one", "sockets": sockets}]}, {}, 1.0).values()
    assert one.as_json()["uncertain"] == ["frontend"]
