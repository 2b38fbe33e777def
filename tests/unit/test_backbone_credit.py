"""The credit of a backbone, held to a model: devices with work and with workers, which join, leave and are killed.

The network keeps the order of each sender, and loses words and packs.
"""

from __future__ import annotations

from collections import deque

from geventrelay.backbone.credit import Credit
from geventrelay.backbone.pack import HEAD_BYTES, head_of
from geventrelay.backbone.words import decoded, encoded
from geventrelay.engine.gate import Gate

ALL = "all"
IDLE_S = 0.01
WANTS = 256
TICK_S = 0.25


class Net:
    """What is sent waits for each receiver, in the order of its sender, until it is carried.

    :ivar lossy: relays to which nothing gets.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.relays: dict[bytes, Relay] = {}
        self.waiting: dict[tuple[bytes, bytes], deque[bytes]] = {}
        self.lossy: set[bytes] = set()

    def send(self, sender: bytes, to: bytes | None, data: bytes) -> None:
        for name in self.relays if to is None else [to]:
            if name != sender and name not in self.lossy and name in self.relays:
                self.waiting.setdefault((sender, name), deque()).append(data)

    def carry(self, pick: int = 0) -> bool:
        """Carry the next of one sender to one receiver; whether there was something."""
        pairs = [pair for pair, waiting in sorted(self.waiting.items()) if waiting]
        if not pairs:
            return False
        pair = pairs[pick % len(pairs)]
        data = self.waiting[pair].popleft()
        if pair[1] in self.relays:
            self.relays[pair[1]].receive(data)
        return True

    def step(self) -> bool:
        """Whether something has moved anywhere."""
        moved = False
        for relay in list(self.relays.values()):
            moved |= relay.move()
        return self.carry() or moved

    def settle(self, seconds: float = 5.0) -> None:
        """Let time go by until nothing moves."""
        for _ in range(int(seconds / TICK_S)):
            while self.step():
                pass
            for relay in list(self.relays.values()):
                due = relay.credit.due
                if due is not None:
                    self.now = max(self.now, due)
                    relay.say(relay.credit.tick(self.now))
            while self.step():
                pass
            self.now += TICK_S
            for relay in list(self.relays.values()):
                relay.say(relay.credit.tick(self.now))


class Relay:
    """One device, and its backbone: what moves messages, without waiting.

    :ivar queue: messages before the device.
    :ivar out: messages that have left it for others by a permit, and were not read.
    :ivar packs: messages that are to be sent, by the device that gets them.
    :ivar work_in: messages that come into the device from its backbone.
    :ivar places: how many messages its workers would take.
    :ivar done: those that they took.
    """

    def __init__(self, net: Net, name: bytes) -> None:
        self.net, self.name = net, name
        self.gate = Gate()
        self.credit = Credit(name, self.gate, IDLE_S)
        self.queue: deque[bytes] = deque()
        self.out: deque[bytes] = deque()
        self.packs: list[tuple[bytes, list[bytes]]] = []
        self.work_in: deque[bytes] = deque()
        self.places = 0
        self.done: list[bytes] = []
        self.number = 0
        self.is_connected = True
        others = list(net.relays.values())
        net.relays[name] = self
        for other in others:
            self.join(other)
            other.join(self)

    def join(self, other: Relay) -> None:
        self.say(self.credit.joined(other.name))

    def leave(self, other: Relay) -> None:
        """The other one is taken for gone."""
        self.credit.left(other.name)
        lost = [messages for relay, messages in self.packs if relay == other.name]
        self.packs = [(relay, messages) for relay, messages in self.packs if relay != other.name]
        for messages in lost:
            self.spread(messages, self.credit.spending.reassign(len(messages)))

    def work(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.queue.append(b"%s %d" % (self.name[:1].hex().encode(), self.number))

    def say(self, said) -> None:
        for one in said:
            if self.is_connected:
                self.net.send(self.name, one.to, encoded(one.word))

    def spread(self, messages: list[bytes], runs) -> None:
        for relay, count in runs:
            run, messages = messages[:count], messages[count:]
            if relay is None:
                self.work_in.extend(run)
                self.credit.granting.handing(count)
            else:
                self.packs.append((relay, run))
        assert not messages

    def move(self) -> bool:
        """What device and backbone do by themselves; whether there was something."""
        moved = False
        for source in (self.work_in, self.queue):
            while source and self.places:
                self.done.append(source.popleft())
                self.places -= 1
                moved = True
                if source is self.work_in:
                    self.credit.granting.handed(1)
            while source and self.gate.permits > 0:
                self.out.append(source.popleft())
                self.gate.permits -= 1
                moved = True
                if source is self.work_in:
                    self.credit.granting.handed(1)
        waits = bool(self.work_in or self.queue)
        if waits != self.credit.spending.is_hungry:
            self.say(self.credit.spending.hunger(WANTS if waits else 0, self.net.now))
        return moved | self.read() | self.publish() | self.offer()

    def read(self) -> bool:
        messages = list(self.out)
        self.out.clear()
        if messages:
            self.spread(messages, self.credit.spending.read(len(messages)))
        return bool(messages)

    def publish(self) -> bool:
        if not self.packs or not self.is_connected:
            return False
        relay, messages = self.packs.pop(0)
        head = self.credit.spending.head(relay, len(messages))
        self.net.send(self.name, relay, head.encoded() + b",".join(messages))
        return True

    def offer(self) -> bool:
        granting = self.credit.granting
        said = self.credit.offer(self.places, self.net.now)
        if said:
            sure = sum(one.promised for one in granting._present.values() if not one.is_doubtful)
            assert sure + granting.in_hand <= self.places
        self.say(said)
        return bool(said)

    def receive(self, data: bytes) -> None:
        if data[:1] == b"{":
            self.say(self.credit.hear(decoded(data), self.net.now))
            return
        head = head_of(data)
        messages = data[HEAD_BYTES:].split(b",")
        assert len(messages) == head.count
        if self.credit.granting.take(head):
            self.work_in.extend(messages)

    def held(self) -> int:
        """Messages that are here, and were taken by no worker."""
        return len(self.queue) + len(self.out) + len(self.work_in) + sum(len(messages) for _, messages in self.packs)

    def check(self) -> None:
        assert self.credit.granting.in_hand == len(self.work_in)
        assert self.credit.spending.credit == self.gate.permits + len(self.out)


def relays(net: Net, count: int) -> list[Relay]:
    return [Relay(net, bytes([number + 1] * 8)) for number in range(count)]


def test_work_goes_to_the_one_that_has_workers():
    net = Net()
    one, other = relays(net, 2)
    one.work(1000)
    other.places = 700
    net.settle()
    assert len(other.done) == 700 and not one.done and len(one.queue) == 300
    other.places = 1000
    net.settle()
    assert len(other.done) == 1000 and not one.held()
    assert one.credit.spending.credit == other.credit.granting.promised == 0


def test_a_device_takes_no_work_of_others_while_its_own_waits():
    net = Net()
    one, other = relays(net, 2)
    for relay in (one, other):
        relay.work(10)
        net.settle(0.25)
    other.places = 10
    net.settle()
    assert len(other.done) == 10 and len(one.queue) == 10 and not other.queue
    other.places = 10
    net.settle()
    assert len(other.done) == 20 and not one.queue
