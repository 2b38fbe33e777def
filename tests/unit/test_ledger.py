"""Who was let in from where: a user is told only where it is certain, and every refusal is counted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.access import ledger
from geventrelay.access.decision import Allowed, Denial, Denied, Mechanism, Request
from geventrelay.access.ledger import Ledger
from geventrelay.engine.peertable import PeerSnapshot, PeersSnapshot

ADDRESSES = {
    "10.0.0.1": "10.0.0.1:4000", "::ffff:10.0.0.1": "10.0.0.1:4001", "fe80::1%eth0": "[fe80::1%eth0]:1",
    "::1": "[::1]:80", "": "pid 17",
}  # fmt: skip


def asked(address: str) -> Request:
    return Request(Mechanism.CURVE, "device.frontend", address)


def user_of(book: Ledger, address: str) -> str | None:
    (peer,) = book.complete(PeersSnapshot((PeerSnapshot(address, 0.0, "CURVE"),))).peers
    return peer.user


@pytest.mark.parametrize(("asking", "shown"), ADDRESSES.items())
def test_the_user_of_a_peer_is_known_by_its_address(asking, shown):
    book = Ledger()
    assert user_of(book, shown) is None
    book.note(asked(asking), Allowed("alice"))
    book.note(asked(asking), Allowed("alice"))
    assert user_of(book, shown) == "alice"
    assert user_of(book, "10.9.9.9:1") is None and user_of(book, "unknown") is None
    book.note(asked(asking), Allowed("bob"))
    book.note(asked(asking), Allowed("alice"))
    assert user_of(book, shown) is None


def test_a_peer_without_a_name_is_told_from_one_that_is_not_known():
    book = Ledger()
    book.note(asked("10.0.0.1"), Allowed())
    assert user_of(book, "10.0.0.1:1") == ""


def test_no_more_addresses_are_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(ledger, "MOST_ADDRESSES", 2)
    book = Ledger()
    for number in (1, 2, 3):
        book.note(asked(f"10.0.0.{number}"), Allowed("alice"))
    # One that is not kept is not begun later either: another user may be in from there.
    book.note(asked("10.0.0.3"), Allowed("bob"))
    assert [user_of(book, f"10.0.0.{number}:1") for number in (1, 2, 3)] == ["alice", "alice", None]


def alices(by, grant):
    return by.user == "alice"


def test_that_there_was_no_room_for_an_address_is_known_of_each_that_is_not_kept(monkeypatch):
    monkeypatch.setattr(ledger, "MOST_ADDRESSES", 1)
    book = Ledger()
    book.note(asked("10.0.0.1"), Allowed("bob"))
    assert not book.is_vague("10.0.0.2:1"), "nobody came from there"
    book.note(asked("10.0.0.2"), Allowed("alice"))
    assert [book.is_vague(f"10.0.0.{number}:1") for number in (1, 2, 3)] == [False, True, True]
    assert not book.knows("10.0.0.2:1", alices)
    # As long as these are not ended, one that gets the room of another does not stand for all from its address.
    book.forget(lambda by, grant: by.user == "bob", vague=False)
    book.note(asked("10.0.0.2"), Allowed("bob"))
    assert book.is_vague("10.0.0.2:1") and user_of(book, "10.0.0.2:1") is None
    book.forget(alices, vague=True)
    assert not book.is_vague("10.0.0.2:1")
    book.note(asked("10.0.0.2"), Allowed("bob"))
    assert user_of(book, "10.0.0.2:1") == "bob"


def test_of_too_many_from_one_address_it_is_not_known_who_they_are(monkeypatch):
    monkeypatch.setattr(ledger, "_MOST_OF_ONE", 1)
    book = Ledger()
    for user in ("alice", "bob"):
        book.note(asked("10.0.0.1"), Allowed(user))
    assert book.is_vague("10.0.0.1:1") and not book.is_vague("10.0.0.2:1")
    book.forget(alices, vague=False)
    assert book.is_vague("10.0.0.1:1"), "they are there still"
    book.forget(alices, vague=True)
    assert not book.is_vague("10.0.0.1:1")


CAME = st.tuples(st.sampled_from(sorted(ADDRESSES)), st.sampled_from(["alice", "bob", "carol"]))


@given(st.lists(st.one_of(CAME, st.sampled_from(["revoke alice", "revoke bob"]))), st.integers(0, 3), st.integers(1, 2))
def test_who_is_meant_is_known_or_not_known_to_be_somebody_else(events, most_addresses, most_of_one):
    with pytest.MonkeyPatch.context() as bounds:
        bounds.setattr(ledger, "MOST_ADDRESSES", most_addresses)
        bounds.setattr(ledger, "_MOST_OF_ONE", most_of_one)
        book, there = Ledger(), set()
        for one in events:
            if isinstance(one, tuple):
                book.note(asked(one[0]), Allowed(one[1]))
                there.add((ADDRESSES[one[0]].rpartition(":")[0], *one))
                continue
            revoked = one.removeprefix("revoke ")

            def is_meant(by, grant, revoked=revoked):
                return by.user == revoked

            ended = {
                address for address, shown in ADDRESSES.items() if book.knows(shown, is_meant) or book.is_vague(shown)
            }
            assert ended >= {address for _, address, user in there if user == revoked}
            hosts = {ADDRESSES[address].rpartition(":")[0] for address in ended}
            there = {came for came in there if came[0] not in hosts}
            book.forget(is_meant, vague=True)


VERDICTS = st.one_of(
    st.builds(Allowed, st.sampled_from(["", "alice", "bob"])), st.builds(Denied, st.sampled_from(Denial))
)


@given(st.lists(st.tuples(st.sampled_from(sorted(ADDRESSES)), VERDICTS)))
def test_what_is_told_is_so_whatever_came(events):
    book, denied, users = Ledger(), Counter(), {}
    for address, verdict in events:
        book.note(asked(address), verdict)
        if isinstance(verdict, Denied):
            denied[verdict.reason.value] += 1
        else:
            users.setdefault(address.removeprefix("::ffff:"), set()).add(verdict.user)
    assert book.complete(PeersSnapshot()).denied == denied
    for address, shown in ADDRESSES.items():
        found = users.get(address.removeprefix("::ffff:"), set())
        assert user_of(book, shown) == (next(iter(found)) if len(found) == 1 else None)


def test_a_question_that_was_not_understood_is_counted_too():
    book = Ledger()
    book.note(None, Denied(Denial.FAILED, later=True))
    assert book.complete(PeersSnapshot()).denied == {"failed": 1}
