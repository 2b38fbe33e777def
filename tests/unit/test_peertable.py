"""A monitor's events, turned into who is connected."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.engine.handshake_failures import NOT_ZMTP, WRONG_TYPE, Ended
from geventrelay.engine.peerlimit import PeerLimit
from geventrelay.engine.peertable import PeersSnapshot, PeerTable

HERE, THERE = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"


def addresses(table):
    for descriptor, one in table.nameless():
        one.address = str(descriptor)
    return [peer.address for peer in table.snapshot("NULL").peers]


def test_a_connection_is_a_peer_once_its_handshake_is_through():
    table = PeerTable()
    table.gained(5, HERE, now=1.5)
    assert (table.ready, table.snapshot("NULL")) == (0, PeersSnapshot())
    table.succeeded(HERE)
    snapshot = table.snapshot("CURVE")
    assert (table.ready, snapshot.connected_total, snapshot.disconnected_total) == (1, 1, 0)
    (peer,) = snapshot.peers
    assert (peer.address, peer.since, peer.mechanism) == ("unknown", 1.5, "CURVE")


def test_a_peer_that_leaves_is_counted():
    table = PeerTable()
    table.gained(5, HERE, 0)
    table.succeeded(HERE)
    connection, reason = table.lost(5, HERE)
    assert (connection.endpoint, reason, table.ready) == (HERE, None, 0)
    assert table.snapshot("NULL") == PeersSnapshot(connected_total=1, disconnected_total=1)


def test_a_handshake_that_fails_takes_nobody_away():
    table = PeerTable()
    table.gained(5, HERE, 0)
    table.succeeded(HERE)
    table.gained(6, HERE, 0)
    table.failed(HERE, "ECONNRESET", detail=False)
    assert table.lost(6, HERE)[1] == "ECONNRESET"
    assert (table.ready, addresses(table)) == (1, ["5"])
    assert table.snapshot("NULL").handshake_failures == {"ECONNRESET": 1}


def test_what_ends_without_a_word_did_not_speak_zmtp():
    table = PeerTable()
    table.gained(5, HERE, 0)
    assert table.lost(5, HERE)[1] == NOT_ZMTP
    assert table.snapshot("NULL") == PeersSnapshot(handshake_failures={NOT_ZMTP: 1})


def test_a_denial_is_one_failure_however_it_ends():
    table = PeerTable()
    for ends_at_once in (False, True):
        table.gained(5, HERE, 0)
        table.denied(HERE, "auth_400")
        if not ends_at_once:
            table.failed(HERE, "EPIPE", detail=False)
        assert table.lost(5, HERE)[1] == "auth_400"
    assert table.snapshot("NULL") == PeersSnapshot(handshake_failures={"auth_400": 2})


def test_a_handshake_goes_to_who_has_spoken_at_that_endpoint():
    table = PeerTable(spoke=lambda descriptor: descriptor != 5)
    table.gained(4, THERE, 0)
    table.gained(5, HERE, 0)
    table.gained(6, HERE, 0)
    table.succeeded(HERE)
    assert addresses(table) == ["6"]


def test_a_handshake_put_down_wrongly_is_put_right():
    table = PeerTable()
    table.gained(5, HERE, 0)
    table.gained(6, HERE, 0)
    table.succeeded(HERE)
    assert addresses(table) == ["5"]
    table.failed(HERE, "ETIMEDOUT", detail=False)
    table.lost(5, HERE)
    assert (addresses(table), table.ready) == (["6"], 1)
    assert table.snapshot("NULL").disconnected_total == 0


def test_a_descriptor_that_comes_again_ends_the_connection_before():
    table = PeerTable()
    for _ in range(2):
        table.gained(5, HERE, 0)
        table.succeeded(HERE)
    assert (table.ready, table.snapshot("NULL").disconnected_total) == (1, 1)


def test_what_makes_no_sense_changes_nothing():
    table = PeerTable()
    assert table.lost(5, HERE) is None
    assert table.succeeded(HERE) is None
    assert table.snapshot("NULL") == PeersSnapshot()


def test_retries_are_counted():
    table = PeerTable()
    table.retried()
    assert table.snapshot("NULL") == PeersSnapshot(retries=1)


def test_thousands_that_say_nothing_are_not_all_looked_at():
    looked_at = []
    table = PeerTable(spoke=looked_at.append)
    for descriptor in range(5000):
        table.gained(descriptor, HERE, 0)
    table.succeeded(HERE)
    assert (table.ready, len(looked_at)) == (1, 64)


def test_two_lives_add_up():
    one = PeersSnapshot(connected_total=2, disconnected_total=2, handshake_failures={"a": 1}, retries=3)
    other = PeersSnapshot(connected_total=1, handshake_failures={"a": 1, "b": 2})
    assert one.merged_with(other) == PeersSnapshot(
        connected_total=3, disconnected_total=2, handshake_failures={"a": 2, "b": 2}, retries=3
    )


def test_what_libzmq_has_answered_and_ended_has_a_type_that_does_not_fit():
    table = PeerTable()
    table.gained(5, HERE, 0)
    assert table.lost(5, HERE, Ended(greeted=True, said=True))[1] == WRONG_TYPE
    assert table.snapshot("NULL") == PeersSnapshot(handshake_failures={WRONG_TYPE: 1})


def test_who_of_several_is_the_peer_is_doubtful_for_as_long_as_a_handshake_takes():
    table = PeerTable()
    table.gained(5, HERE, 100)
    table.gained(6, HERE, 100)
    table.gained(7, THERE, 100)
    table.succeeded(HERE)
    table.succeeded(THERE)
    assert (table.ready, table.certainly_ready(101), table.certainly_ready(200)) == (2, 1, 2)
    assert [one.certain for one in table.snapshot("NULL", 101).peers] == [False, True]
    assert not table.snapshot("NULL", 101).certain
    assert table.snapshot("NULL", 200).certain


def test_a_single_candidate_is_certain():
    table = PeerTable(spoke=lambda descriptor: descriptor == 6)
    table.gained(5, HERE, 0)
    table.gained(6, HERE, 0)
    table.succeeded(HERE)
    assert (table.certainly_ready(0), table.snapshot("NULL").certain) == (1, True)


def test_a_connection_that_has_ended_unnoticed_is_told_as_uncertain():
    table = PeerTable()
    for descriptor in (5, 6):
        table.gained(descriptor, HERE, 0)
        table.succeeded(HERE)
    assert [one.certain for one in table.snapshot("NULL", gone={5}).peers] == [False, True]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["peer", "silent", "http", "leave"])), max_size=40))
def test_how_many_are_connected_is_right_whatever_they_are(steps):
    """libzmq's own order of events: an end follows at once on what it comes from."""
    table, there = PeerTable(), {}
    expected = Counter()
    for descriptor, what in steps:
        if what == "leave" and there.get(descriptor) == "peer":
            table.lost(descriptor, HERE)
            expected["disconnected"] += 1
            del there[descriptor]
        elif what == "leave" and there.get(descriptor) == "silent":
            table.failed(HERE, "EPIPE", detail=False)
            table.lost(descriptor, HERE)
            expected["EPIPE"] += 1
            del there[descriptor]
        elif what != "leave" and descriptor not in there:
            table.gained(descriptor, HERE, 0)
            there[descriptor] = what
            if what == "peer":
                table._spoke = lambda one, descriptor=descriptor: one == descriptor
                table.succeeded(HERE)
                expected["connected"] += 1
            elif what == "http":
                table.lost(descriptor, HERE)
                expected[NOT_ZMTP] += 1
                del there[descriptor]
        assert table.ready == len(table.snapshot("NULL").peers) == list(there.values()).count("peer")
    snapshot = table.snapshot("NULL")
    assert (snapshot.connected_total, snapshot.disconnected_total) == (expected["connected"], expected["disconnected"])
    assert snapshot.handshake_failures == {name: expected[name] for name in (NOT_ZMTP, "EPIPE") if expected[name]}


def test_a_connection_that_was_kept_off_counts_once_however_it_ends():
    for end in (lambda table: None, lambda table: table.failed("here", "EPIPE", detail=False)):
        table = PeerTable()
        table.gained(7, "here", 0.0)
        assert table.is_pending(7)
        table.kept_off(7)
        end(table)
        assert table.lost(7, "here") is None
        assert table.snapshot("NULL") == PeersSnapshot(handshake_failures={"kept_off": 1})
        assert not table.is_pending(7)


def test_a_descriptor_that_is_used_again_is_kept_off_no_more():
    table = PeerTable()
    table.gained(7, "here", 0.0)
    table.kept_off(7)
    table.gained(7, "here", 1.0)
    table.lost(7, "here")
    assert table.snapshot("NULL").handshake_failures == {"kept_off": 1, "not_zmtp3": 1}


@pytest.mark.parametrize("broken", [None, "EAGAIN", "EPIPE"])
def test_a_handshake_whose_time_is_over_is_too_slow_however_it_breaks(broken):
    table = PeerTable()
    table.gained(5, HERE, 0)
    if broken:
        table.failed(HERE, broken, detail=False)
    assert table.lost(5, HERE, Ended(greeted=True, said=True, slow=True))[1] == "too_slow"
    assert table.snapshot("NULL") == PeersSnapshot(handshake_failures={"too_slow": 1})


def test_what_is_known_to_be_wrong_is_not_too_slow():
    table = PeerTable()
    table.gained(5, HERE, 0)
    table.failed(HERE, "zmtp_mechanism_mismatch")
    assert table.lost(5, HERE, Ended(slow=True))[1] == "zmtp_mechanism_mismatch"
    table.gained(5, HERE, 0)
    table.denied(HERE, "auth_400")
    assert table.lost(5, HERE, Ended(slow=True))[1] == "auth_400"
    table.gained(5, HERE, 0)
    table.succeeded(HERE)
    assert table.lost(5, HERE, Ended(slow=True))[1] is None


def test_peers_are_doubtful_for_as_long_as_a_handshake_may_take():
    for handshake_s, now, certain in ((30.0, 40.0, 2), (60.0, 40.0, 0), (0.0, 10.0**6, 0)):
        table = PeerTable(handshake_s=handshake_s)
        for descriptor in (5, 6):
            table.gained(descriptor, HERE, 0)
        table.succeeded(HERE)
        table.succeeded(HERE)
        assert table.certainly_ready(now) == certain


def test_a_connection_has_a_place_until_it_has_ended_in_any_way():
    limit = PeerLimit(most=1)
    table = PeerTable(limit=limit)
    ends = (
        lambda: table.lost(5, HERE),
        lambda: (table.succeeded(HERE), table.lost(5, HERE)),
        lambda: table.cut_off(5, "unfinished"),
        lambda: table.gained(5, HERE, 0),
        lambda: (table.kept_off(5, "too_many_peers"), table.lost(5, HERE)),
    )
    for end in ends:
        table.gained(5, HERE, 0, accepted=True)
        assert limit.come(5, "") is None
        end()
        assert limit.come(6, "") is None
        limit.leave(6)
