"""Why handshakes failed with libzmq: what it has told counts, and a guess is made only of what can be known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.engine.handshake_failures import NOT_ZMTP, TOO_SLOW, WRONG_TYPE, Ended, HandshakeFailures

HERE = "tcp://127.0.0.1:1"
NOTHING = Ended()
GREETED = Ended(greeted=True)
# Both ends have said what follows the greetings.
BEYOND = Ended(greeted=True, said=True, heard=True)
# A server of PLAIN or CURVE has the first command of a client, and has not answered it yet.
ASKED = Ended(greeted=True, heard=True, accepted=True)
ANSWERED = Ended(greeted=True, said=True, heard=True, accepted=True)
# A client of them has an answer to its first command, or not yet.
TOLD, TELLS = Ended(greeted=True, said=True, heard=True), Ended(greeted=True, said=True)


@pytest.mark.parametrize(
    ("mechanism", "told", "ended", "reason"),
    [
        # libzmq has refused it without a word.
        ("NULL", None, NOTHING, NOT_ZMTP),
        ("NULL", None, GREETED, NOT_ZMTP),
        ("NULL", None, BEYOND, WRONG_TYPE),
        ("NULL", None, ASKED, WRONG_TYPE),
        ("PLAIN", None, ANSWERED, WRONG_TYPE),
        ("CURVE", None, ANSWERED, WRONG_TYPE),
        ("CURVE", None, GREETED, NOT_ZMTP),
        # The other end has broken it off: with NULL, our READY may be why.
        ("NULL", "EPIPE", BEYOND, WRONG_TYPE),
        ("NULL", "ECONNRESET", TELLS, WRONG_TYPE),
        ("NULL", "EPIPE", GREETED, "EPIPE"),
        ("NULL", "EPIPE", ASKED, "EPIPE"),
        # A client without the server's key says nothing; one with a wrong password leaves before the answer.
        ("CURVE", "EPIPE", GREETED, "EPIPE"),
        ("PLAIN", "EPIPE", ASKED, "EPIPE"),
        ("PLAIN", "ECONNRESET", ANSWERED, "ECONNRESET"),
        ("CURVE", "EPIPE", ANSWERED, "EPIPE"),
        # Where this end is the client: the server of PLAIN has let it in.
        ("PLAIN", "EPIPE", TOLD, WRONG_TYPE),
        ("PLAIN", "EPIPE", TELLS, "EPIPE"),
        ("CURVE", "EPIPE", TOLD, "EPIPE"),
        ("NULL", "ETIMEDOUT", BEYOND, "ETIMEDOUT"),
    ],
)
def test_a_guess_is_made_of_what_can_be_known(mechanism, told, ended, reason):
    failures = HandshakeFailures(mechanism)
    if told is not None:
        failures.failed(HERE, told, detail=False)
    assert failures.conclude(HERE, failures.take(HERE), ended) == reason
    assert failures.counts == {reason: 1}


def test_a_peer_that_leaves_while_another_one_is_denied_is_not_that_one():
    failures = HandshakeFailures("CURVE")
    failures.denied(HERE, "auth_400")
    # Another one has ended in between.
    assert failures.conclude(HERE, failures.take(HERE), Ended(ready=True)) is None
    failures.failed(HERE, "EPIPE", detail=False)
    assert failures.conclude(HERE, failures.take(HERE), GREETED) == "EPIPE"
    assert failures.conclude(HERE, failures.take(HERE), ANSWERED) == "auth_400"
    assert failures.counts == {"auth_400": 1, "EPIPE": 1}


def test_a_denied_peer_that_has_left_before_counts_once():
    failures = HandshakeFailures("PLAIN")
    failures.denied(HERE, "auth_300")
    failures.denied(HERE, "auth_400")
    failures.failed(HERE, "EPIPE", detail=False)
    assert failures.conclude(HERE, failures.take(HERE), ASKED) == "auth_400"
    assert failures.conclude(HERE, failures.take(HERE), ASKED) == "auth_300"
    assert failures.counts == {"auth_300": 1, "auth_400": 1}


REASONS = ("EPIPE", "ECONNRESET", "zmtp_cryptographic", "auth_400")


@given(
    mechanism=st.sampled_from(["NULL", "PLAIN", "CURVE"]),
    takes_legacy=st.booleans(),
    ends=st.lists(st.tuples(st.sampled_from([None, *REASONS]), st.builds(Ended, *[st.booleans()] * 6)), max_size=8),
)
def test_each_connection_has_one_reason_at_most_and_each_reason_is_counted_once(mechanism, takes_legacy, ends):
    failures = HandshakeFailures(mechanism, takes_legacy=takes_legacy)
    found = []
    for reason, ended in ends:
        if reason == "auth_400":
            failures.denied(HERE, reason)
        elif reason is not None:
            failures.failed(HERE, reason, detail=reason.startswith("zmtp"))
        found.append(failures.conclude(HERE, failures.take(HERE), ended))
    known = {NOT_ZMTP, WRONG_TYPE, TOO_SLOW, *REASONS, None}
    assert set(found) <= known
    # A denial counts before its connection has ended.
    early = sum(reason == "auth_400" for reason, _ in ends) - found.count("auth_400")
    assert sum(failures.counts.values()) == len(ends) - found.count(None) + early
