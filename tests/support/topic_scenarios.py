"""Random scenarios of devices with subscribers: forwarders and relays."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import gevent
import zmq

from geventrelay.testing import Peer, within

from .stage import Parts, Stage, is_mark, taken

TOPICS = [b"", b"a", b"ab", b"abc", b"b", b"c" * 20, b"\0", b"\1x"]
# The last one only in messages: a SUB of libzmq that takes it back subscribes to "x" instead, and cancels all the same.


def forwarder(stage: Stage, steps: int) -> None:
    """Subscribers come, go, subscribe and cancel; each gets what it wants, and publishers see the union of it."""
    choose = stage.choose
    publishers, subscribers = [stage.come(zmq.XPUB, "frontend")], [stage.come(zmq.SUB, "backend")]
    marks = {subscribers[0]: subscribe_mark(stage, subscribers[0], publishers)}
    for _ in range(steps):
        step = choose.choice(
            ["send"] * 3 + ["change"] * 3 + ["up", "subscriber", "gone", "publisher", "publisher gone"]
        )
        some = choose.choice(subscribers)
        if step == "change":
            _change(choose, some)
            marks[some] = subscribe_mark(stage, some, publishers)
        elif step == "up" and some.type == zmq.XSUB:
            # What looks like a subscription within a message is one to libzmq.
            some.send(*choose.choice([[b"\2up"], [b"up", b"", b"x" * 300], [b""], [b"", b""]]))
            marks[some] = subscribe_mark(stage, some, publishers)
        elif step == "subscriber" and len(subscribers) < 4:
            subscribers.append(stage.come(choose.choice([zmq.SUB, zmq.XSUB]), "backend"))
            marks[subscribers[-1]] = subscribe_mark(stage, subscribers[-1], publishers)
        elif step == "gone" and len(subscribers) > 1:
            subscribers.remove(some)
            last = marks.pop(some)
            stage.leave(some, "backend")
            # One of what it wanted, in whatever order it is taken back, and then the rest of it.
            for one in publishers:
                stage.asked(one, _until(one, b"\0" + last))
            marks[subscribers[0]] = subscribe_mark(stage, subscribers[0], publishers)
        elif step == "publisher" and len(publishers) < 3:
            publishers.append(stage.come(choose.choice([zmq.XPUB, zmq.PUB]), "frontend"))
            # All that is wanted comes before a new mark.
            marks[some] = subscribe_mark(stage, some, publishers)
        elif step == "publisher gone" and len(publishers) > 1:
            stage.leave(publishers.pop(), "frontend")
        elif step == "send":
            publisher = choose.choice(publishers)
            for parts in stage.messages():
                publisher.send(choose.choice(TOPICS) + parts[0], *parts[1:])
            stage.seen += [received(stage, publisher, one, marks[one]) for one in subscribers]


def _change(choose: random.Random, subscriber: Peer) -> None:
    """Subscribe to something, or take something back."""
    for _ in range(choose.choice([1, 1, 2, 5])):
        topic, wanted = choose.choice(TOPICS[:-1]), choose.random() < 0.6
        if subscriber.type == zmq.XSUB:
            subscriber.send(bytes([wanted]) + topic)
        else:
            subscriber.socket.set(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, topic)


def subscribe_mark(
    stage: Stage, subscriber: Peer, publishers: Sequence[Peer], senders: Sequence[Peer] | None = None
) -> bytes:
    """Have `subscriber` want a new mark, until each of `publishers` has read of it and what each sends comes."""
    mark = stage.mark()
    subscriber.subscribe(mark)
    stage.seen += [stage.asked(one, _until(one, b"\1" + mark)) for one in publishers]
    for publisher in publishers if senders is None else senders:
        # The second one shows that all of the first have passed.
        came = received(stage, publisher, subscriber, mark) + received(stage, publisher, subscriber, mark, again_s=5)
        assert came == [], f"expected nothing but marks, got {came}"
    return mark


def _until(publisher: Peer, frame: bytes) -> Iterator[Parts]:
    """What an XPUB reads up to the `frame` of a mark; a PUB reads nothing."""
    while publisher.type == zmq.XPUB:
        parts = publisher.recv()
        if parts == [frame]:
            return
        if not is_mark(parts):
            yield parts


def received(
    stage: Stage, publisher: Peer, subscriber: Peer, mark: bytes, *, again_s: float = 0.02
) -> list[Parts]:  # fmt: skip
    """What `subscriber` has got before a `mark` of `publisher`, which is sent again after `again_s` seconds."""
    got: list[Parts] = []
    with within(f"a mark of {publisher} at {subscriber}"):
        end = mark + b"!" + stage.mark()
        publisher.socket.send(end)
        while not gevent.with_timeout(again_s, _read_to, subscriber, end, got, timeout_value=False):
            publisher.socket.send(end)
    return [parts for parts in got if not is_mark(parts)]


def _read_to(subscriber: Peer, end: bytes, got: list[Parts]) -> bool:
    while (parts := subscriber.socket.recv_multipart()) != [end]:
        got.append(parts)
    return True


def relay(stage: Stage, steps: int) -> None:
    """Subscribers get messages, pullers payloads in turn, and what none takes is counted."""
    choose = stage.choose
    publishers, subscribers, pullers = [stage.come(zmq.XPUB, "sub")], [stage.come(zmq.SUB, "pub")], []
    stage.seen.append(sorted(publishers[0].recv_all(len(stage.device.settings.subscribe))))
    marks = {subscribers[0]: subscribe_mark(stage, subscribers[0], [], publishers)}
    for _ in range(steps):
        step = choose.choice(
            ["send"] * 4 + ["change"] * 2 + ["subscriber", "gone", "publisher", "puller", "puller gone"]
        )
        some = choose.choice(subscribers)
        if step == "change":
            _change(choose, some)
            marks[some] = subscribe_mark(stage, some, [], publishers)
        elif step == "subscriber" and len(subscribers) < 3:
            some = stage.come(choose.choice([zmq.SUB, zmq.XSUB]), "pub")
            subscribers.append(some)
            marks[some] = subscribe_mark(stage, some, [], publishers)
        elif step == "gone" and len(subscribers) > 1:
            subscribers.remove(some)
            stage.leave(some, "pub")
        elif step == "publisher" and len(publishers) < 3:
            publishers.append(stage.come(choose.choice([zmq.XPUB, zmq.PUB]), "sub"))
            for some in subscribers:
                marks[some] = subscribe_mark(stage, some, [], publishers)
        elif step == "puller" and len(pullers) < 3:
            pullers.append(stage.come(zmq.PULL, "push"))
        elif step == "puller gone" and pullers:
            stage.leave(pullers.pop(choose.randrange(len(pullers))), "push")
        elif step == "send":
            _publish(stage, choose.choice(publishers), subscribers, marks, pullers)


def _publish(
    stage: Stage, publisher: Peer, subscribers: Sequence[Peer], marks: dict[Peer, bytes], pullers: Sequence[Peer]
) -> None:
    for puller in pullers:
        puller.recv_now()
    before = stage.snapshot("sub")
    for parts in stage.messages():
        publisher.send(stage.choose.choice(TOPICS) + parts[0], *parts[1:])
    stage.seen += [received(stage, publisher, one, marks[one], again_s=5) for one in subscribers]
    after = stage.snapshot("sub")
    for one, other in zip(before.outlets, after.outlets, strict=True):
        dropped = {reason: count - one.dropped.get(reason, 0) for reason, count in other.dropped.items()}
        stage.seen.append((other.sent - one.sent, other.sent_parts - one.sent_parts, dropped, other.uncut - one.uncut))
    count = after.outlets[-1].sent - before.outlets[-1].sent
    got = taken(pullers, count) if pullers else []
    # Engines differ in how soon a new puller has its first turn.
    stage.seen.append(sorted(parts for some in got for parts in some if not is_mark(parts)))
