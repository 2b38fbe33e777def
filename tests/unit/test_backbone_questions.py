"""What is asked of NATS until it is answered, and what answers mean."""

from __future__ import annotations

import json

import pytest

from geventrelay.backbone.store import jetstream
from geventrelay.backbone.store.holding import ASK_S, Holding
from geventrelay.backbone.store.jetstream import MOST_ANSWER_BYTES, JetStream
from geventrelay.backbone.store.questions import Answer, Question, Questions
from geventrelay.backbone.store.storing import PACK_BYTES, PACK_MESSAGES, packs
from geventrelay.backbone.subjects import Subjects

OK = Answer(b"{}")


class Asked:
    """Questions whose answers are kept, by what was asked."""

    def __init__(self) -> None:
        self.questions = Questions()
        self.answers: list[tuple[bytes, bytes]] = []

    def ask(self, data: bytes, wait_s: float = 2.0) -> Question:
        return self.questions.ask("s", data, lambda answer: self.answers.append((data, answer.data)), wait_s)

    def send(self, now: float) -> list[bytes]:
        """Send all there is to send."""
        sent = []
        while (question := self.questions.take()) is not None:
            self.questions.sent(question, now)
            sent.append(question.data)
        return sent


def test_a_question_is_sent_once_and_again_when_its_time_is_over():
    asked = Asked()
    one, two = asked.ask(b"1"), asked.ask(b"2", wait_s=5.0)
    assert asked.send(0.0) == [b"1", b"2"]
    asked.questions.tick(1.9)
    assert asked.send(1.9) == []
    asked.questions.tick(2.0)
    assert asked.send(2.0) == [b"1"]
    asked.questions.answer(one.number, OK)
    asked.questions.tick(60.0)
    assert asked.send(60.0) == [b"2"]
    asked.questions.answer(two.number, Answer(b"[]"))
    assert asked.answers == [(b"1", b"{}"), (b"2", b"[]")]
    assert (one.tries, two.tries) == (2, 2)


def test_a_second_answer_is_none():
    asked = Asked()
    one = asked.ask(b"1")
    asked.send(0.0)
    for _ in range(2):
        asked.questions.answer(one.number, OK)
    asked.questions.answer(99, OK)
    assert len(asked.answers) == 1


def test_what_was_not_sent_is_still_to_be_sent():
    asked = Asked()
    asked.ask(b"1")
    assert asked.questions.take() is asked.questions.take()
    assert asked.questions


def test_after_a_connection_all_without_an_answer_is_asked_again_in_order_and_what_is_only_said_is_not():
    asked = Asked()
    asked.ask(b"1")
    two = asked.ask(b"2")
    asked.send(0.0)
    asked.questions.say("s", b"said")
    asked.ask(b"3")
    asked.questions.answer(two.number, OK)
    asked.questions.again(two, 1000.0)
    asked.questions.disconnected()
    assert asked.send(1.0) == [b"1", b"2", b"3"]


def test_what_is_said_goes_once():
    asked = Asked()
    asked.questions.say("s", b"said")
    assert asked.send(0.0) == [b"said"]
    asked.questions.tick(100.0)
    asked.questions.disconnected()
    assert asked.send(100.0) == []


def test_a_question_may_be_asked_again_later_or_never():
    asked = Asked()
    one, two = asked.ask(b"1"), asked.ask(b"2")
    asked.send(0.0)
    asked.questions.answer(one.number, OK)
    asked.questions.again(one, 7.0)
    asked.questions.drop(two)
    asked.questions.tick(6.9)
    assert asked.send(6.9) == []
    asked.questions.tick(7.0)
    assert asked.send(7.0) == [b"1"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"", (0, "")),
        (b"NATS/1.0 503\r\n\r\n", (503, "")),
        (b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n", (408, "Request Timeout")),
        (b"NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n", (0, "")),
        (b"\xff\xff 1 2", (0, "")),
        (b"NATS/1.0 " + b"9" * 5000, (0, "")),
    ],
)
def test_a_status_of_the_server_is_told_from_an_answer(headers, expected):
    answer = Answer.of(b"x", headers)
    assert (answer.status, answer.reason) == expected
    assert answer.data == b"x"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(b'{"seq": 1}'), ({"seq": 1}, 0, "")),
        (Answer(b"", 503), ({}, -1, "the server has no JetStream")),
        (Answer(b"", 409, "Consumer Deleted"), ({}, -1, "409 Consumer Deleted")),
        (Answer(b"["), ({}, -1, "an answer that is none of JetStream")),
        (Answer(b"[]"), ({}, -1, "an answer that is none of JetStream")),
        (Answer(b"\xff"), ({}, -1, "an answer that is none of JetStream")),
        (Answer(b"[" * 100_000), ({}, -1, "an answer that is none of JetStream")),
        (
            Answer(b'{"error": {"code": 404, "err_code": 10059, "description": "stream not\\nfound"}}'),
            (
                {"error": {"code": 404, "err_code": 10059, "description": "stream not\nfound"}},
                10059,
                "stream not found",
            ),
        ),
        (Answer(b'{"error": {}}'), ({"error": {}}, -1, "an error")),
        (Answer(b'{"error": {"err_code": true}}'), ({"error": {"err_code": True}}, True, "an error")),
    ],
)
def test_an_answer_of_the_api_is_a_result_or_an_error(answer, expected):
    assert jetstream.result_of(answer) == expected


def test_names_of_streams_have_no_dots_and_are_those_of_one_name_alone():
    names = [JetStream(Subjects(*one)).stream for one in (("a", "b"), ("a.b", "c"), ("a", "b.c"), ("a", "d"))]
    assert names == ["a+b+d", "a+b+c+d", "a+b%2Ec+d", "a+d+d"]
    assert len(set(names)) == len(names)
    assert not set(".*> /\\") & set("".join(names))


def test_what_is_made_keeps_all_work_until_it_is_acknowledged():
    names = JetStream(Subjects("geventrelay", "work"))
    subject, body = names.create_stream(3)
    config = json.loads(body)
    assert subject == "$JS.API.STREAM.CREATE.geventrelay+work+d"
    assert (config["retention"], config["storage"], config["num_replicas"]) == ("workqueue", "file", 3)
    assert (config["max_msgs"], config["max_bytes"], config["max_age"], config["discard"]) == (-1, -1, 0, "old")
    assert names.why_no_stream(config) == ""
    _, body = names.create_consumer()
    config = json.loads(body)["config"]
    assert (config["ack_policy"], config["max_deliver"], config["ack_wait"]) == ("explicit", -1, 30_000_000_000)
    assert names.why_no_consumer(config) == ""
    assert jetstream.ack_wait_s(config) == 30.0
    assert "deliver_subject" not in config


@pytest.mark.parametrize("config", [{"deliver_subject": "x"}, {"ack_policy": "none"}, {"max_deliver": 1}])
def test_a_consumer_that_loses_work_is_no_use(config):
    names = JetStream(Subjects("geventrelay", "work"))
    assert names.why_no_consumer({"ack_policy": "explicit", **config})


@pytest.mark.parametrize("odd", [None, "x", [], {}, 1.5, 10**400])
def test_numbers_of_a_stream_that_are_none_are_no_limits(odd):
    names = JetStream(Subjects("geventrelay", "work"))
    stream = {"retention": "workqueue", "subjects": [names.subject], "discard": "new", "max_bytes": odd}
    assert names.why_no_stream(stream) == ""
    assert (
        names.why_no_stream({**stream, "subjects": odd})
        == f"stream {names.stream} does not have the subject {names.subject}"
    )
    assert names.why_no_consumer({"ack_policy": "explicit", "max_deliver": odd}) == ""
    assert (jetstream.replicas({"num_replicas": odd}), jetstream.ack_wait_s({"ack_wait": odd})) == (1, 30.0)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("$JS.ACK.s.c.3.10.11.1795958742417424092.0", 3),
        ("$JS.ACK.domain.hash.s.c.4.10.11.1795958742417424092.0", 4),
        ("$JS.ACK.domain.hash.s.c.5.10.11.1795958742417424092.0.random", 5),
        ("$JS.ACK.s.c.x.10.11.1.0", 0),
        ("$JS.ACK.s.c.\N{SUPERSCRIPT TWO}.10.11.1.0", 0),
        ("", 0),
        ("a.b.c.d.5.6.7.8.9", 0),
    ],
)
def test_how_often_a_message_was_delivered_stands_in_the_subject_of_its_acknowledgement(reply, expected):
    assert jetstream.deliveries(reply) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("$JS.ACK.geventrelay+work+d.geventrelay.3.10.11.1795958742417424092.0", True),
        ("$JS.ACK.domain.hash.geventrelay+work+d.geventrelay.4.10.11.1795958742417424092.0", True),
        ("$JS.ACK._.hash.geventrelay+work+d.geventrelay.5.10.11.1795958742417424092.0.random", True),
        ("_GR_.aBcDeF.gHiJkL.$JS.ACK.geventrelay+work+d.geventrelay.3.10.11.1795958742417424092.0", True),
        ("$JS.ACK.geventrelay+other+d.geventrelay.3.10.11.1795958742417424092.0", False),
        ("$JS.ACK.geventrelay+work+d.other.3.10.11.1795958742417424092.0", False),
        ("$JS.ACK.geventrelay+work+d.geventrelay", False),
        ("$JS.API.STREAM.DELETE.geventrelay+work+d", False),
        ("_GR_", False),
        ("", False),
    ],
)
def test_what_a_stream_has_delivered_is_acknowledged_at_a_subject_of_its_own(reply, expected):
    assert JetStream(Subjects("geventrelay", "work")).has_delivered(reply) is expected


def message(size: int) -> bytes:
    return bytes([2]) + size.to_bytes(8, "big") + b"x" * size


@pytest.mark.parametrize("sizes", [[10] * 64, [10] * 1000, [PACK_BYTES], [20_000] * 10, [40_000, 1, 1, 40_000, 1]])
def test_packs_are_bounded_and_together_are_all_messages_in_order(sizes):
    messages = list(map(message, sizes))
    made = list(packs(b"".join(messages), len(messages), PACK_BYTES))
    assert b"".join(data for data, _ in made) == b"".join(messages)
    assert sum(count for _, count in made) == len(messages)
    for data, count in made:
        assert count <= PACK_MESSAGES
        assert count == 1 or len(data) <= PACK_BYTES


HOLDS = Answer(json.dumps({"config": {}, "state": {"messages": 3, "bytes": 90}}).encode())


def test_what_a_stream_holds_is_asked_no_more_often_than_every_few_seconds():
    questions = Questions()
    holding, asked = Holding("s", questions), []

    def at(now: float, answer: Answer | None = None) -> None:
        holding.tick(now)
        questions.tick(now)
        while (question := questions.take()) is not None:
            questions.sent(question, now)
            asked.append(now)
            if answer is not None:
                questions.answer(question.number, answer)

    for tenth in range(300):
        if tenth == 10:
            holding.open(1.0)
            holding.hear({"state": {"messages": 1, "bytes": 30}})
        # What is asked at 6 has its answer, and what is asked at 11 has none.
        at(tenth / 10, HOLDS if tenth < 110 else None)
        if tenth == 59:
            assert (holding.packs, holding.nbytes) == (1, 30)
        if tenth == 159:
            assert (holding.packs, holding.nbytes) == (3, 90)
    # What was said is old by now.
    assert (holding.packs, holding.nbytes) == (None, None)
    assert asked == [1 + ASK_S * number for number in range(1, 6)]
    holding.open(30.0)
    at(30.5)
    assert len(asked) == 5
    holding.close()
    assert (holding.packs, holding.nbytes) == (None, None)
    at(99.0)
    assert len(asked) == 5


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"", 503, "No Responders"), Answer(b"no JSON"), Answer(b"{}"), Answer(b'{"state": 7}'),
        Answer(HOLDS.data + b" " * MOST_ANSWER_BYTES),
        Answer(b'{"state": {"messages": -1, "bytes": true}}'), Answer(b'{"error": {"err_code": 10059}}'),
    ],
)  # fmt: skip
def test_what_nats_does_not_say_of_a_stream_is_unknown(answer):
    questions = Questions()
    holding = Holding("s", questions)
    holding.open(0.0)
    holding.hear({"state": {"messages": 1, "bytes": 30}})
    holding.tick(ASK_S)
    questions.answer(0, answer)
    assert (holding.packs, holding.nbytes) == (None, None)
    holding.tick(2 * ASK_S)
    assert questions.take().number == 1
