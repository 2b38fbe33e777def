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
