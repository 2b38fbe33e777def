"""What each pattern is made of, as a value: its sockets, and how pumps join them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pytest
import zmq

from geventrelay import Custom, Forwarder, Queue, Relay, Streamer
from geventrelay.components.peer_bounds import backlog
from geventrelay.devices import patterns
from geventrelay.devices.assembly import sockets_of
from geventrelay.devices.features import FEATURES
from geventrelay.settings.patterns import PATTERNS, _Proxy
from geventrelay.terms import Payload, WhenFull

SIDES = {"frontend": 1, "backend": 2}
JOINED = {"name": "shop", "backbone": "n1"}
OF_BACKBONE = {"backbone_in": "PULL", "backbone_news": "PUSH"}
OF_WORK = {"backbone_work_out": "PUSH", "backbone_work_in": "PULL"}

# Settings -> each socket's type and options, and each pump with its outlets.
PLANS = {
    "relay": (Relay(sub=1, pub=2), {"sub": "SUB", "pub": "PUB"}, {"sub": ["pub"]}),
    "relay with pullers": (
        Relay(sub=1, pub=2, push=3), {"sub": "SUB", "pub": "PUB", "push": "PUSH"}, {"sub": ["pub", "push"]}
    ),
    "forwarder": (
        Forwarder(**SIDES), {"frontend": "XSUB", "backend": "XPUB"}, {"frontend": ["backend"], "backend": ["frontend"]}
    ),
    "forwarder of topics": (
        Forwarder(**SIDES, subscribe="a"), {"frontend": "SUB", "backend": "PUB"}, {"frontend": ["backend"]}
    ),
    "relay with a backbone": (
        Relay(sub=1, pub=2, push=3, **JOINED),
        {"sub": "SUB", "pub": "XPUB", "push": "PUSH", "backbone_out": "PUB", **OF_BACKBONE, **OF_WORK},
        {
            "sub": ["pub", "push|backbone_work_out", "backbone_out"],
            "pub": ["backbone_news"],
            "backbone_in": ["pub"],
            "backbone_work_in": ["push|backbone_work_out"],
        },
    ),
    "relay of payloads alone with a backbone": (
        Relay(sub=1, push=3, **JOINED),
        {"sub": "SUB", "push": "PUSH", **OF_WORK},
        {"sub": ["push|backbone_work_out"], "backbone_work_in": ["push|backbone_work_out"]},
    ),
    "streamer with a backbone": (
        Streamer(**SIDES, **JOINED),
        {"frontend": "PULL", "backend": "PUSH", **OF_WORK},
        {"frontend": ["backend|backbone_work_out"], "backbone_work_in": ["backend|backbone_work_out"]},
    ),
    "queue with a backbone": (
        Queue(**SIDES, **JOINED),
        {"frontend": "ROUTER", "backend": "DEALER", "backbone_work_out": "DEALER", "backbone_work_in": "ROUTER"},
        {
            "frontend": ["backend|backbone_work_out"],
            "backend": ["frontend|backbone_work_in"],
            "backbone_work_in": ["backend|backbone_work_out"],
            "backbone_work_out": ["frontend|backbone_work_in"],
        },
    ),
    "forwarder with a backbone": (
        Forwarder(**SIDES, **JOINED),
        {"frontend": "XSUB", "backend": "XPUB", "backbone_out": "XPUB", **OF_BACKBONE},
        {
            "frontend": ["backend", "backbone_out"],
            "backend": ["frontend", "backbone_news"],
            "backbone_in": ["backend"],
            "backbone_out": ["frontend"],
        },
    ),
    "forwarder of topics with a backbone": (
        Forwarder(**SIDES, **JOINED, subscribe="a"),
        {"frontend": "SUB", "backend": "XPUB", "backbone_out": "PUB", **OF_BACKBONE},
        {"frontend": ["backend", "backbone_out"], "backend": ["backbone_news"], "backbone_in": ["backend"]},
    ),
    "queue": (
        Queue(**SIDES), {"frontend": "ROUTER", "backend": "DEALER"}, {"frontend": ["backend"], "backend": ["frontend"]}
    ),
    "streamer": (Streamer(**SIDES), {"frontend": "PULL", "backend": "PUSH"}, {"frontend": ["backend"]}),
    "custom": (
        Custom(**SIDES, frontend_type="PAIR", backend_type="DEALER"),
        {"frontend": "PAIR", "backend": "DEALER"},
        {"frontend": ["backend"], "backend": ["frontend"]},
    ),
}  # fmt: skip


def _way(outlet):
    return outlet.socket if outlet.otherwise is None else f"{outlet.socket}|{outlet.otherwise}"


@pytest.mark.parametrize(("settings", "types", "ways"), PLANS.values(), ids=list(PLANS))
def test_sockets_and_ways_of_each_pattern(settings, types, ways):
    plan = patterns.plan(settings)
    assert {one.key: zmq.SocketType(one.type).name for one in plan.sockets} == types
    found = {pump.source: [_way(outlet) for outlet in pump.outlets] for pump in plan.pumps}
    assert found == ways
    assert sockets_of(plan, settings) == plan.sockets


def test_every_pattern_is_here():
    assert {settings.pattern for settings, _, _ in PLANS.values()} == set(PATTERNS)


# The endpoint, how many descriptors are free, the option of the socket, and how many connections may wait.
WAITING = {
    "tcp": ("tcp://*:1", 100, {}, 1024),
    "ipc with plenty of descriptors": ("ipc://a", 2048, {}, 1024),
    "ipc with few descriptors": ("ipc://a", 2047, {}, 8),
    "an abstract name": ("ipc://@a", 100, {}, 8),
    "an option of the socket": ("ipc://a", 100, {zmq.BACKLOG: 77}, 77),
}


@pytest.mark.parametrize(("endpoint", "free", "options", "waiting"), WAITING.values(), ids=list(WAITING))
def test_how_many_connections_may_wait(endpoint, free, options, waiting):
    settings = Streamer(frontend=endpoint, backend=2, socket_options={"frontend": options})
    (plan,) = (one for one in patterns.plan(settings).sockets if one.key == "frontend")
    assert backlog(plan, settings, plan.endpoints[0], free) == waiting


def test_only_the_requests_of_a_queue_are_answered():
    answered = {
        name: [pump.answered_by for pump in patterns.plan(settings).pumps] for name, (settings, _, _) in PLANS.items()
    }
    assert answered.pop("queue") == [("backend",), ()]
    both = ("backend", "backbone_work_out")
    assert answered.pop("queue with a backbone") == [both, (), both, ()]
    assert {one for pumps in answered.values() for one in pumps} == {()}


def test_what_differs_between_outlets():
    (pump,) = patterns.plan(Relay(sub=1, pub=2, push=3, push_payload="parts")).pumps
    assert [(one.when_full, one.payload) for one in pump.outlets] == [
        (WhenFull.BLOCK, Payload.WHOLE), (WhenFull.DROP, Payload.PARTS)
    ]  # fmt: skip
    routers = patterns.plan(Custom(**SIDES, frontend_type="ROUTER", backend_type="ROUTER")).pumps
    assert {outlet.payload for pump in routers for outlet in pump.outlets} == {Payload.SWAP}


@pytest.mark.parametrize(
    ("settings", "key", "options"),
    [
        (Relay(sub=1, pub=2), "sub", ((zmq.SUBSCRIBE, b""),)),
        (Forwarder(**SIDES, subscribe=["a", "b"]), "frontend", ((zmq.SUBSCRIBE, b"a"), (zmq.SUBSCRIBE, b"b"))),
        (Forwarder(**SIDES, slow_subscriber="block"), "backend", ((zmq.XPUB_NODROP, 1),)),
        (Forwarder(**SIDES, subscribe="", slow_subscriber="block"), "backend", ((zmq.XPUB_NODROP, 1),)),
        (Relay(sub=1, pub=2, slow_subscriber="block"), "pub", ((zmq.XPUB_NODROP, 1),)),
        (Forwarder(**SIDES), "backend", ()),
        (Custom(**SIDES, frontend_type="SUB", backend_type="PUSH"), "frontend", ((zmq.SUBSCRIBE, b""),)),
        (Queue(**SIDES), "frontend", ()),
    ],
)
def test_options_of_single_sockets(settings, key, options):
    assert {one.key: one.options for one in patterns.plan(settings).sockets}[key] == options


def test_features_add_their_sockets_behind_those_of_any_pattern():
    settings = Queue(**SIDES, control=3, control_type="SUB", tap=4)
    plan = patterns.plan(settings)
    control, tap = sockets_of(plan, settings)[2:]
    assert (control.key, control.type, control.options[-1]) == ("control", zmq.SUB, (zmq.SUBSCRIBE, b""))
    assert (tap.key, tap.type) == ("tap", zmq.XPUB)
    # The sockets of a backbone are part of the plan: pumps read and write them.
    assert len(FEATURES) == 3


def test_a_pattern_with_two_sides_needs_no_plan_of_its_own(monkeypatch):
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Pair(_Proxy):
        pattern: ClassVar[str] = "pair"

        @classmethod
        def _pattern_types(cls, values):
            return {"frontend": "PAIR", "backend": "PAIR"}

    monkeypatch.setitem(PATTERNS, "pair", Pair)
    plan = patterns.plan(Pair(**SIDES))
    assert [one.type for one in plan.sockets] == [zmq.PAIR, zmq.PAIR]
    assert [pump.source for pump in plan.pumps] == ["frontend", "backend"]


def test_plans_are_values():
    assert patterns.plan(Queue(**SIDES)) == patterns.plan(dataclasses.replace(Queue(**SIDES), linger_ms=5))
