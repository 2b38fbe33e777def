"""From which addresses peers may connect."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import SettingsError
from geventrelay.access.networks import Networks
from geventrelay.settings.checks import networks

V4 = st.ip_addresses(v=4)
ANY = st.ip_addresses()
NETWORKS = st.lists(
    st.builds(
        lambda one, bits: ipaddress.ip_network((one, bits % (one.max_prefixlen + 1)), strict=False),
        ANY,
        st.integers(0, 128),
    ),
    max_size=3,
)


def rules(allow: object = (), deny: object = ()) -> Networks:
    return Networks(networks("allow", list(allow)), networks("deny", list(deny)))


@pytest.mark.parametrize(
    ("allow", "deny", "address", "expected"),
    [
        ([], [], "10.1.2.3", True),
        ([], [], "anything", True),
        (["10.0.0.0/8"], [], "10.1.2.3", True),
        (["10.0.0.0/8"], [], "11.1.2.3", False),
        (["10.0.0.0/8"], [], "::1", False),
        (["10.0.0.0/8", "::1"], [], "::1", True),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.1.2.3", False),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.2.2.3", True),
        ([], ["10.0.0.0/8"], "10.1.2.3", False),
        ([], ["10.0.0.0/8"], "::ffff:10.1.2.3", False),
        ([], ["10.0.0.0/8"], "192.168.0.1", True),
        ([], ["::ffff:10.0.0.0/104"], "10.1.2.3", False),
        ([], ["::ffff:0:0/96"], "10.1.2.3", False),
        ([], ["::ffff:0:0/96"], "::1", True),
        ([], ["::/0"], "10.1.2.3", True),
        (["::/0"], [], "::ffff:10.1.2.3", False),
        ([], ["fe80::/10"], "fe80::1%eth0", False),
        (["10.0.0.0/8"], ["0.0.0.0/0", "::/0"], "", True),
        (["0.0.0.0/0", "::/0"], [], "host", False),
        ([], ["10.0.0.0/8"], "010.1.2.3", False),
        ([], ["10.0.0.0/8"], "10.1.2.3:5555", False),
        (["0.0.0.0/0"], [], "10.1.2.3 ", False),
    ],
)  # fmt: skip
def test_an_address_is_let_in_or_not(allow, deny, address, expected):
    assert rules(allow, deny).allows(address) is expected


@given(allow=NETWORKS, deny=NETWORKS, address=ANY)
def test_what_is_denied_is_never_in_and_what_is_allowed_alone_is(allow, deny, address):
    text = str(address)
    mapped = getattr(address, "ipv4_mapped", None)
    denied = any(address in one for one in deny) and mapped is None
    if denied:
        assert not Networks(tuple(allow), tuple(deny)).allows(text)
    if Networks(tuple(allow), tuple(deny)).allows(text):
        assert Networks((), tuple(deny)).allows(text) and Networks(tuple(allow)).allows(text)


@given(address=V4, bits=st.integers(0, 32))
def test_ipv4_written_as_ipv6_is_the_same(address, bits):
    network = ipaddress.ip_network((address, bits), strict=False)
    mapped = ipaddress.ip_network((f"::ffff:{network.network_address}", 96 + bits))
    for rule in (network, mapped):
        for text in (str(address), f"::ffff:{address}"):
            assert Networks(allow=(rule,)).allows(text)
            assert not Networks(deny=(rule,)).allows(text)


@given(text=st.text(min_size=1))
def test_what_is_no_address_is_never_let_in_by_a_rule(text):
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        assert not rules(["0.0.0.0/0", "::/0"]).allows(text)
        assert not rules([], ["10.0.0.0/8"]).allows(text)


def test_the_error_for_a_network_with_bits_of_a_host_has_the_network():
    with pytest.raises(SettingsError, match=r"\(did you mean 127\.0\.0\.0/8\?\), got '127\.0\.0\.1/8'$"):
        networks("allow", "127.0.0.1/8")
    with pytest.raises(SettingsError, match=r"such as 10\.0\.0\.0/8, got 'localhost'"):
        networks("allow", "localhost")
