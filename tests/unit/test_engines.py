"""Which engine a device has, and what is refused with engine zmtp: one line that names the option and the engine."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import zmq
from support.samples import PUBLIC, SAMPLES, SECRET

from geventrelay import Custom, Device, Forwarder, Queue, Relay, Streamer
from geventrelay.components.terms import linger_ms, side_plan, terms
from geventrelay.devices.engines import VARIABLE, default_engine, engine_of, log_engine
from geventrelay.devices.live_changes import restart_needed_by
from geventrelay.devices.patterns import plan
from geventrelay.errors import SettingsError, StartError
from geventrelay.settings import PATTERNS
from geventrelay.settings.engines import OPTIONS
from geventrelay.settings.option import options_of
from geventrelay.settings.socket_options import OPTIONS as EVERY
from geventrelay.switch.choose import core_maker
from geventrelay.switch.contract import SidePlan
from geventrelay.switch.dialler import Redial
from geventrelay.terms import Engine

SIDES = {"frontend": 1, "backend": 2}
ZMTP = SIDES | {"engine": "zmtp"}
RIGHTS = SIDES | {"engine": "libzmq", "rights": "rights.toml"}

REFUSED = {
    "inproc": (lambda: Streamer(**ZMTP | {"backend": "inproc://x"}),
               "backend: expected tcp or ipc with engine zmtp, which has no inproc, got 'inproc://x'"),
    "I/O threads": (lambda: Streamer(**ZMTP, io_threads=2),
                    "io_threads: expected 1 with engine zmtp, which has no I/O threads, got 2"),
    "affinity": (lambda: Streamer(**ZMTP, socket_options={"backend": {zmq.AFFINITY: 1}}),
                 "backend.affinity: expected no affinity with engine zmtp, which does not have it, got 1"),
    "socks": (lambda: Streamer(**ZMTP, socket_options={"frontend": {zmq.SOCKS_PROXY: b"localhost:1080"}}),
              "frontend.socks_proxy: expected no socks-proxy with engine zmtp, which does not have it, "
              "got 'localhost:1080'"),
    "a password": (lambda: Streamer(**ZMTP, socket_options={"frontend": {zmq.SOCKS_PASSWORD: b"hush"}}),
                   "frontend.socks_password: expected no socks-password with engine zmtp, which does not have it, "
                   "got something else"),
    "what no PULL has, told once": (
        lambda: Streamer(**ZMTP, socket_options={"frontend": {zmq.PROBE_ROUTER: True}}),
        "frontend.probe_router: expected no probe-router with engine zmtp, which does not have it, got True",
    ),
    "a policy of libzmq": (
        lambda: Forwarder(**SIDES, engine="libzmq", slow_subscriber="disconnect"),
        "slow_subscriber: expected drop or block with engine libzmq (slow-subscriber disconnect needs engine zmtp), "
        "got 'disconnect'",
    ),
    "a policy and inproc": (
        lambda: Forwarder(**SIDES | {"backend": "inproc://x"}, slow_subscriber="drop-oldest"),
        "backend: expected tcp or ipc with engine zmtp (slow-subscriber drop-oldest needs it), which has no inproc, "
        "got 'inproc://x'",
    ),
    "a policy and an option": (
        lambda: Relay(sub=1, pub=2, slow_subscriber="disconnect", io_threads=2),
        "io_threads: expected 1 with engine zmtp (slow-subscriber disconnect needs it), which has no I/O threads, "
        "got 2",
    ),
    "a policy and PAIR": (
        lambda: Custom(**SIDES, frontend_type="PAIR", backend_type="PUB", slow_subscriber="disconnect"),
        "slow_subscriber: expected drop or block here (slow-subscriber disconnect needs engine zmtp), since "
        "engine zmtp speaks PULL, PUSH, SUB, PUB, XSUB, XPUB, ROUTER, DEALER, and not PAIR, got 'disconnect'",
    ),
    "rights and legacy peers": (
        lambda: Streamer(**RIGHTS, legacy_peers=True),
        "legacy_peers: expected false where there are rights with engine libzmq (frontend has some), got True",
    ),
    "rights and legacy peers of one socket": (
        lambda: Streamer(**RIGHTS, socket_options={"backend": {zmq.ZAP_DOMAIN: b""}}),
        "backend.legacy_peers: expected false where there are rights with engine libzmq, got True",
    ),
    "rights and both ways": (
        lambda: Streamer(**RIGHTS | {"frontend": ["tcp://127.0.0.1:1", ">tcp://127.0.0.1:3"]}),
        "frontend: expected endpoints that all bind or all connect where there are rights with engine libzmq, "
        "got 'tcp://127.0.0.1:1, >tcp://127.0.0.1:3'",
    ),
    "rights and inproc": (
        lambda: Streamer(**RIGHTS | {"frontend": ["tcp://127.0.0.1:1", "inproc://x"]}),
        "frontend: expected no inproc beside other endpoints where there are rights with engine libzmq, "
        "got 'inproc://x'",
    ),
    "rights and a mechanism of libzmq's": (
        lambda: Streamer(**RIGHTS, socket_options={"frontend": {zmq.PLAIN_USERNAME: b"a"}}),
        "frontend.plain_username: expected no plain-username where there are rights with engine libzmq, "
        "got 'plain-username'",
    ),
    "rights, no engine chosen, and neither can": (
        lambda: Streamer(**RIGHTS | {"engine": "auto"}, legacy_peers=True, io_threads=2),
        "legacy_peers: expected false where there are rights with engine libzmq (frontend has some), got True",
    ),
    "an age with libzmq": (
        lambda: Relay(sub=1, pub=2, engine="libzmq", subscriber_max_age_s=2),
        "subscriber_max_age_s: expected 0 with engine libzmq (subscriber-max-age 2 needs engine zmtp), got 2.0",
    ),
    "last values with libzmq": (
        lambda: Forwarder(**SIDES, engine="libzmq", last_value=True),
        "last_value: expected no last-value with engine libzmq (last-value needs engine zmtp), got True",
    ),
    "last values without subscribers": (
        lambda: Relay(sub=1, push=2, last_value=True),
        "pub: expected an endpoint where last-value is given, got None",
    ),
    "how last values are kept, where none are": (
        lambda: Forwarder(**SIDES, topic_until=":"),
        "last_value: expected true, or topics above 0, where topic-until is given, got False",
    ),
    "topics with libzmq": (
        lambda: Forwarder(**SIDES, engine="libzmq", topics=5),
        "topics: expected 0 with engine libzmq (topics 5 needs engine zmtp), got 5",
    ),
    "topics without subscribers": (
        lambda: Relay(sub=1, push=2, topics=5),
        "pub: expected an endpoint where topics is given, got None",
    ),
    "too many topics": (
        lambda: Forwarder(**SIDES, topics=10_001),
        "topics: expected an integer from 0 to 10000 (topics), got 10001",
    ),
    "no topic at all": (
        lambda: Forwarder(**SIDES, last_value=True, topic_until=""),
        "topic_until: expected text or bytes, and not empty, got ''",
    ),
    "replay with libzmq": (
        lambda: Forwarder(**SIDES, engine="libzmq", replay_size="10min", replay=3),
        "replay_size: expected no replay with engine libzmq (replay 10min needs engine zmtp), got '10min'",
    ),
    "replay without subscribers": (
        lambda: Relay(sub=1, push=2, replay_size=5, replay=3),
        "pub: expected an endpoint where replay is given, got None",
    ),
    "replay without a port": (
        lambda: Forwarder(**SIDES, replay_size=5),
        "replay: expected an endpoint where replay is given, got None",
    ),
    "a replay port without a size": (
        lambda: Forwarder(**SIDES, replay=3),
        "replay_size: expected a size such as 100000 or 10min where replay-port is given, got None",
    ),
    "stamps without replay": (
        lambda: Forwarder(**SIDES, stamp=True),
        "replay_size: expected a size such as 100000 or 10min where stamp is given, got None",
    ),
    "stamps in another protocol": (
        lambda: Forwarder(**SIDES, replay_size=5, replay=3, stamp=True, replay_protocol="vllm"),
        "stamp: expected false with replay-protocol vllm, whose subscribers know messages of three parts alone, "
        "got True",
    ),
    "replay over inproc": (
        lambda: Forwarder(**SIDES, replay_size=5, replay="inproc://a"),
        "replay: expected tcp or ipc with engine zmtp (replay 5 needs it), which has no inproc, got 'inproc://a'",
    ),
    "no subscribers": (
        lambda: Relay(sub=1, push=2, slow_subscriber="disconnect"),
        "pub: expected an endpoint where slow-subscriber is given, got None",
    ),
    "no engine": (lambda: Streamer(**SIDES, engine="zmq"), "engine: expected one of auto, libzmq, zmtp, got 'zmq'"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "line"), REFUSED.values(), ids=list(REFUSED))
def test_what_engine_zmtp_has_not_is_refused(make, line):
    with pytest.raises(SettingsError) as refused:
        make()
    assert str(refused.value) == line


@pytest.mark.parametrize(
    "make",
    [
        lambda: Custom(**ZMTP, frontend_type="PAIR", backend_type="PAIR"),
        lambda: Custom(**ZMTP, frontend_type="PULL", backend_type="PAIR"),
    ],
)
def test_a_pattern_that_is_not_wholly_there_is_refused(make):
    with pytest.raises(
        SettingsError, match=r"^engine: expected auto or libzmq, since engine zmtp speaks .+, and not PAIR, got 'zmtp'$"
    ):
        make()


@pytest.mark.parametrize(
    "settings",
    [Streamer(**ZMTP), Queue(**ZMTP), Relay(sub=1, pub=2, push=3, engine="zmtp"), Forwarder(**ZMTP)],
    ids=lambda settings: settings.pattern,
)
def test_these_patterns_are_wholly_there(settings):
    assert engine_of(settings) is Engine.ZMTP
    core = core_maker()()
    for key, kind in settings.socket_types.items():
        assert core.side(SidePlan(key, kind)).plan.type == kind


def test_control_sockets_and_taps_are_libzmqs_and_may_have_what_it_has():
    settings = Streamer(**ZMTP, control="inproc://c", tap=3, socket_options={"tap": {zmq.AFFINITY: 1}})
    assert engine_of(settings) is Engine.ZMTP


def test_auto_is_libzmq(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert engine_of(Streamer(**SIDES)) is Engine.LIBZMQ
    assert Device(Streamer(**SIDES)).engine == "libzmq"


def test_with_rights_it_is_zmtp_where_that_can_be_had(monkeypatch, caplog):
    caplog.set_level("INFO", "geventrelay")
    for default in ("", "libzmq"):
        monkeypatch.setenv(VARIABLE, default)
        settings = Streamer(**RIGHTS | {"engine": "auto"})
        assert engine_of(settings) is Engine.ZMTP
        log_engine(settings)
        assert "rights rights.toml: it keeps subscribers to theirs too" in caplog.messages[-1]
        assert engine_of(replace(settings, io_threads=2)) is Engine.LIBZMQ
        assert engine_of(Streamer(**RIGHTS)) is Engine.LIBZMQ


def test_with_a_number_of_requests_for_each_worker_it_is_zmtp_where_that_can_be_had(monkeypatch, caplog):
    caplog.set_level("INFO", "geventrelay")
    for default in ("", "libzmq"):
        monkeypatch.setenv(VARIABLE, default)
        for settings in (Queue(**SIDES, requests_per_worker=1), Queue(**SIDES, name="shop", backbone="nats://n1")):
            assert engine_of(settings) is Engine.ZMTP
            log_engine(settings)
            assert "requests-per-worker 1: it knows which worker has which request" in caplog.messages[-1]
            assert engine_of(replace(settings, io_threads=2)) is Engine.LIBZMQ
            assert engine_of(replace(settings, engine="libzmq")) is Engine.LIBZMQ
            assert engine_of(replace(settings, requests_per_worker=0)) is Engine.LIBZMQ


def test_rights_ask_who_a_peer_is_only_where_peers_connect():
    settings = Relay(sub=">tcp://127.0.0.1:1", pub="inproc://x", push=2, engine="libzmq", rights="rights.toml")
    assert list(settings.rights_rules) == ["push"]
    assert settings.rights_rules["push"].lets_all_in
    assert settings.open_to_all == ["push"]


def test_the_environment_chooses_for_devices_that_do_not_and_can_have_it(monkeypatch, caplog):
    monkeypatch.setenv(VARIABLE, "zmtp")
    assert default_engine() is Engine.ZMTP
    assert engine_of(Streamer(**SIDES)) is Engine.ZMTP
    assert engine_of(Streamer(**SIDES, engine="libzmq")) is Engine.LIBZMQ
    caplog.set_level("DEBUG", "geventrelay")
    for cannot in (
        Relay(sub=1, push="inproc://x"), Custom(**SIDES, frontend_type="PAIR", backend_type="PAIR"),
        Streamer(**SIDES, io_threads=2),
    ):  # fmt: skip
        assert engine_of(cannot) is Engine.LIBZMQ
        log_engine(cannot)
    told = ("has no inproc", "and not PAIR", "io-threads: expected 1")
    assert [one in message for one, message in zip(told, caplog.messages, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    "cls", [cls for cls in PATTERNS.values() if any(one.on_libzmq is not None for one in options_of(cls))]
)
def test_the_default_of_an_option_is_what_both_engines_can_do(cls):
    assert all(one.on_libzmq is None or one.default in one.on_libzmq for one in options_of(cls))


@pytest.mark.parametrize("default", ["", "auto", "libzmq", "zmtp"])
def test_a_device_that_does_not_choose_has_the_engine_that_an_option_needs(monkeypatch, caplog, default):
    monkeypatch.setenv(VARIABLE, default)
    caplog.set_level("INFO", "geventrelay")
    settings = Forwarder(**SIDES, name="prices", slow_subscriber="drop-oldest")
    assert engine_of(settings) is Engine.ZMTP
    assert caplog.messages == []
    log_engine(settings)
    assert caplog.messages == ['engine device=prices engine=zmtp reason="slow-subscriber drop-oldest needs it"']


@pytest.mark.parametrize("policy", ["drop", "block"])
def test_what_both_engines_can_do_chooses_none(monkeypatch, policy):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert engine_of(Forwarder(**SIDES, slow_subscriber=policy)) is Engine.LIBZMQ
    assert engine_of(Forwarder(**ZMTP, slow_subscriber=policy)) is Engine.ZMTP


def test_another_engine_is_another_device():
    one = Forwarder(**SIDES)
    assert restart_needed_by(one, replace(one, engine="zmtp")) == "engine"
    assert restart_needed_by(one, replace(one, slow_subscriber="disconnect")) == "slow_subscriber"


def test_an_environment_that_names_no_engine_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(SettingsError, match=r"^GEVENTRELAY_ENGINE: expected one of auto, libzmq, zmtp, got 'fast'$"):
        Device(Streamer(**SIDES))


# Where the default is what the other samples say.
OTHER_SAMPLES = {"tcp_keepalive": 0, "heartbeat_ttl": 100, "legacy_peers": True}
# docs/engines.rst says why: nothing waits in the device that has come in, and the start of a socket asks for this one.
# A public key follows from its secret key.
NO_TERMS = {"rcvhwm", "backlog", "curve_publickey"}
# What such an option is given beside.
BESIDE = {
    "curve_server": {zmq.CURVE_SECRETKEY: SECRET},
    "curve_secretkey": {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: zmq.curve_keypair()[1]},
    "curve_serverkey": {zmq.CURVE_PUBLICKEY: PUBLIC, zmq.CURVE_SECRETKEY: SECRET},
    "plain_password": {zmq.PLAIN_USERNAME: b"a"},
}
# Such a server has to say who may connect.
CLIENTS = {"curve_clients": "any"}
SOCKETS = {"PUSH": (Streamer, "backend"), "XPUB": (Forwarder, "backend"), "ROUTER": (Queue, "frontend"),
           "PULL": (Streamer, "frontend"), "SUB": (lambda **given: Forwarder(**given, subscribe=""), "frontend"),
           "DEALER": (Queue, "backend")}  # fmt: skip


def terms_of(settings, key):
    """All that engine zmtp is told of one socket."""
    (planned,) = (one for one in plan(settings).sockets if one.key == key)
    return side_plan(planned, settings), terms(planned, settings), linger_ms(planned, settings)


@pytest.mark.parametrize("name", EVERY)
def test_each_option_of_a_socket_is_honoured_or_refused_by_its_name(name):
    option = EVERY[name]
    make, key = next(found for kind, found in SOCKETS.items() if not option.types or kind in option.types)
    value = option.read(name, OTHER_SAMPLES.get(name, SAMPLES.get(name, 1)))
    before = {key: BESIDE.get(name, {})}
    given = {key: {**before[key], option.number: value}}
    if name in OPTIONS:
        found = [
            terms_of(make(**ZMTP, socket_options=one, **CLIENTS if zmq.CURVE_SERVER in one[key] else {}), key)
            for one in (given, before)
        ]
        changed = found[0] != found[1]
        assert changed is (name not in NO_TERMS)
        return
    with pytest.raises(SettingsError) as refused:
        make(**ZMTP, socket_options=given)
    assert name in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_every_option_that_it_has_is_one_of_zeromqs():
    assert set(EVERY) >= OPTIONS


@pytest.mark.parametrize(
    ("given", "redial"),
    [
        ({}, Redial()),
        ({zmq.RECONNECT_IVL: 300}, Redial(0.3, 0.3)),
        ({zmq.RECONNECT_IVL: 300, zmq.RECONNECT_IVL_MAX: 4000}, Redial(0.3, 4)),
        ({zmq.RECONNECT_IVL: 300, zmq.RECONNECT_IVL_MAX: 200}, Redial(0.3, 0.3)),
        ({zmq.RECONNECT_IVL_MAX: 60_000}, Redial(longest_s=60)),
        ({zmq.RECONNECT_IVL: -1, zmq.RECONNECT_IVL_MAX: 4000}, Redial(None)),
        ({zmq.CONNECT_TIMEOUT: 500}, Redial(connect_s=0.5)),
    ],
)
def test_the_delays_between_tries_to_connect_are_those_of_the_options(given, redial):
    _, found, _ = terms_of(Streamer(**ZMTP, socket_options={"backend": given}), "backend")
    assert found.redial == redial


def test_a_key_that_no_connection_can_be_made_with_is_told_at_the_start():
    options = {zmq.CURVE_PUBLICKEY: PUBLIC, zmq.CURVE_SECRETKEY: SECRET, zmq.CURVE_SERVERKEY: b"\0" * 32}
    with pytest.raises(StartError, match=r"^curve_serverkey: expected a key of CURVE, got one that no connection can"):
        terms_of(Streamer(**ZMTP, socket_options={"backend": options}), "backend")


def test_curve_without_pynacl_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl", None)
    options = {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SECRET}
    with pytest.raises(SettingsError, match=r"^frontend.curve_server: .* without PyNaCl \(pip install"):
        Streamer(**ZMTP, socket_options={"frontend": options}, **CLIENTS)
