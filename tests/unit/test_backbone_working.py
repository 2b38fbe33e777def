"""The work of one device with a backbone, without NATS and without the device: what goes where, and what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.backbone import encoded

from geventrelay.backbone.actions import Action, Say
from geventrelay.backbone.interest import id_of
from geventrelay.backbone.mesh import Mesh
from geventrelay.backbone.pack import HEAD_BYTES, REPLIES, WORK, PackHead, head_of
from geventrelay.backbone.terms import MalformedError
from geventrelay.backbone.values import BackboneDrop
from geventrelay.backbone.whole import split
from geventrelay.backbone.words.mesh import Here, Mark
from geventrelay.backbone.words.work import Grant, Hungry, Spent
from geventrelay.backbone.work import trading as module
from geventrelay.backbone.work.requests import with_way
from geventrelay.backbone.work.working import WorkEnds, Working
from geventrelay.engine.gate import Gate
from geventrelay.settings import Queue, Relay, Streamer

ME, ONE, OTHER = (bytes([number]) * 8 for number in (9, 1, 2))
NAMED = {"name": "tasks", "backbone": "n1"}
SIDES = {"frontend": 1, "backend": 2}


class Work:
    """What a device tells, as the test says."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.on_hungry: Callable[[bool], None] = lambda is_hungry: None
        self.is_hungry = False
        self.taken = self.places = 0
        self.waits_for_room: Callable[[], None] | None = None

    def room(self) -> int:
        return self.places

    def when_room(self, call: Callable[[], None]) -> None:
        self.waits_for_room = call

    def wait(self, is_hungry: bool) -> None:
        self.is_hungry = is_hungry
        self.on_hungry(is_hungry)


class End:
    def __init__(self) -> None:
        self._to_read: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()
        self.written: list[list[bytes]] = []

    def put(self, *messages: list[bytes]) -> None:
        self._to_read.put_nowait((b"".join(map(encoded, messages)), len(messages)))

    async def read(self) -> tuple[bytes, int]:
        return await self._to_read.get()

    async def write(self, data: bytes) -> None:
        self.written += split(data)


class Link:
    """NATS, which takes what is published unless it is away."""

    def __init__(self) -> None:
        self.max_payload = 1000
        self.is_away = False
        self.published: list[tuple[str, bytes]] = []

    async def publish(self, subject: str, data: bytes) -> bool:
        if not self.is_away:
            self.published.append((subject, data))
        return not self.is_away

    def packs(self, relay: bytes, stream: bytes = WORK) -> list[list[bytes]]:
        """The messages that went to a device."""
        found = [data for subject, data in self.published if subject.endswith(f".w.{relay.hex()}")]
        return [parts for data in found if head_of(data).stream == stream for parts in split(data[HEAD_BYTES:])]


class Place:
    """A device with its backbone, among others that the test speaks for."""

    def __init__(self, settings: Any) -> None:
        self.work, self.out, self.into, self.link = Work(), End(), End(), Link()
        self.said: list[Action] = []
        self.mesh = Mesh(ME, "here", lambda stream: Mark(stream, 0, 0))
        self.mesh.connected(0.0)
        ends = WorkEnds(self.out, self.into, self.work)
        self.working = Working(settings, self.mesh, ends, self.said.extend, lambda: None)
        self.working.connected()
        parts = self.working.reading() + self.working.running()
        self.tasks = [asyncio.ensure_future(part) for part in parts]

    def join(self, relay: bytes) -> None:
        self.mesh.hear(Here(relay, "there", id_of(()), ()), 0.0)
        self.working.joined(relay)

    async def granted(self, relay: bytes, up_to: int, turn: int = 1) -> None:
        self.work.wait(True)
        await self.settle()
        self.working.hear(Grant(relay, turn, 0, up_to))
        await self.settle()

    def grant(self, relay: bytes, count: int) -> None:
        """There is room for `count` messages, which another device gets."""
        self.work.places = count
        self.working.hear(Hungry(relay, count, self.working.credit.kind))

    def leave_by_permit(self, *messages: list[bytes]) -> None:
        """As the device does: it gives a permit for each message."""
        assert self.work.gate.permits >= len(messages)
        self.work.gate.permits -= len(messages)
        self.out.put(*messages)

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def send(self) -> None:
        while await self.working.send_one(self.link):
            pass
        await self.settle()

    def words(self, kind: type) -> list[Say]:
        return [one for one in self.said if isinstance(one, Say) and isinstance(one.word, kind)]


def at(settings: Any, test: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        place = Place(settings)
        try:
            await test(place)
        finally:
            for task in place.tasks:
                task.cancel()
            place.working.drop_all()

    asyncio.run(asyncio.wait_for(run(), 10))


def streamer(test: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    at(Streamer(**SIDES, **NAMED), test)


def queue(test: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    at(Queue(**SIDES, **NAMED), test)


def pack(relay: bytes, *messages: list[bytes], stream: bytes = WORK, first: int = 0) -> bytes:
    return PackHead(relay, stream, 0, first, len(messages)).encoded() + b"".join(map(encoded, messages))


def tasks(*numbers: int) -> list[list[bytes]]:
    return [[b"%d" % number] for number in numbers]


def test_work_that_waits_goes_to_the_device_that_has_granted_credit():
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 3)
        assert [one.word.wants for one in place.words(Hungry) if one.to is None] == [module.WANTS]
        assert place.work.gate.permits == 3
        place.leave_by_permit(*tasks(1, 2))
        await place.settle()
        await place.send()
        assert place.link.packs(ONE) == tasks(1, 2)
        values = place.working.values()
        assert (values["work_sent"], values["credit"], values["hungry"]) == (2, 1, True)

    streamer(test)


def test_work_for_a_device_that_has_gone_goes_to_another_one_else_back():
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 2)
        place.leave_by_permit(*tasks(1, 2))
        await place.settle()
        place.join(OTHER)
        await place.granted(OTHER, 1)
        place.working.left(ONE)
        await place.settle()
        await place.send()
        assert place.link.packs(ONE) == []
        assert place.link.packs(OTHER) + place.into.written == tasks(1, 2)
        assert len(place.into.written) == place.working.returned == 1
        assert place.work.gate.permits == 0

    streamer(test)


@pytest.mark.parametrize("is_told", [True, False])
def test_while_nats_is_away_work_goes_back(is_told):
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 5)
        place.leave_by_permit(*tasks(1, 2))
        await place.settle()
        place.link.is_away = True
        if is_told:
            place.working.disconnected()
            # What had left the device by a permit comes later.
            place.out.put(*tasks(3))
            await place.settle()
        await place.send()
        assert place.into.written == tasks(1, 2, 3)[: 3 if is_told else 2]
        assert place.work.gate.permits == 0
        assert (place.working.sent, place.working.waiting, place.link.published) == (0, 0, [])

    streamer(test)


def test_what_is_too_large_for_nats_is_dropped_and_costs_no_credit():
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 3)
        place.leave_by_permit(*tasks(1), [b"x" * 2000], *tasks(2))
        await place.settle()
        await place.send()
        assert place.link.packs(ONE) == tasks(1, 2)
        assert place.working.dropped == {BackboneDrop.TOO_LARGE: 1}
        assert place.work.gate.permits == place.working.values()["credit"] == 1

    streamer(test)


def test_others_are_granted_as_much_as_there_is_room_for_and_more_when_it_was_taken():
    async def test(place: Place) -> None:
        place.join(ONE)
        place.work.places = 4
        place.working.hear(Hungry(ONE, 100))
        assert [(one.to, one.word.up_to) for one in place.words(Grant)] == [(ONE, 4)]
        place.working.on_work(pack(ONE, *tasks(1, 2, 3, 4)))
        await place.settle()
        assert place.into.written == tasks(1, 2, 3, 4)
        assert not place.working.is_drained(connected=True)
        # What is on its way into the device has no room twice.
        assert len(place.words(Grant)) == 1
        place.work.taken = 4
        while len(place.words(Grant)) == 1:
            await asyncio.sleep(0.001)
        assert place.words(Grant)[-1].word.up_to == 8

    streamer(test)


def test_without_room_nothing_is_granted_before_the_device_tells_of_some():
    async def test(place: Place) -> None:
        place.join(ONE)
        place.working.hear(Hungry(ONE, 100))
        place.working.hear(Hungry(ONE, 100))
        assert place.words(Grant) == []
        assert place.work.waits_for_room is not None
        place.work.places = 2
        place.work.waits_for_room()
        await place.settle()
        assert place.words(Grant)[0].word.up_to == 2

    streamer(test)


def test_who_has_work_that_waits_grants_nothing():
    async def test(place: Place) -> None:
        place.join(ONE)
        place.work.places = 4
        place.work.wait(True)
        await place.settle()
        place.working.hear(Hungry(ONE, 100))
        assert place.words(Grant) == []
        place.work.wait(False)
        await place.settle()
        assert len(place.words(Grant)) == 1

    streamer(test)


def test_credit_that_is_not_used_is_given_back():
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 5)
        place.leave_by_permit(*tasks(1))
        await place.settle()
        await place.send()
        place.work.wait(False)
        while not place.words(Spent):
            await asyncio.sleep(0.001)
        (spent,) = place.words(Spent)
        assert (spent.to, spent.word.sent, spent.word.up_to) == (ONE, 1, 1)
        assert place.work.gate.permits == 0
        assert place.words(Hungry)[-1].word.wants == 0

    streamer(test)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack(ONE, *tasks(1)) + b"\0",
        PackHead(ONE, WORK, 0, 0, 2).encoded() + encoded([b"1"]),
        pack(ONE, *tasks(1), stream=b"s" * 16),
        pack(ONE, *tasks(1), stream=REPLIES),
    ],
)
def test_what_is_no_pack_of_work_is_refused(data):
    async def test(place: Place) -> None:
        place.join(ONE)
        place.grant(ONE, 4)
        with pytest.raises(MalformedError):
            try:
                place.working.on_work(data)
            except ValueError as error:
                raise MalformedError(str(error)) from None
        await place.settle()
        assert place.into.written == []

    streamer(test)


@pytest.mark.parametrize(
    "data",
    [
        pack(OTHER, *tasks(1)),
        pack(b"stranger", *tasks(1)),
        pack(ONE, *tasks(1, 2, 3)),
        pack(ONE, *tasks(1), first=2),
        pack(ONE, *tasks(1), first=2**63 - 1),
        pack(b"stranger", [b"client", b"", b"reply"], stream=REPLIES),
    ],
)
def test_what_was_not_asked_for_is_refused(data):
    async def test(place: Place) -> None:
        place.join(ONE)
        place.join(OTHER)
        place.grant(ONE, 2)
        with pytest.raises(MalformedError):
            place.working.on_work(data)
        await place.settle()
        assert place.into.written == place.out.written == []
        assert place.working.lost == place.working.received == 0
        place.working.on_work(pack(ONE, *tasks(1, 2)))
        await place.settle()
        assert len(place.into.written) == 2

    queue(test)


def test_work_that_comes_after_its_credit_was_taken_back_is_taken():
    async def test(place: Place) -> None:
        place.join(ONE)
        place.grant(ONE, 2)
        place.working.finish()
        place.working.left(ONE)
        place.working.on_work(pack(ONE, *tasks(1, 2)))
        await place.settle()
        assert place.into.written == tasks(1, 2)

    streamer(test)


def test_missing_work_counts_as_lost():
    async def test(place: Place) -> None:
        place.join(ONE)
        place.grant(ONE, 4)
        place.working.on_work(pack(ONE, *tasks(1), first=3))
        assert (place.working.lost, place.working.received) == (3, 1)
        place.working.on_work(pack(ONE, *tasks(1), first=3))
        assert place.working.received == 1

    streamer(test)


def test_requests_go_in_with_the_way_back_and_replies_go_back_without_it():
    async def test(place: Place) -> None:
        place.join(ONE)
        place.grant(ONE, 1)
        place.working.on_work(pack(ONE, [b"client", b"", b"request"]))
        await place.settle()
        (request,) = place.into.written
        assert encoded(request) == with_way(ONE, encoded([b"client", b"", b"request"]))
        place.into.put([*request[:-1], b"reply"])
        await place.settle()
        await place.send()
        assert place.link.packs(ONE, REPLIES) == [[b"client", b"", b"reply"]]
        assert place.working.values()["replies_sent"] == 1

    queue(test)


def test_replies_of_others_go_to_the_clients_and_requests_of_those_that_leave_are_counted():
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 3)
        place.leave_by_permit(*([b"client", b"", b"%d" % number] for number in range(3)))
        await place.settle()
        await place.send()
        place.working.on_work(pack(ONE, [b"client", b"", b"re 0"], stream=REPLIES))
        await place.settle()
        assert place.out.written == [[b"client", b"", b"re 0"]]
        place.working.left(ONE)
        values = place.working.values()
        assert (values["work_sent"], values["replies_received"], values["unanswered"]) == (3, 1, 2)

    queue(test)


def test_replies_come_once_each_also_after_forged_ones_with_high_numbers():
    async def test(place: Place) -> None:
        place.join(ONE)
        for first, reply in ((0, b"one"), (2**62, b"forged"), (1, b"two"), (1, b"two"), (0, b"one"), (2, b"three")):
            message = encoded([b"client", b"", reply])
            place.working.on_work(PackHead(ONE, REPLIES, 0, first, 1).encoded() + message)
        await place.settle()
        assert [parts[-1] for parts in place.out.written] == [b"one", b"forged", b"two", b"three"]

    queue(test)


def test_a_request_that_comes_back_is_answered_through_the_own_device():
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 1)
        place.leave_by_permit([b"client", b"", b"request"])
        await place.settle()
        place.working.left(ONE)
        await place.settle()
        (request,) = place.into.written
        place.into.put([*request[:-1], b"reply"])
        await place.settle()
        assert place.out.written == [[b"client", b"", b"reply"]]

    queue(test)


def test_replies_for_devices_that_have_gone_are_dropped_and_others_wait_until_theirs_is_back():
    async def test(place: Place) -> None:
        place.join(ONE)
        place.join(OTHER)
        for relay in (ONE, OTHER, b"unknown."):
            place.into.put(next(split(with_way(relay, encoded([b"client", b"", b"reply"])))))
        place.into.put([b"no way", b"", b"reply"])
        await place.settle()
        assert place.working.dropped == {BackboneDrop.LEFT: 2}
        place.link.is_away = True
        await place.send()
        assert place.working.waiting == 2
        place.working.left(OTHER)
        place.link.is_away = False
        # The connection is new, and it is not known whether the other one is there too.
        place.mesh.connected(1.0)
        await place.send()
        assert (place.working.waiting, place.working.dropped) == (1, {BackboneDrop.LEFT: 3})
        place.mesh.hear(Here(ONE, "there", id_of(()), ()), 1.0)
        await place.send()
        assert place.link.packs(ONE, REPLIES) == [[b"client", b"", b"reply"]]

    queue(test)


def test_a_relay_that_drops_payloads_wants_credit_for_a_while_after_each(monkeypatch):
    async def test(place: Place) -> None:
        place.join(ONE)
        monkeypatch.setattr(module, "_DROPPED_S", 3600)
        place.work.on_hungry(True)
        await place.settle()
        assert place.working.values()["hungry"]
        # The time runs from the last one on.
        monkeypatch.setattr(module, "_DROPPED_S", 0.02)
        began = time.monotonic()
        place.work.on_hungry(True)
        while place.working.values()["hungry"]:
            await asyncio.sleep(0.001)
        assert time.monotonic() - began >= 0.019

    at(Relay(sub=1, push=2, **NAMED), test)


def test_what_waits_when_the_device_stops_is_counted():
    async def test(place: Place) -> None:
        place.join(ONE)
        await place.granted(ONE, 5)
        place.leave_by_permit(*tasks(1, 2))
        await place.settle()
        place.working.drop_all()
        assert place.working.dropped == {BackboneDrop.STOPPED: 2}
        assert place.work.gate.permits == 0
        place.work.wait(True)
        place.work.places = 9
        place.working.hear(Hungry(ONE, 5))
        assert place.words(Grant) == []

    streamer(test)
