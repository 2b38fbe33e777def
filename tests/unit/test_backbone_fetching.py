"""What becomes of packs that were stored, as they come: asked for or not, again, and from strangers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from geventrelay.backbone.nats.loop import run
from geventrelay.backbone.pack import STORED, PackHead
from geventrelay.backbone.store import jetstream
from geventrelay.backbone.store.fetching import ENOUGH_BYTES, Fetching
from geventrelay.backbone.store.jetstream import ACK, NAK, JetStream
from geventrelay.backbone.store.questions import Answer, Question, Questions
from geventrelay.backbone.subjects import Subjects

NAMES = JetStream(Subjects("geventrelay", "work"))


class Fetched:
    """A device with `room` for so many messages, which fetches."""

    def __init__(self, room: int = 0) -> None:
        self.questions, self.missed = Questions(), 0
        gate = SimpleNamespace(permits=0)
        work: Any = SimpleNamespace(gate=gate, is_hungry=False, taken=0, room=lambda: room, when_room=lambda call: None)
        storing: Any = SimpleNamespace(left=0, safe=0)
        self.fetching = Fetching("d", work, NAMES, self.questions, storing, lambda: None, self.miss)
        self.fetching.open(30.0)

    def miss(self) -> None:
        self.missed += 1

    def send(self, now: float = 0.0) -> list[Question]:
        """Send all there is to send."""
        sent = []
        while (question := self.questions.take()) is not None:
            self.questions.sent(question, now)
            sent.append(question)
        return sent

    def said(self, word: bytes) -> list[str]:
        return [one.subject for one in self.send() if one.data == word]

    def come(self, number: int, size: int = 10, delivery: int = 1) -> str:
        """A pack of one message comes from the stream; where it is acknowledged."""
        reply = f"$JS.ACK.{NAMES.stream}.{jetstream.CONSUMER}.{delivery}.{number}.{number}.1.0"
        self.fetching.came(reply, pack(number, size))
        return reply


def pack(number: int, size: int = 10) -> bytes:
    message = b"\2" + size.to_bytes(8, "big") + b"x" * size
    return PackHead(b"r" * 8, STORED, number, 0, 1).encoded() + message


def in_loop(check: Callable[[], None]) -> None:
    async def main() -> None:
        check()
        await asyncio.sleep(0)

    run(main())


def test_what_was_not_asked_for_is_given_back_once_many_packs_are_in_hand():
    def check() -> None:
        fetched = Fetched()
        replies = [fetched.come(number) for number in range(100)]
        assert fetched.fetching.incoming == 64
        assert fetched.said(NAK) == replies[64:]

    in_loop(check)


def test_what_was_not_asked_for_is_given_back_once_many_bytes_are_in_hand():
    def check() -> None:
        fetched = Fetched()
        replies = [fetched.come(number, 400_000) for number in range(10)]
        assert fetched.fetching.incoming_bytes < ENOUGH_BYTES + 400_100
        assert fetched.said(NAK) == replies[3:]

    in_loop(check)


def test_what_was_asked_for_is_kept_however_many_packs_are_in_hand():
    def check() -> None:
        fetched = Fetched(room=200)
        for number in range(200):
            assert [one.subject for one in fetched.send()] == [NAMES.pulling]
            fetched.come(number)
        assert fetched.fetching.incoming == 200 and not fetched.send()

    in_loop(check)


def test_what_comes_again_while_it_is_in_hand_is_not_given_back():
    def check() -> None:
        fetched = Fetched()
        for number in range(64):
            fetched.come(number)
        again = fetched.come(5, delivery=2)
        assert not fetched.said(NAK)
        assert fetched.fetching._hands[5].reply == again

    in_loop(check)


def test_what_comes_again_and_was_handed_on_is_acknowledged_and_not_given_back():
    def check() -> None:
        fetched = Fetched()
        fetched.fetching._known[b"r" * 8, 1000] = 1
        for number in range(64):
            fetched.come(number)
        again = fetched.come(1000, delivery=2)
        assert [(one.subject, one.data) for one in fetched.send()] == [(again, ACK)]

    in_loop(check)


def test_nothing_is_said_to_a_subject_that_is_none_of_the_streams_acknowledgements():
    def check() -> None:
        fetched = Fetched(room=1)
        (pull,) = fetched.send()
        for reply in ("orders.cancel", "$JS.API.STREAM.DELETE.orders", "$JS.ACK.orders.geventrelay.1.1.1.1.0", ""):
            for data in (pack(1), b"no pack"):
                fetched.fetching.came(reply, data)
        assert not fetched.send()
        assert (fetched.fetching.malformed, fetched.fetching.incoming) == (8, 0)
        # The one that was asked for is still to come.
        assert fetched.questions._open == {pull.number: pull}
        fetched.come(2)
        assert fetched.fetching.incoming == 1 and not fetched.questions._open

    in_loop(check)


def test_an_answer_of_another_program_ends_no_question_for_work():
    def check() -> None:
        fetched = Fetched(room=2)
        number = fetched.questions.take().number
        fetched.questions.answer(number, Answer(pack(1)))
        (pull,) = fetched.send(now := time.monotonic())
        assert (pull.subject, pull.number) == (NAMES.pulling, number)
        fetched.questions.answer(number, Answer(pack(1)))
        assert (
            not fetched.send() and fetched.questions._open == {number: pull} and pull.due == now + jetstream.PULL_WAIT_S
        )
        assert not fetched.missed
        fetched.questions.answer(number, Answer(b"", 404))
        assert [one.number for one in fetched.send()] == [number + 1]

    in_loop(check)
