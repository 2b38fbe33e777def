"""Who may connect to a socket: every way in is one that a rule names."""

from __future__ import annotations

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.access import passwords
from geventrelay.access.decision import Allowed, Denial, Denied, Mechanism, Request
from geventrelay.access.networks import Networks
from geventrelay.access.passwords import Hashed, Passwords
from geventrelay.access.policy import Policy

KEYS = {b"a" * 32: "alice", b"b" * 32: "bob"}
HERE = Networks(allow=(ipaddress.ip_network("10.0.0.0/8"),))


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """As cheap as scrypt can be."""
    monkeypatch.setattr(passwords, "_COST_LOG2", 1)


@pytest.fixture
def known():
    return Passwords({"alice": Hashed.of("secret", b"s" * 16), "bob": Hashed.of("other", b"t" * 16)})


def request(mechanism: Mechanism, address: str = "10.1.1.1", **more: object) -> Request:
    return Request(mechanism, "device.frontend", address, **more)


def test_a_request_never_shows_its_password():
    assert "hunter2" not in repr(request(Mechanism.PLAIN, username="alice", password="hunter2"))


def test_a_key_is_a_users():
    policy = Policy(Mechanism.CURVE, clients=KEYS)
    assert policy(request(Mechanism.CURVE, public_key=b"a" * 32)) == Allowed("alice")
    assert policy(request(Mechanism.CURVE, public_key=b"c" * 32)) == Denied(Denial.UNKNOWN_KEY)
    assert policy(request(Mechanism.CURVE)) == Denied(Denial.UNKNOWN_KEY)
    # An empty folder knows none, which is not the same as any.
    assert Policy(Mechanism.CURVE, clients={})(request(Mechanism.CURVE, public_key=b"a" * 32)) == Denied(
        Denial.UNKNOWN_KEY
    )
    assert Policy(Mechanism.CURVE)(request(Mechanism.CURVE, public_key=b"c" * 32)) == Allowed()


def test_a_password_is_a_users(known):
    policy = Policy(Mechanism.PLAIN, passwords=known)
    assert policy(request(Mechanism.PLAIN, username="alice", password="secret")) == Allowed("alice")
    assert policy(request(Mechanism.PLAIN, username="alice", password="other")) == Denied(Denial.WRONG_PASSWORD)
    assert policy(request(Mechanism.PLAIN, username="carol", password="secret")) == Denied(Denial.UNKNOWN_USER)
    assert policy(request(Mechanism.PLAIN)) == Denied(Denial.UNKNOWN_USER)


def test_a_program_decides_by_itself_and_what_it_raises_is_no_permission():
    asked = []

    def ask(*arguments):
        asked.append(arguments)
        return {b"a" * 32: "alice", b"b" * 32: True}.get(arguments[2])

    policy = Policy(Mechanism.CURVE, clients=ask)
    assert policy(request(Mechanism.CURVE, public_key=b"a" * 32)) == Allowed("alice")
    assert policy(request(Mechanism.CURVE, public_key=b"c" * 32)) == Denied(Denial.UNKNOWN_KEY)
    assert asked[0] == ("device.frontend", "10.1.1.1", b"a" * 32)
    with pytest.raises(TypeError, match="got True"):
        policy(request(Mechanism.CURVE, public_key=b"b" * 32))


@pytest.mark.parametrize(("own", "theirs"), list(itertools.permutations(Mechanism, 2)))
def test_a_peer_with_another_mechanism_is_not_let_in(known, own, theirs):
    policy = Policy(own, clients=KEYS, passwords=known)
    asked = request(theirs, public_key=b"a" * 32, username="alice", password="secret")
    assert policy(asked) == Denied(Denial.MECHANISM)


NETWORKS = st.sampled_from([Networks(), HERE, Networks(deny=HERE.allow)])
CLIENTS = st.one_of(st.none(), st.dictionaries(st.sampled_from(sorted(KEYS)), st.sampled_from(["alice", "bob"])))
PASSWORDS = st.dictionaries(st.sampled_from(["alice", "bob"]), st.sampled_from(["secret", "other"]))


@given(
    mechanism=st.sampled_from(Mechanism),
    networks=st.tuples(NETWORKS, NETWORKS),
    clients=st.tuples(CLIENTS, CLIENTS),
    passwords=st.tuples(PASSWORDS, PASSWORDS),
    address=st.sampled_from(["", "10.1.1.1", "11.1.1.1"]),
    user=st.sampled_from(["alice", "bob"]),
    password=st.sampled_from(["secret", "other"]),
)
def test_rules_that_take_from_somebody_say_so(mechanism, networks, clients, passwords, address, user, password):
    known = [Passwords({name: Hashed.of(text, b"s" * 16) for name, text in one.items()}) for one in passwords]
    former, now = (Policy(mechanism, *rules) for rules in zip(networks, clients, known, strict=True))
    key = next(key for key, name in KEYS.items() if name == user)
    verdict = former(Request(mechanism, "device.frontend", address, user, password, key))
    if isinstance(verdict, Allowed) and not now.still_allows(verdict.by):
        assert now.takes_from(former)


def test_rules_that_give_take_from_nobody(known):
    alone = Passwords({"alice": known.users["alice"]})
    assert not Policy(Mechanism.PLAIN, passwords=known).takes_from(Policy(Mechanism.PLAIN, passwords=alone))
    assert Policy(Mechanism.PLAIN, passwords=alone).takes_from(Policy(Mechanism.PLAIN, passwords=known))
    keys = {key: user for key, user in KEYS.items() if user == "alice"}
    assert not Policy(Mechanism.CURVE, clients=KEYS).takes_from(Policy(Mechanism.CURVE, clients=keys))
    renamed = dict.fromkeys(keys, "bob")
    assert Policy(Mechanism.CURVE, clients=renamed).takes_from(Policy(Mechanism.CURVE, clients=keys))
    assert not Policy(Mechanism.CURVE).takes_from(Policy(Mechanism.CURVE, clients=KEYS))
    same = Policy(Mechanism.NULL, HERE)
    assert not same.takes_from(same)
    # A program's own function may answer another thing each time.
    asking = Policy(Mechanism.CURVE, clients=lambda *arguments: "alice")
    assert asking.takes_from(asking)


@given(
    own=st.sampled_from(Mechanism),
    theirs=st.sampled_from(Mechanism),
    address=st.sampled_from(["", "10.1.1.1", "::ffff:10.1.1.1", "11.1.1.1", "::1", "what"]),
    key=st.sampled_from([b"", b"a" * 32, b"b" * 32, b"c" * 32]),
    user=st.sampled_from(["", "alice", "bob", "carol"]),
    password=st.sampled_from(["", "secret", "other"]),
)
def test_nothing_gets_in_that_breaks_a_rule(known, own, theirs, address, key, user, password):
    policy = Policy(own, HERE, KEYS, known)
    verdict = policy(Request(theirs, "device.frontend", address, user, password, key))
    near = address in ("", "10.1.1.1", "::ffff:10.1.1.1")
    proved = {
        Mechanism.NULL: "",
        Mechanism.CURVE: KEYS.get(key),
        Mechanism.PLAIN: user if (user, password) in (("alice", "secret"), ("bob", "other")) else None,
    }[own]
    assert isinstance(verdict, Allowed) == (near and own is theirs and proved is not None)
    if isinstance(verdict, Allowed):
        assert verdict.user == proved
