"""Who has to go for one more connection, who a client is, and when a costly answer serves again."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.errors import SettingsError
from geventrelay.settings.checks import networks
from geventrelay.web.http.places import Places, Proxies, client_of
from geventrelay.web.http.under_way import UnderWay
from geventrelay.web.recent import MOST_BYTES, Recent


def test_one_more_ends_the_oldest_that_is_idle_and_else_the_oldest():
    places = Places(3)
    for key in (1, 2, 3):
        assert places.enter(key, "a") is None
    places.set_idle(1, False)
    assert places.enter(4, "a") == 2
    for key in (3, 4):
        places.set_idle(key, False)
    assert places.enter(5, "a") == 1
    assert len(places) == 3


def test_other_clients_are_not_touched():
    places = Places(1)
    assert [places.enter(key, str(key)) for key in range(100)] == [None] * 100
    assert places.enter("more", "7") == 7


@given(st.lists(st.tuples(st.sampled_from("elbi"), st.integers(0, 9), st.sampled_from("xyz"))))
def test_no_client_has_more_than_its_share_and_the_newcomer_is_never_the_one_to_go(steps):
    places, each, model = Places(3), 3, {}
    for word, key, client in steps:
        if word == "e":
            ended = places.enter(key, client)
            assert ended != key
            model[key] = client
            model.pop(ended, None)
        elif word == "l":
            places.leave(key)
            model.pop(key, None)
        else:
            places.set_idle(key, word == "i")
        assert len(places) == len(model)
        assert all(list(model.values()).count(one) <= each for one in "xyz")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("127.0.0.1", "127.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64"), ("nonsense", "nonsense"),
    ],
)  # fmt: skip
def test_an_address_is_a_client(address, client):
    assert client_of(address) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], "10.0.0.1"), (["192.0.2.7"], "192.0.2.7"), (["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
        (["1.1.1.1", "192.0.2.7 "], "192.0.2.7"), (["192.0.2.7:5000"], "192.0.2.7"),
        (["[2001:db8::1]:5000"], "2001:db8::/64"), (["2001:db8::1"], "2001:db8::/64"),
        (["unknown"], "10.0.0.1"), (["192.0.2.7, "], "10.0.0.1"), (["\x1b[31m"], "10.0.0.1"),
    ],
)  # fmt: skip
def test_the_last_address_that_a_trusted_proxy_names_is_the_client(forwarded, client):
    proxies = Proxies(networks("x", ["10.0.0.0/8"]))
    assert proxies.trusts("10.0.0.1")
    assert proxies.trusts("::ffff:10.0.0.1")
    assert not proxies.trusts("11.0.0.1")
    assert not proxies.trusts("nonsense")
    assert proxies.client("10.0.0.1", forwarded) == client


def test_networks_are_addresses_or_networks():
    four, six = networks("x", ["127.0.0.1", "fd00::/8"])
    assert (four, six) == (ipaddress.ip_network("127.0.0.1/32"), ipaddress.ip_network("fd00::/8"))
    for wrong in ("10.0.0.1/8", "proxy.example", "", 5, None, ["127.0.0.1", True]):
        with pytest.raises(SettingsError, match="an IP address or a network"):
            networks("http_trusted_proxy", wrong)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_costly_answer_serves_for_twenty_times_its_cost_and_a_cheap_one_is_made_anew():
    clock = Clock()
    recent, made = Recent(clock), []

    def make(cost):
        clock.now += cost
        made.append(cost)
        return len(made)

    assert recent.get("a", lambda: make(0.1)) == 1
    clock.now += 1.9
    assert recent.get("a", lambda: make(0.1)) == 1
    assert recent.get("b", lambda: make(0.001)) == 2
    assert recent.get("b", lambda: make(0.001)) == 3
    clock.now += 0.2
    assert recent.get("a", lambda: make(0.1)) == 4
    recent.forget()
    assert recent.get("a", lambda: make(0.1)) == 5


def test_keys_that_clients_make_up_are_not_kept_for_ever():
    clock, recent = Clock(), Recent()
    recent._now = clock
    for key in range(1000):
        recent.get(key, lambda: setattr(clock, "now", clock.now + 1))
    assert len(recent._made) <= 64


def test_large_answers_make_room_for_later_ones_and_the_newest_stays_however_large_it_is():
    clock = Clock()
    recent = Recent(clock, len)

    def make(size):
        clock.now += 1
        return bytes(size)

    def kept(key):
        return recent.get(key, lambda: None) is not None

    half = MOST_BYTES // 2
    for key in "abc":
        recent.get(key, lambda: make(half))
    assert (kept("b"), kept("c")) == (True, True)
    assert not kept("a")
    recent.get("d", lambda: make(MOST_BYTES + 1))
    assert kept("d")
    assert not kept("c")


def test_an_answer_that_several_clients_read_is_one_and_has_its_place_until_the_last_has_it():
    answers, large, other = UnderWay(10), bytes(20), bytes(1)
    first, second = answers.begin(large), answers.begin(large)
    assert first is not None and second is not None
    assert b"".join(first) == b"".join(second) == large
    assert (answers.nbytes, answers.begin(other)) == (20, None)
    for _ in range(2):
        first.close()
        assert answers.begin(other) is None
    second.close()
    assert answers.nbytes == 0
    assert answers.begin(other) is not None
