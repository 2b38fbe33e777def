"""The table of ZeroMQ's socket options: all of them are in it, each with its rule or with the reason why not."""

from __future__ import annotations

import pytest
import zmq

from geventrelay import Forwarder, Queue, SettingsError, Streamer
from geventrelay.settings.socket_options import BY_NUMBER, OPTIONS, REFUSED, option_of

# What only getsockopt knows, or belongs to transports and to a system that pyzmq is not built for.
NOT_TO_SET = {
    "BLOCKY", "EVENTS", "FD", "HWM", "LAST_ENDPOINT", "LOOPBACK_FASTPATH", "MECHANISM", "RCVMORE", "THREAD_SAFE",
    "TOPICS_COUNT", "TYPE", "WSS_CERT_PEM", "WSS_HOSTNAME", "WSS_KEY_PEM", "WSS_TRUST_PEM", "WSS_TRUST_SYSTEM",
}  # fmt: skip


def test_every_option_that_there_is_is_either_taken_or_refused_with_a_reason():
    every = {option.name for option in zmq.SocketOption} - NOT_TO_SET
    assert {name.upper() for name in OPTIONS} | {name.upper() for name in REFUSED} >= every
    assert not set(OPTIONS) & set(REFUSED)
    assert all(REFUSED.values())


def test_the_numbers_are_libzmqs():
    ours = {"legacy_peers": zmq.ZAP_DOMAIN}
    assert {name: option.number for name, option in OPTIONS.items()} == {
        name: int(ours.get(name) or getattr(zmq, name.upper())) for name in OPTIONS
    }
    assert len(BY_NUMBER) == len(OPTIONS)


@pytest.mark.parametrize("written", ["tcp_keepalive", "tcp-keepalive"])
def test_either_sign_will_do(written):
    assert option_of(written, True).number == zmq.TCP_KEEPALIVE


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("tos", "8", 8),
        ("legacy_peers", True, b""),
        ("legacy_peers", "false", b"geventrelay"),
        ("ipv6", True, 1),
        ("ipv6", "false", 0),
        ("ipv6", 1, 1),
        ("tcp_keepalive", True, 1),
        ("tcp_keepalive", "-1", -1),
        ("maxmsgsize", 2**40, 2**40),
        ("affinity", 2**63 - 1, 2**63 - 1),
        ("xpub_welcome_msg", "", b""),
        ("routing_id", "\u00e4", b"\xc3\xa4"),
        ("tcp_accept_filter", "10.1.2.3/8", b"10.0.0.0/8"),
        ("curve_publickey", b"\0" * 32, b"\0" * 32),
    ],
)
def test_a_value_becomes_what_libzmq_is_given_and_stays_it(name, value, kept):
    option = OPTIONS[name]
    assert option.read(name, value) == kept
    assert type(option.read(name, value)) is type(kept)
    assert option.read(name, kept) == kept


def test_options_of_sockets_are_part_of_settings():
    plain = Streamer(frontend=1, backend=2)
    made = Streamer(frontend=1, backend=2, socket_options={"backend": {zmq.TOS: "8"}})
    assert made.socket_options == {"backend": {zmq.TOS: 8}}
    assert made != plain
    assert plain.socket_options == {}
    assert hash(made) == hash(plain)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pub": {}}, "socket_options: expected sockets out of "),
        (5, "socket_options: expected numbers of options with values, for each socket, got 5"),
        ({"frontend": 5}, "socket_options: expected numbers of options with values"),
        ({"frontend": {99999: 1}}, "frontend: expected libzmq's number of a socket option, got 99999"),
        ({"frontend": {"tos": 1}}, "frontend: expected libzmq's number of a socket option, got 'tos'"),
        ({"frontend": {zmq.CONFLATE: 1}}, "frontend.conflate: expected no conflate (it keeps the last part of all"),
        ({"frontend": {zmq.FD: 1}}, "frontend.fd: expected no fd (it cannot be set)"),
        ({"frontend": {zmq.TOS: -1}}, "frontend.tos: expected an integer from 0 to 255, got -1"),
        (
            {"backend": {zmq.ROUTER_HANDOVER: 1}},
            "backend.router_handover: expected a socket of the type ROUTER, got",
        ),
        *(
            ({"frontend": {number: value}}, f"frontend.{name}: expected ")
            for name, number, values in (
                ("maxmsgsize", zmq.MAXMSGSIZE, (-2, 0, 1, 1023)),
                ("tcp_keepalive_idle", zmq.TCP_KEEPALIVE_IDLE, (0, 32_768)),
                ("tcp_keepalive_intvl", zmq.TCP_KEEPALIVE_INTVL, (0, 32_768)),
                ("tcp_keepalive_cnt", zmq.TCP_KEEPALIVE_CNT, (0, 128)),
                ("reconnect_ivl", zmq.RECONNECT_IVL, (-2, 0)),
                ("affinity", zmq.AFFINITY, (2, 2**62)),
            )
            for value in values
        ),
        ({"control": {zmq.TOS: 1}}, "control: expected an endpoint for a socket that is given options, got None"),
        ({"backend": {zmq.CURVE_SERVER: 1}}, "backend.curve_server: expected curve-secretkey beside it, got True"),
    ],
)
def test_options_that_break_a_rule_are_refused(options, text):
    with pytest.raises(SettingsError) as error:
        Queue(frontend=1, backend=2, socket_options=options)
    assert str(error.value).startswith(text)


def test_the_type_is_the_one_that_the_socket_really_has():
    with pytest.raises(SettingsError, match="expected a socket of the type XPUB, got 'PUB'"):
        Forwarder(frontend=1, backend=2, subscribe="a", socket_options={"backend": {zmq.XPUB_VERBOSE: 1}})
    Forwarder(frontend=1, backend=2, socket_options={"backend": {zmq.XPUB_VERBOSE: 1}})


def test_the_sockets_types_are_part_of_what_settings_tell():
    assert Forwarder(frontend=1, backend=2).socket_types == {"frontend": "XSUB", "backend": "XPUB"}
    assert Queue(frontend=1, backend=2, control=3, control_type="PAIR").socket_types == {
        "frontend": "ROUTER", "backend": "DEALER", "control": "PAIR"
    }  # fmt: skip
