"""The backbone's ends of a device's private sockets, against sockets of libzmq and of engine zmtp alike."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import zmq

from geventrelay.backbone.ends import NewsReader, Pusher, Subscriber
from geventrelay.backbone.whole import count, split
from geventrelay.zmtp import frames

LIMIT_S = 30


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


def run(job):
    return asyncio.run(asyncio.wait_for(job, LIMIT_S))


@contextlib.asynccontextmanager
async def opened(kind, path):
    end = await kind.open(path)
    try:
        yield end
    finally:
        end.close()
        # asyncio closes it in its next round.
        await asyncio.sleep(0)


def bound(context, kind, path, **options):
    socket = context.socket(kind)
    socket.linger = 0
    for name, value in options.items():
        setattr(socket, name, value)
    socket.bind(f"ipc://{path}")
    return socket


async def receive(socket):
    """What comes at a `socket` of libzmq, without a thread."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(socket.fd, came.set)
    try:
        while not socket.events & zmq.POLLIN:
            came.clear()
            if socket.events & zmq.POLLIN:
                break
            await came.wait()
        return socket.recv_multipart(zmq.DONTWAIT)
    finally:
        loop.remove_reader(socket.fd)


async def read(end, number):
    """So many messages of an `end`."""
    found = []
    while len(found) < number:
        data, many = await end.read()
        assert count(data) == many
        found += split(data)
    return found


def test_a_subscriber_gets_what_it_asked_for_whole_and_in_order(context, path):
    async def job():
        with bound(context, zmq.XPUB, path, sndhwm=0) as publisher:
            async with opened(Subscriber, path) as end:
                end.set_topics({b"a", b"bb"})
                assert {(await receive(publisher))[0] for _ in range(2)} == {b"\1a", b"\1bb"}
                sent = [[b"a" * size, b"\0" * (size % 7)] for size in range(1, 600)] + [[b"bb"]] * 3000
                for message in sent:
                    publisher.send_multipart([b"b no"])
                    publisher.send_multipart(message)
                assert await read(end, len(sent)) == sent
                end.set_topics({b"bb", b"c"})
                assert [(await receive(publisher))[0] for _ in range(2)] == [b"\1c", b"\0a"]

    run(job())


def test_what_is_not_read_stays_with_the_device(context, path):
    async def job():
        with bound(context, zmq.XPUB, path, sndhwm=1, xpub_nodrop=1) as publisher:
            async with opened(Subscriber, path) as end:
                end.set_topics({b""})
                await receive(publisher)
                sent, refused = 0, 0
                # It has taken none for a while: all that is between is full.
                while refused < 20:
                    try:
                        publisher.send(b"x" * 50_000, zmq.DONTWAIT)
                        sent, refused = sent + 1, 0
                    except zmq.Again:
                        refused += 1
                        await asyncio.sleep(0.01)
                assert sent < 100
                assert len(await read(end, sent)) == sent

    run(job())


def test_news_are_topics_begun_and_ended(context, path):
    async def job():
        with bound(context, zmq.PUSH, path) as news:
            async with opened(NewsReader, path) as end:
                for message in ([b"\1a"], [b"upstream"], [b"\1", b"two parts"], [b""], [b"\0a"], [b"\1"]):
                    news.send_multipart(message)
                found = []
                while len(found) < 3:
                    found += await end.read()
                assert found == [(b"a", True), (b"a", False), (b"", True)]

    run(job())


def test_what_is_pushed_arrives(context, path):
    async def job():
        with bound(context, zmq.PULL, path) as puller:
            async with opened(Pusher, path) as end:
                sent = [[b"x", b"y" * 300], [b""], *[[b"z"]] * 500]
                await end.write(b"".join(map(frames.encode_message, sent)))
                assert [await receive(puller) for _ in sent] == sent

    run(job())


def test_a_writer_waits_while_the_device_takes_nothing(context, path):
    async def job():
        with bound(context, zmq.PULL, path, rcvhwm=1) as puller:
            async with opened(Pusher, path) as end:
                sent = 500
                writing = asyncio.ensure_future(write(end, frames.encode_message([b"x" * 100_000]), sent))
                while not end.unwritten:
                    await asyncio.sleep(0)
                assert not writing.done()
                for _ in range(sent):
                    await receive(puller)
                await writing
                assert not end.unwritten

    async def write(end, message, times):
        for _ in range(times):
            await end.write(message)

    run(job())


@pytest.mark.parametrize("kind", [zmq.XPUB, zmq.PUSH])
def test_the_end_of_the_device_ends_a_read(context, path, kind):
    async def job():
        with bound(context, kind, path) as socket:
            async with opened(Subscriber if kind == zmq.XPUB else NewsReader, path) as end:
                reading = asyncio.ensure_future(end.read())
                await asyncio.sleep(0)
                socket.close(0)
                with pytest.raises(ConnectionError):
                    await reading

    run(job())


def test_another_type_of_socket_is_an_error(context, path):
    async def job():
        with bound(context, zmq.PULL, path), pytest.raises(ConnectionError):
            await Subscriber.open(path)

    run(job())
