"""What has moved for each user: bounded in number, never less."""

from __future__ import annotations

from geventrelay.engine.peertable import PeersSnapshot
from geventrelay.engine.useraccount import MOST_USERS, OTHER, UserAccount, UserAccounts


def moved(count: int) -> UserAccount:
    return UserAccount(received=count, received_bytes=10 * count, delivered=2 * count)


def test_what_ended_connections_have_moved_stays_in_the_account():
    accounts = UserAccounts()
    accounts.come("alice")
    assert accounts.all() == {"alice": moved(0)}
    assert accounts.all([("alice", moved(1)), ("alice", moved(2))]) == {"alice": moved(3)}
    accounts.leave("alice", moved(2))
    assert accounts.all([("alice", moved(1))]) == {"alice": moved(3)}


def test_many_users_have_one_account_together_and_no_name_changes():
    accounts = UserAccounts()
    names = [f"user{number}" for number in range(3 * MOST_USERS)]
    for name in names:
        accounts.come(name)
    for name in reversed(names):
        accounts.leave(name, moved(1))
    found = accounts.all([(name, moved(1)) for name in reversed(names)])
    assert list(found) == [*names[:MOST_USERS], OTHER]
    assert found["user0"] == moved(2) and found[OTHER] == moved(4 * MOST_USERS)


def test_two_lives_of_a_socket_are_summed_and_bounded_too():
    past = PeersSnapshot(users={f"a{number}": moved(1) for number in range(MOST_USERS)})
    later = PeersSnapshot(users={"a0": moved(1), "b": moved(5)})
    both = past.merged_with(later).users
    assert both is not None and len(both) == MOST_USERS + 1
    assert (both["a0"], both["a1"], both[OTHER]) == (moved(2), moved(1), moved(5))
    # With engine libzmq, nothing is known.
    assert past.merged_with(PeersSnapshot()).users is None
