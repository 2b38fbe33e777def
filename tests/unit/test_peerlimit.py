"""How many connections a socket lets in, as a table of who comes and goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geventrelay.engine.peerlimit import TOO_MANY_CONNECTIONS, TOO_MANY_PEERS, PeerLimit

FAR = "192.0.2.1:1000"


def test_a_socket_has_so_many_places_and_each_is_free_again():
    limit = PeerLimit(most=2)
    assert [limit.come(one, FAR) for one in (1, 2, 3)] == [None, None, TOO_MANY_PEERS]
    limit.leave(3)
    assert limit.come(3, FAR) is TOO_MANY_PEERS
    limit.leave(1)
    assert limit.come(3, FAR) is None


def test_an_address_has_so_many_places_whatever_its_port():
    limit = PeerLimit(most_per_address=1)
    assert limit.come(1, "192.0.2.1:1") is None
    assert limit.come(2, "192.0.2.1:2") is TOO_MANY_CONNECTIONS
    assert limit.come(3, "192.0.2.2:1") is None
    assert limit.come(4, "[2001:db8::1]:1") is None
    assert limit.come(5, "[2001:db8::1]:2") is TOO_MANY_CONNECTIONS


def test_loopback_ipc_and_what_is_not_known_count_for_no_address():
    limit = PeerLimit(most_per_address=1)
    addresses = ("127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "pid 7", "unknown", "")
    assert all(limit.come((address, time), address) is None for address in addresses for time in range(3))


def test_they_count_for_the_socket():
    limit = PeerLimit(most=1)
    assert limit.come(1, "pid 7") is None
    assert limit.come(2, "127.0.0.1:1") is TOO_MANY_PEERS


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from(["192.0.2.1:1", "192.0.2.2:1", "pid 1"]))))
def test_it_lets_in_what_a_plain_count_lets_in(steps):
    limit, there = PeerLimit(4, 2), {}
    for comes, one, address in steps:
        if not comes or one in there:
            limit.leave(one)
            there.pop(one, None)
            continue
        full = len(there) >= 4
        many = address != "pid 1" and list(there.values()).count(address) >= 2
        expected = TOO_MANY_PEERS if full else TOO_MANY_CONNECTIONS if many else None
        assert limit.come(one, address) is expected
        if expected is None:
            there[one] = address
