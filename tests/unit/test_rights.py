"""What users may do, as it is written, and what that is at one socket."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geventrelay.access.rights import Rights, RightsTable, read_rights
from geventrelay.engine.grant import Grant, allows, needed
from geventrelay.errors import SettingsError

TEXTS = st.text(max_size=4)
NAMES = st.text(alphabet=st.sampled_from("ab.-é€"), min_size=1, max_size=5)
PREFIXES = st.lists(st.binary(max_size=3), max_size=5)
TABLE = read_rights(
    {
        "user": {
            "alice": {"publish": ["prices.", "users.${user}."], "subscribe": [""], "request": True, "work": ["jobs"]},
            "bob": {},
        },
        "others": {"subscribe": ["public.", "users.${user}."], "request": ["${user}-jobs"]},
    }
)


def test_what_is_written_is_allowed_and_nothing_else():
    alice = TABLE.of("alice")
    assert alice == Rights((b"prices.", b"users.alice."), (b"",), True, ("jobs",))
    assert alice.may_publish(b"prices.oil") and alice.may_publish(b"users.alice.x") and not alice.may_publish(b"price")
    assert alice.may_subscribe(b"") and alice.may_subscribe(b"anything")
    assert alice.may_request("any") and alice.may_work("jobs") and not alice.may_work("other")


def test_a_table_without_a_right_gives_none_and_others_are_for_users_without_a_table():
    assert TABLE.of("bob") == Rights() == RightsTable().of("carol")
    assert TABLE.of("carol") == Rights(subscribe=(b"public.", b"users.carol."), request=("carol-jobs",))


def test_a_peer_without_a_name_has_nothing_that_is_given_by_name():
    assert TABLE.of("") == Rights(subscribe=(b"public.",), request=())
    assert not TABLE.of("").may_request("-jobs")


@given(head=TEXTS, end=st.sampled_from("./:-é"), tail=TEXTS, one=NAMES, other=NAMES, topic=st.binary(max_size=6))
def test_no_two_users_share_a_topic_that_is_given_by_name(head, end, tail, one, other, topic):
    assume(one != other and "${" not in head + tail)
    table = read_rights({"others": {"publish": [f"{head}${{user}}{end}{tail}"]}})
    mine, others = table.of(one), table.of(other)
    for prefix in mine.publish:
        assert not others.may_publish(prefix + topic)


def test_a_name_that_could_pass_for_another_one_has_nothing_that_is_given_by_name():
    table = read_rights({"others": {"publish": ["${user}."]}})
    assert table.of("a.b").publish == table.of("a\n").publish == table.of("a\udcc3").publish == ()


@given(prefixes=PREFIXES, data=st.binary(max_size=4))
def test_fewer_prefixes_allow_the_same(prefixes, data):
    kept = needed(prefixes)
    assert (kept is None or allows(kept, data)) == allows(tuple(prefixes), data)
    assert kept is None or not any(allows((one,), other) for one in kept for other in kept if one != other)


@pytest.mark.parametrize(
    ("type", "grant"),
    [
        ("SUB", Grant(send=(b"a",))),
        ("XSUB", Grant(send=(b"a",))),
        ("PULL", Grant(send=(b"a",))),
        ("PUB", Grant(send=(b"a",), subscribe=(b"b",))),
        ("XPUB", Grant(send=(b"a",), subscribe=(b"b",))),
        ("ROUTER", Grant(send=None)),
        ("REP", Grant(send=None)),
        *((type, Grant()) for type in ("PUSH", "DEALER", "REQ", "PAIR")),
    ],
)
def test_each_type_of_socket_asks_for_its_right(type, grant):
    rights = Rights((b"a", b"ab"), (b"b",), True, ("here",))
    assert rights.grant(type, "here") == grant
    everything = Rights((b"",), (b"",), True, True)
    assert everything.grant(type, "here") == Grant()


def test_a_peer_without_the_right_to_work_must_not_connect_where_messages_are_shared_out():
    assert [Rights(work=("here",)).grant(type, "there") for type in ("PUSH", "DEALER", "REQ", "PAIR")] == [None] * 4
    assert Rights().grant("ROUTER", "here") == Grant(send=())


def test_it_is_known_which_table_limits_subscribers():
    everything = {"subscribe": ["", "a"]}
    assert RightsTable().narrowed == ("others", [])
    assert read_rights({"others": everything, "user": {"a": everything}}).narrowed is None
    assert read_rights({"others": everything, "user": {"a": {"publish": [""]}}}).narrowed == ("user.a", [])
    assert read_rights({"others": {"subscribe": ["a", "${user}."]}}).narrowed == ("others", ["a", "${user}."])


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({"users": {}}, "users: expected tables [user.NAME] and [others], got 'users'"),
        ({"user": 1}, "user: expected tables [user.NAME], got 1"),
        ({"user": {"": {}}}, "user: expected a name of printable characters, got ''"),
        ({"user": {"a": 1}}, "user.a: expected a table [user.a], got 1"),
        ({"others": []}, "others: expected a table [others], got []"),
        (
            {"others": {"pub": []}},
            "others.pub: expected one of publish, subscribe, request, work, got 'pub'",
        ),
        ({"others": {"publish": "a"}}, "others.publish: expected a list of prefixes, as text, got 'a'"),
        ({"others": {"subscribe": [1]}}, "others.subscribe: expected a list of prefixes, as text, got [1]"),
        ({"others": {"request": 1}}, "others.request: expected true, false or a list of devices' names, got 1"),
        ({"others": {"work": ["${name}"]}}, "others.work: expected no other ${ than ${user}, got '${name}'"),
        (
            {"others": {"publish": ["a.${user}"]}},
            "others.publish: expected a character such as '.' right behind ${user}, which ends the name, "
            "got 'a.${user}'",
        ),
        (
            {"others": {"publish": ["${user}${user}."]}},
            "others.publish: expected a character such as '.' right behind ${user}, which ends the name, "
            "got '${user}${user}.'",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(tables, error):
    with pytest.raises(SettingsError) as raised:
        read_rights(tables)
    assert str(raised.value) == error


def test_all_that_is_wrong_is_told():
    with pytest.raises(SettingsError) as raised:
        read_rights({"others": {"publish": 1, "work": 2}, "user": {"a": {"x": 1}}})
    assert len(str(raised.value).splitlines()) == 3
