"""Work that a real server of NATS keeps: all that it has acknowledged is handed on, and once where nothing fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from support.backbone import encoded
from support.durable import Store, Stores, ask_for_consumer
from support.nats import LONG_S, NatsServer, asked, nats_cluster, nats_server, told

from geventrelay.backbone.pack import STORED, PackHead
from geventrelay.backbone.store import fetching, jetstream, storing
from geventrelay.backbone.values import StoreState
from geventrelay.testing import eventually


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path, "-js", "-sd", str(tmp_path / "store")) as server:
        yield server


@pytest.fixture
def stores(nats: NatsServer) -> Iterator[Stores]:
    with Stores(nats.url) as made:
        yield made


def numbered(count: int, size: int = 20) -> list[bytes]:
    return [b"%d" % number + b"." * size for number in range(count)]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has devices wait for answers of NATS however long it takes: what is asked again was asked again by mistake."""
    monkeypatch.setattr(storing, "_ANSWER_S", 600.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has devices keep in hand what they have no room for, however long it takes to look at them."""
    monkeypatch.setattr(fetching, "_GIVE_BACK_S", 600.0)


def test_what_no_worker_takes_is_stored_and_comes_to_one_elsewhere(stores, unhurried):
    one, other = stores.start(), stores.start()
    one.until_stores()
    other.until_stores()
    one.device.work(10)
    one.device.give(*numbered(1000))
    one.until(lambda: one.storing.stored == 990, "to be stored")
    assert one.device.worked == numbered(1000)[:10]
    other.device.work(2000)
    other.until(lambda: len(other.device.worked) == 990, "work")
    assert other.device.worked == numbered(1000)[10:]
    other.until(lambda: other.is_drained, "acknowledged")
    assert (other.fetching.redelivered, one.storing.retried) == (0, 0)


def test_a_device_without_workers_takes_none(stores):
    one, idle, other = stores.start(), stores.start(), stores.start()
    one.until_stores()
    idle.until_stores()
    one.device.give(*numbered(500))
    other.device.work(500)
    other.until(lambda: len(other.device.worked) == 500, "work")
    assert (idle.fetching.delivered, one.fetching.delivered) == (0, 0)
    assert idle.fetching.incoming == 0


def test_work_goes_on_where_a_server_was_killed_and_nothing_comes_twice(stores, nats):
    # A server of 2.9 that was killed may have forgotten acknowledgements: then it delivers again.
    ask_for_consumer(stores.url, ack_wait_s=1.0)
    one, other = stores.start(), stores.start()
    one.until_stores()
    other.until_stores()
    other.device.work(20_000)
    messages = numbered(20_000)
    for begin in range(0, 20_000, 100):
        one.device.give(*messages[begin : begin + 100])
        if begin % 5000 == 2500:
            nats.kill()
            nats.start()
        gevent.sleep(0.001)
    other.until(lambda: len(other.device.worked) >= 20_000, "work")
    other.until(lambda: other.is_drained and one.is_drained, "acknowledged")
    until_empty(stores)
    assert Counter(other.device.worked) == Counter(messages)
    assert (one.storing.stored, one.storing.waiting) == (20_000, 0)


def test_nothing_leaves_a_device_while_nats_is_away(stores, nats):
    one = stores.start()
    one.until_stores()
    nats.kill()
    one.until(lambda: one.durable.state is StoreState.WAITING, "the end of the connection")
    one.device.give(*numbered(5000))
    assert (one.device.gate.permits, one.device.waits) == (0, 5000)
    nats.start()
    one.until(lambda: one.storing.stored == 5000, "to be stored")


def test_an_answer_that_was_lost_stores_nothing_twice(stores, monkeypatch):
    one = stores.start()
    one.until_stores()
    answered, lost = one.durable._questions.answer, []

    def answer(number: int, what: Any) -> None:
        if number not in lost and b'"seq"' in what.data:
            lost.append(number)
        else:
            answered(number, what)

    monkeypatch.setattr(one.durable._questions, "answer", answer)
    one.device.give(*numbered(1000))
    one.until(lambda: one.storing.stored == 1000, "to be stored")
    # A busy machine may have asked one of them a third time.
    assert one.storing.retried >= len(lost) == state(stores)["messages"] > 10
    other = stores.start()
    other.device.work(5000)
    other.until(lambda: len(other.device.worked) >= 1000 and other.is_drained, "work")
    assert Counter(other.device.worked) == Counter(numbered(1000))


def test_an_acknowledgement_that_was_lost_hands_nothing_on_twice(stores):
    ask_for_consumer(stores.url, ack_wait_s=0.5)
    one = stores.start()
    one.until_stores()
    one.device.give(*numbered(64))
    one.until(lambda: one.storing.stored == 64, "to be stored")
    other = stores.start()
    other.fetching._questions.ask, ask = unheard(other), other.fetching._questions.ask
    other.device.work(100)
    other.until(lambda: other.fetching.redelivered, "to be delivered again")
    other.fetching._questions.ask = ask
    other.fetching._acks.clear()
    until_empty(stores)
    assert other.device.worked == numbered(64)


def test_a_killed_device_leaves_its_work_to_another(stores, patient):
    ask_for_consumer(stores.url, ack_wait_s=1.0)
    one, killed, other = stores.start(), stores.start(), stores.start()
    one.until_stores()
    killed.until_stores()
    one.device.give(*numbered(1000))
    one.until(lambda: one.storing.stored == 1000, "to be stored")
    killed.device.work(100)
    killed.until(lambda: len(killed.device.worked) == 100 and killed.fetching.incoming, "work in hand")
    # It has said of the pack before that it is done, and NATS has heard that.
    killed.until(lambda: not killed.fetching._acks, "one pack in hand")
    killed.stop()
    other.device.work(2000)
    until_empty(stores)
    got = Counter(killed.device.worked + other.device.worked)
    assert got.keys() == set(numbered(1000))
    # The pack that it had in hand, and no more.
    assert sum(got.values()) - 1000 <= 64
    assert other.fetching.redelivered > 0


def test_a_device_that_stops_gives_back_what_it_has_not_handed_over(stores, patient):
    one, stopped, other = stores.start(), stores.start(), stores.start()
    one.until_stores()
    stopped.until_stores()
    one.device.give(*numbered(1000))
    one.until(lambda: one.storing.stored == 1000, "to be stored")
    stopped.device.work(100)
    stopped.until(lambda: len(stopped.device.worked) == 100 and stopped.fetching.incoming, "work in hand")
    stopped.leave()
    other.device.work(2000)
    # Before a server would deliver again what a device has and does not say.
    until_empty(stores, jetstream._ACK_WAIT_S - 5)
    assert Counter(stopped.device.worked + other.device.worked) == Counter(numbered(1000))


def test_what_is_in_hand_of_a_device_whose_workers_have_gone_is_given_to_another(stores):
    one, slow, other = stores.start(), stores.start(), stores.start()
    one.until_stores()
    slow.until_stores()
    one.device.give(*numbered(64))
    one.until(lambda: one.storing.stored == 64, "to be stored")
    slow.device.work(3)
    slow.until(lambda: len(slow.device.worked) == 3, "work")
    other.device.work(100)
    until_empty(stores)
    assert Counter(slow.device.worked + other.device.worked) == Counter(numbered(64))
    assert (slow.fetching.returned, other.fetching.redelivered) == (61, 0)


def test_what_is_in_hand_is_bounded_in_bytes_where_there_is_much_room(stores):
    one, other = stores.start(), stores.start()
    one.until_stores()
    other.until_stores()
    messages = [b"%d" % number + b"x" * 500_000 for number in range(30)]
    one.device.give(*messages)
    one.until(lambda: one.storing.stored == 30, "to be stored")
    most = 0

    def room() -> int:
        nonlocal most
        most = max(most, other.fetching.incoming_bytes)
        return other.device.workers

    other.device.room = room
    other.device.work(1000)
    other.until(lambda: len(other.device.worked) == 30, "work")
    assert 500_000 <= most < 2_000_000


def test_a_server_without_jetstream_is_said_once_and_nothing_leaves(tmp_path, caplog):
    with nats_server(tmp_path) as server, Stores(server.url) as stores:
        one = stores.start()
        one.device.give(*numbered(10))
        one.until(lambda: one.durable.refused >= 2, "to be refused twice")
        assert (one.durable.state, one.durable.reason) == (StoreState.REFUSED, "the server has no JetStream")
        assert (one.device.gate.permits, one.device.waits) == (0, 10)
        one.device.work(10)
        assert one.device.worked == numbered(10)
    assert caplog.text.count("backbone-refused") == 1


def test_a_stream_that_is_there_is_taken_as_it_is(stores):
    stream = {"name": "geventrelay+work+d", "subjects": ["geventrelay.work.d", "more"], "retention": "workqueue"}
    asked(stores.url, "$JS.API.STREAM.CREATE.geventrelay+work+d", {**stream, "storage": "memory"})
    one = stores.start()
    one.until_stores()
    one.device.give(*numbered(10))
    one.until(lambda: one.storing.stored == 10, "to be stored")
    assert info(stores)["config"]["storage"] == "memory"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"retention": "limits"}, "stream geventrelay+work+d has retention limits, not workqueue"),
        (
            {"retention": "workqueue", "subjects": ["other"]},
            "stream geventrelay+work+d does not have the subject geventrelay.work.d",
        ),
        (
            {"retention": "workqueue", "discard": "new", "max_bytes": 1_000_000},
            "stream geventrelay+work+d has discard new with max_bytes, with which a server may lose work",
        ),
    ],
)
def test_a_stream_that_would_not_keep_work_is_refused(stores, config, reason):
    stream = {"name": "geventrelay+work+d", "subjects": ["geventrelay.work.d"], "storage": "file", **config}
    asked(stores.url, "$JS.API.STREAM.CREATE.geventrelay+work+d", stream)
    one = stores.start()
    one.until(lambda: one.durable.state is StoreState.REFUSED, "to be refused")
    assert one.durable.reason == reason
    assert one.device.gate.permits == 0


def test_a_consumer_with_a_limit_of_deliveries_is_refused(stores):
    ask_for_consumer(stores.url, ack_wait_s=1.0, max_deliver=3)
    one = stores.start()
    one.until(lambda: one.durable.state is StoreState.REFUSED, "to be refused")
    assert one.durable.reason == (
        "consumer geventrelay of stream geventrelay+work+d has a limit of deliveries, which loses work"
    )


@pytest.mark.slow
def test_what_a_full_stream_does_not_take_waits(stores):
    stream = {"name": "geventrelay+work+d", "subjects": ["geventrelay.work.d"], "retention": "workqueue"}
    limits = {"max_msgs": 4, "discard": "new"}
    asked(stores.url, "$JS.API.STREAM.CREATE.geventrelay+work+d", {**stream, **limits, "storage": "file"})
    one = stores.start(backbone_buffer_bytes=1 << 20)
    one.until_stores()
    messages = numbered(2000, 1000)
    one.device.give(*messages)
    one.until(lambda: one.device.waits and state(stores)["messages"] == 4, "a full stream")
    other = stores.start()
    other.device.work(2000)
    other.until(lambda: len(other.device.worked) == 2000, "work")
    until_empty(stores)
    assert Counter(other.device.worked) == Counter(messages)
    assert one.storing.dropped == {}


def test_what_workers_had_no_room_for_after_all_is_acknowledged_once_it_is_stored_again(stores, monkeypatch):
    one, other = stores.start(), stores.start()
    one.until_stores()
    other.until_stores()
    one.device.give(*numbered(64))
    one.until(lambda: one.storing.stored == 64, "to be stored")
    one.stop()
    # It has room for one, and says that it has room for all.
    monkeypatch.setattr(other.device, "room", lambda: 64 * (other.device.workers > 0))
    answered, held = other.durable._questions.answer, []

    def hold(number: int, what: Any) -> None:
        held.append((number, what)) if b'"seq"' in what.data else answered(number, what)

    monkeypatch.setattr(other.durable._questions, "answer", hold)
    other.device.work(1)

    def is_held() -> bool:
        # One that is asked again is answered again.
        return len({number for number, _ in held}) == len(other.storing._on_way)

    other.until(lambda: other.fetching.delivered == 64 and other.storing.waiting == 63 and is_held(), "63 stored again")
    other.until_ticked(3)
    assert state(stores)["messages"] == 1 + len(other.storing._on_way)
    monkeypatch.setattr(other.durable._questions, "answer", answered)
    other.device.work(1000)
    until_empty(stores)
    assert Counter(other.device.worked) == Counter(numbered(64))


def test_these_permissions_are_enough(tmp_path):
    configuration = tmp_path / "nats.conf"
    configuration.write_text(
        "authorization { users = [{user: relays, password: pw, permissions: "
        '{publish: ["geventrelay.>", "$JS.API.>", "$JS.ACK.>"], subscribe: "geventrelay.>"}}] }'
    )
    with (
        nats_server(tmp_path, "-js", "-sd", str(tmp_path / "store"), "-c", str(configuration)) as server,
        Stores(server.url.replace("//", "//relays:pw@")) as stores,
    ):
        one = stores.start()
        one.until_stores()
        one.device.give(*numbered(100))
        one.until(lambda: one.storing.stored == 100, "to be stored")
        one.device.work(100)
        one.until(lambda: one.is_drained and len(one.device.worked) == 100, "work")
        assert one.link._connection.refused == ""


def test_a_stream_that_was_deleted_is_made_again(stores):
    one = stores.start()
    one.until_stores()
    asked(stores.url, "$JS.API.STREAM.DELETE.geventrelay+work+d")
    one.device.give(*numbered(100))
    other = stores.start()
    other.device.work(100)
    other.until(lambda: len(other.device.worked) == 100, "work")


def test_what_is_too_large_for_nats_is_dropped_and_counted(tmp_path):
    configuration = tmp_path / "nats.conf"
    configuration.write_text("max_payload: 16384")
    with (
        nats_server(tmp_path, "-js", "-sd", str(tmp_path / "store"), "-c", str(configuration)) as server,
        Stores(server.url) as stores,
    ):
        one = stores.start()
        one.until_stores()
        messages = [b"%d" % number + b"." * size for number, size in enumerate((5000, 20_000, 5000, 9000, 100))]
        one.device.give(*messages)
        one.until(lambda: one.storing.stored == 4, "to be stored")
        assert {reason.value: count for reason, count in one.durable.dropped.items()} == {"too_large": 1}
        one.device.work(4)
        one.until(lambda: len(one.device.worked) == 4, "work")
        assert one.device.worked == messages[:1] + messages[2:]


def test_what_is_no_work_is_thrown_away(stores):
    one = stores.start()
    one.until_stores()
    told(stores.url, "geventrelay.work.d", b"something else")
    # NATS stores what two clients send in either order, and the device fetches only while it has room.
    eventually(lambda: state(stores)["messages"] == 1, "the first of the stream")
    one.device.give(*numbered(10))
    one.until(lambda: one.storing.stored == 10, "to be stored")
    one.device.work(10)
    one.until(lambda: len(one.device.worked) == 10, "work")
    until_empty(stores)
    assert one.fetching.malformed == 1


def test_packs_that_a_device_has_not_asked_for_are_given_back_and_all_work_is_done_once(stores):
    one, idle = stores.start(), stores.start()
    one.until_stores()
    idle.until_stores()
    messages = numbered(13_000)
    one.device.give(*messages)
    one.until(lambda: one.storing.stored == 13_000, "to be stored")
    assert state(stores)["messages"] > 200
    given_back, most, came = [], 0, idle.fetching.came

    def see(reply: str, data: bytes) -> None:
        nonlocal most
        came(reply, data)
        most = max(most, len(idle.fetching._hands))

    idle.fetching.came = see
    say = idle.fetching._questions.say
    idle.fetching._questions.say = lambda subject, word: (given_back.append(subject), say(subject, word))
    # Another program asks for them in the name of a device whose workers have no room.
    pulling = "$JS.API.CONSUMER.MSG.NEXT.geventrelay+work+d.geventrelay"
    told(stores.url, pulling, b'{"batch": 300, "expires": 30000000000}', reply=f"{idle.durable._inbox}.x")
    idle.until(lambda: len(given_back) > 130, "packs to be given back")
    assert most <= 64
    one.device.work(20_000)
    until_empty(stores)
    assert Counter(one.device.worked) == Counter(messages)
    assert (idle.fetching.delivered, idle.fetching.malformed) == (0, 0)


def test_nothing_is_said_of_packs_of_another_stream_and_work_goes_on_while_they_come(stores):
    one, other = stores.start(), stores.start()
    one.until_stores()
    other.until_stores()
    stream = {"name": "orders", "subjects": ["orders"], "storage": "memory"}
    asked(stores.url, "$JS.API.STREAM.CREATE.orders", stream)
    forged = PackHead(b"r" * 8, STORED, 1, 0, 1).encoded() + encoded([b"forged"])
    told(stores.url, "orders", *[forged, b"no pack"] * 100)
    config = {"durable_name": "orders", "ack_policy": "explicit", "ack_wait": 3600 * 10**9}
    subject = "$JS.API.CONSUMER.DURABLE.CREATE.orders.orders"
    assert "error" not in asked(stores.url, subject, {"stream_name": "orders", "config": config})
    pulling = "$JS.API.CONSUMER.MSG.NEXT.orders.orders"
    told(stores.url, pulling, b'{"batch": 200, "expires": 10000000000}', reply=f"{one.durable._inbox}.x")
    one.until(lambda: one.fetching.malformed == 200, "all of the other stream")
    # And answers to what it asks for work, and will ask.
    one.device.work(1000)
    one.until(lambda: one.fetching._pull is not None and one.fetching._pull.tries, "a question")
    asks = one.fetching._pull.number
    for number in range(asks, asks + 20):
        told(stores.url, f"{one.durable._inbox}.{number}", forged, reply="orders")
    other.device.give(*numbered(1000))
    one.until(lambda: len(one.device.worked) == 1000, "work")
    until_empty(stores)
    assert Counter(one.device.worked) == Counter(numbered(1000))
    about = asked(stores.url, "$JS.API.CONSUMER.INFO.orders.orders")
    assert (about["num_ack_pending"], about["num_redelivered"], about["num_pending"]) == (200, 0, 0)
    assert asked(stores.url, "$JS.API.STREAM.INFO.orders")["state"]["messages"] == 200


def test_an_answer_with_an_odd_number_is_none(stores):
    one = stores.start()
    one.until_stores()
    # The library for NATS would end the connection if that raised.
    one.durable.on_answer(f"{one.durable._inbox}.\N{SUPERSCRIPT TWO}", b"x", "", b"")
    one.durable.on_answer(f"{one.durable._inbox}.x", b"x", "", b"")


def test_of_a_long_reason_only_the_beginning_is_kept(stores):
    one = stores.start()
    one.until_stores()
    one.durable._on_stream({}, -1, "x" * 100_000)
    assert one.durable.reason == "x" * 300
    one.until_stores()


def test_how_much_waits_for_nats_is_bounded(stores, monkeypatch):
    one = stores.start(backbone_buffer_bytes=1 << 20)
    one.until_stores()
    monkeypatch.setattr(one.durable._questions, "answer", lambda number, what: None)
    one.device.give(*[b"x" * 10_000] * 1000)
    one.until(lambda: one.storing.waiting_bytes > 1_000_000, "a full buffer")
    one.until_ticked(3)
    assert one.device.gate.permits == 0
    assert one.storing.waiting_bytes < 2 << 20
    assert one.device.waits > 800


@pytest.mark.slow
@pytest.mark.timeout(5 * LONG_S)
def test_work_goes_on_where_the_leader_of_its_stream_was_killed(tmp_path):
    with nats_cluster(tmp_path, 3, jetstream=True) as servers, Stores(",".join(one.url for one in servers)) as stores:
        one, other = stores.start(), stores.start()
        one.until_stores()
        other.until_stores()
        assert one.durable.replicas == 3
        other.device.work(20_000)
        messages = numbered(20_000)
        for begin in range(0, 20_000, 100):
            one.device.give(*messages[begin : begin + 100])
            if begin == 5000:
                leader = info(stores, servers)["cluster"]["leader"]
                servers[int(leader[1:])].kill()
            gevent.sleep(0.001)
        # What was delivered over a connection that ended, and did not come, is delivered again after half a minute.
        other.until(lambda: len(set(other.device.worked)) >= 20_000, "work", 2 * LONG_S)
        one.until(lambda: one.is_drained and other.is_drained, "acknowledged")
        got = Counter(other.device.worked)
        assert got.keys() == set(messages)
        assert sum(got.values()) == 20_000


def state(stores: Stores) -> dict[str, Any]:
    return info(stores)["state"]


def info(stores: Stores, servers: list[NatsServer] | None = None) -> dict[str, Any]:
    url = stores.url if servers is None else servers[0].url
    return asked(url, "$JS.API.STREAM.INFO.geventrelay+work+d")


def until_empty(stores: Stores, within_s: float = LONG_S) -> None:
    """Wait until all that was stored is acknowledged."""

    def what() -> str:
        consumer = asked(stores.url, "$JS.API.CONSUMER.INFO.geventrelay+work+d.geventrelay")
        return f"an empty stream: {state(stores)} {consumer}"

    eventually(lambda: state(stores)["messages"] == 0, what, within_s)


def unheard(store: Store) -> Any:
    """Asks as `store` does, but for acknowledgements, which nobody gets."""
    questions = store.fetching._questions
    ask = questions.ask

    def lose(subject: str, data: bytes, *more: Any) -> Any:
        return ask("nobody", data, *more) if data == b"+ACK" else ask(subject, data, *more)

    return lose
