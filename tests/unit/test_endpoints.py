"""How people write endpoints, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import Endpoint, SettingsError
from geventrelay.endpoints import IPC_PATH_BYTES, Taken, parse_endpoints

PORTS = st.integers(0, 65535)


@pytest.mark.parametrize(
    ("value", "address", "binds"),
    [
        (5555, "tcp://*:5555", True),
        ("5555", "tcp://*:5555", True),
        (" 5555 ", "tcp://*:5555", True),
        (0, "tcp://*:0", True),
        ("@5555", "tcp://*:5555", True),
        (">5555", "tcp://127.0.0.1:5555", False),
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555", True),
        ("@tcp://eth0:*", "tcp://eth0:*", True),
        (">tcp://host.example:1", "tcp://host.example:1", False),
        ("tcp://[::1]:5555", "tcp://[::1]:5555", True),
        ("127.0.0.1:5555", "tcp://127.0.0.1:5555", True),
        ("@localhost:*", "tcp://localhost:*", True),
        ("*:5555", "tcp://*:5555", True),
        (">host.example:1", "tcp://host.example:1", False),
        ("[::1]:5555", "tcp://[::1]:5555", True),
        (">[fe80::1%eth0]:5555", "tcp://[fe80::1%eth0]:5555", False),
        (">b\u00fccher.example:5", "tcp://xn--bcher-kva.example:5", False),
        ("ipc:///run/relay", "ipc:///run/relay", True),
        ("ipc://*", "ipc://*", True),
        (">ipc://@abstract", "ipc://@abstract", False),
        ("inproc://name", "inproc://name", True),
        ("inproc://a\udcff", "inproc://a\udcff", True),
        ("ipc:///a\udcff", "ipc:///a\udcff", True),
        (">tcp://" + "a" * 63 + ".example.:5", "tcp://" + "a" * 63 + ".example.:5", False),
        (">tcp://b\u00fccher.example:5", "tcp://xn--bcher-kva.example:5", False),
    ],
)
def test_an_endpoint_is_read_as_people_write_it(value, address, binds):
    assert Endpoint.parse(value) == Endpoint(address, binds)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "tcp://HOST:PORT"),
        ("@", "tcp://HOST:PORT"),
        (">>5555", "tcp://HOST:PORT"),
        ("localhost", "tcp://HOST:PORT"),
        ("127.0.0.1", "the port is missing: 127.0.0.1:PORT"),
        (">tcp://worker", "the port is missing: worker:PORT"),
        ("@[::1]", "the port is missing"),
        ("http://127.0.0.1:80", "http:// is for --http"),
        ("tcp:5555", "tcp://HOST:PORT"),
        ("inproc:5555", "tcp://HOST:PORT"),
        ("tcp:/127.0.0.1:5555", "tcp://HOST:PORT"),
        ("5555:5556", "tcp://HOST:PORT"),
        ("::1:5555", "tcp://HOST:PORT"),
        (":5555", "tcp://HOST:PORT"),
        ("localhost:", "tcp://HOST:PORT"),
        ("local host:5555", "tcp://HOST:PORT"),
        ("/run/a:5555", "tcp://HOST:PORT"),
        ("localhost:http", "a port from 0 to 65535"),
        ("localhost:65536", "a port from 0 to 65535"),
        (">0.0.0.0:5555", "a host and a port to connect to"),
        (">localhost:0", "a host and a port to connect to"),
        ("a..b:5555", "a host name"),
        ("udp://127.0.0.1:5555", "tcp://HOST:PORT"),
        ("tcp://", "tcp://HOST:PORT"),
        ("tcp://127.0.0.1", "tcp://HOST:PORT"),
        ("tcp://:5555", "tcp://HOST:PORT"),
        ("tcp://::1:5555", "tcp://HOST:PORT"),
        ("tcp://a b:5555", "tcp://HOST:PORT"),
        ("tcp://eth0;10.0.0.1:5555", "tcp://HOST:PORT"),
        ("ipc://", "tcp://HOST:PORT"),
        (None, "tcp://HOST:PORT"),
        (True, "tcp://HOST:PORT"),
        (5.5, "tcp://HOST:PORT"),
        (70000, "a port from 0 to 65535"),
        ("70000", "a port from 0 to 65535"),
        ("-1", "a port from 0 to 65535"),
        ("tcp://*:65536", "a port from 0 to 65535"),
        ("tcp://*:http", "a port from 0 to 65535"),
        ("tcp://*:\u0665\u0665", "a port from 0 to 65535"),
        (">tcp://*:5555", "a host and a port to connect to"),
        (">tcp://0.0.0.0:5555", "a host and a port to connect to"),
        (">tcp://127.0.0.1:0", "a host and a port to connect to"),
        (">tcp://127.0.0.1:*", "a host and a port to connect to"),
        (">0", "a host and a port to connect to"),
        (">ipc://*", "a path to connect to"),
        ("ipc:///" + "x" * IPC_PATH_BYTES, "an ipc path of at most 107 bytes"),
        ("ipc:///\u00e4" + "x" * (IPC_PATH_BYTES - 2), "an ipc path of at most 107 bytes"),
        ("ipc:///a\0b", "an ipc path of at most 107 bytes"),
        ("inproc://" + "x" * 256, "an inproc name of at most 255 characters"),
        ("inproc://a\0b", "an inproc name of at most 255 characters"),
        ("ipc:///\ud800", "an ipc path of at most 107 bytes"),
        ("tcp://a..b:5555", "a host name"),
        (">tcp://a..b:5555", "a host name"),
        ("tcp://.a:*", "a host name"),
        (">tcp://" + "a" * 64 + ".example:5555", "a host name"),
        ("tcp://a\udcff:5555", "a host name"),
        ("tcp://a\0b:5555", "a host name"),
        ("tcp://[a..b]:5555", "a host name"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_name_rule_and_value(value, rule):
    with pytest.raises(SettingsError) as error:
        Endpoint.parse(value, name="frontend")
    assert str(error.value).startswith("frontend: expected ")
    assert rule in error.value.rule
    assert str(error.value).endswith(f"got {value!r}")


def test_a_bare_port_binds_the_interface_that_is_given():
    assert Endpoint.parse(5555, interface="eth0").address == "tcp://eth0:5555"
    assert Endpoint.parse(">5555", interface="10.0.0.1").address == "tcp://10.0.0.1:5555"


def test_an_interface_says_nothing_about_whole_endpoints():
    assert Endpoint.parse("tcp://*:1", interface="eth0").address == "tcp://*:1"


@pytest.mark.parametrize(
    ("value", "public", "wildcard"),
    [
        ("tcp://*:5555", True, False),
        ("tcp://0.0.0.0:5555", True, False),
        ("tcp://[::]:5555", True, False),
        ("0.0.0.0:5555", True, False),
        ("*:0", True, True),
        ("[::]:5555", True, False),
        ("127.0.0.1:5555", False, False),
        ("tcp://0:5555", True, False),
        ("tcp://0x0:5555", True, False),
        ("tcp://0.0:5555", True, False),
        ("tcp://[::0]:5555", True, False),
        ("tcp://[0:0:0:0:0:0:0:0]:5555", True, False),
        ("tcp://[::ffff:0.0.0.0]:5555", True, False),
        ("tcp://[::1]:5555", False, False),
        ("tcp://eth0:5555", False, False),
        (5555, True, False),
        ("tcp://127.0.0.1:0", False, True),
        ("tcp://127.0.0.1:*", False, True),
        ("ipc://*", False, True),
        ("ipc:///a", False, False),
        (">tcp://host:1", False, False),
    ],
)
def test_an_endpoint_knows_whether_it_is_public_and_whether_the_system_chooses(value, public, wildcard):
    endpoint = Endpoint.parse(value)
    assert (endpoint.is_public, endpoint.is_wildcard) == (public, wildcard)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (5555, "--interface 127.0.0.1 (in a file: interface) keeps it to this host"),
        ("@5555", "--interface 127.0.0.1 (in a file: interface) keeps it to this host"),
        ("tcp://*:5555", "tcp://127.0.0.1:5555 in place of tcp://*:5555 keeps it to this host"),
        ("tcp://*:*", "tcp://127.0.0.1:* in place of tcp://*:* keeps it to this host"),
        ("@tcp://0.0.0.0:0", "tcp://127.0.0.1:0 in place of tcp://0.0.0.0:0 keeps it to this host"),
        ("tcp://[::]:5555", "tcp://[::1]:5555 in place of tcp://[::]:5555 keeps it to this host"),
    ],
)
def test_the_advice_for_a_public_endpoint_fits_how_it_was_written(value, advice):
    assert Endpoint.parse(value).how_to_keep_private == advice


def test_how_a_port_was_written_makes_no_difference_between_endpoints():
    assert Endpoint.parse(5555) == Endpoint.parse("tcp://*:5555")


@given(PORTS, st.sampled_from(["@", ">", ""]), st.sampled_from(["127.0.0.1", "host-1.example", "[fe80::1]"]))
def test_any_port_of_any_host_is_read_back_whole(port, mark, host):
    if mark == ">" and port == 0:
        return
    endpoint = Endpoint.parse(f"{mark}tcp://{host}:{port}")
    assert (endpoint.transport, endpoint.host, endpoint.port) == ("tcp", host, str(port))
    assert endpoint.binds == (mark != ">")
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.slow
@given(st.one_of(st.text(), st.integers(), st.none(), st.binary(), st.floats()))
def test_any_value_is_an_endpoint_or_a_settings_error(value):
    try:
        endpoint = Endpoint.parse(value, name="backend")
    except SettingsError as error:
        assert error.name == "backend"
    else:
        assert endpoint.transport in ("tcp", "ipc", "inproc")


@given(st.text(alphabet="@>tcpi://*:[]0123456789.", max_size=30))
def test_what_nearly_looks_like_an_endpoint_is_one_or_a_settings_error(text):
    try:
        endpoint = Endpoint.parse(text)
    except SettingsError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint


def test_several_endpoints_are_read_in_order_and_none_is_refused():
    both = parse_endpoints([1, ">ipc:///a"], name="frontend", interface="*")
    assert [str(one) for one in both] == ["tcp://*:1", ">ipc:///a"]
    with pytest.raises(SettingsError, match=r"frontend: expected at least one endpoint, got \[\]"):
        parse_endpoints([], name="frontend", interface="*")


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        (1, 1, True),
        (1, 2, False),
        (1, "tcp://127.0.0.1:1", True),
        ("tcp://[::]:1", "tcp://eth0:1", True),
        ("tcp://127.0.0.1:1", "tcp://127.0.0.2:1", False),
        (0, 0, False),
        (1, ">tcp://127.0.0.1:1", False),
        ("ipc://a", "ipc://a", True),
        ("ipc://a", "ipc://b", False),
        ("ipc://*", "ipc://*", False),
        ("inproc://a", "ipc://a", False),
    ],
)
def test_two_endpoints_clash_where_both_cannot_be_bound(first, second, clash):
    one, other = Endpoint.parse(first), Endpoint.parse(second)
    assert one.clashes(other) is other.clashes(one) is clash
    taken = Taken()
    taken.add(one, "one")
    assert taken.owner(other) == ("one" if clash else None)
