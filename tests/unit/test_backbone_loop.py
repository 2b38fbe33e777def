"""An asyncio loop in a greenlet: other greenlets go on, and asyncio looks to them as if it did not run."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import gevent
import pytest
from gevent.event import Event

from geventrelay.backbone.nats.loop import run


def test_two_loops_and_a_greenlet_take_turns():
    order = []

    async def count(name):
        for number in range(3):
            order.append((name, number))
            await asyncio.sleep(0.001)
        return name

    def greenlet():
        for number in range(3):
            order.append(("greenlet", number))
            gevent.sleep(0.001)

    greenlets = [gevent.spawn(run, count("a")), gevent.spawn(run, count("b")), gevent.spawn(greenlet)]
    gevent.joinall(greenlets, raise_error=True)
    assert [one.value for one in greenlets[:2]] == ["a", "b"]
    assert {name for name, _ in order[:3]} == {"a", "b", "greenlet"}


def test_a_greenlet_sees_no_running_loop_and_may_run_one_of_its_own():
    seen = []
    hooks = sys.get_asyncgen_hooks()

    async def main():
        looked = asyncio.get_running_loop().create_future()

        def look():
            seen.append((asyncio._get_running_loop(), sys.get_asyncgen_hooks()))
            seen.append(asyncio.run(asyncio.sleep(0, "ran")))
            loop.call_soon_threadsafe(looked.set_result, None)

        loop = asyncio.get_running_loop()
        gevent.spawn(look)
        await looked
        assert asyncio.get_running_loop() is loop

    run(main())
    assert seen == [(None, hooks), "ran"]
    assert asyncio._get_running_loop() is None
    assert sys.get_asyncgen_hooks() == hooks


def test_others_have_turns_while_a_loop_always_has_more_to_do():
    turns = []

    async def busy():
        while len(turns) < 3:
            await asyncio.sleep(0)

    def other():
        while True:
            turns.append(1)
            gevent.sleep(0)

    greenlet = gevent.spawn(other)
    run(busy())
    greenlet.kill()
    assert len(turns) >= 3


def test_descriptors_are_read_and_written_and_a_large_answer_comes_whole():
    async def main():
        async def answer(reader, writer):
            writer.write((await reader.readexactly(3)) * 1_000_000)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"abc")
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return data

    assert run(main()) == b"abc" * 1_000_000


def test_names_are_looked_up_without_a_thread_of_asyncio():
    before = threading.active_count()

    async def main():
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 80, type=1)
        with pytest.raises(OSError):
            await loop.getaddrinfo("localhost", "no such service")
        return found, loop._default_executor

    found, executor = run(main())
    assert ("127.0.0.1", 80) in [address[:2] for *_, address in found]
    assert executor is None
    assert threading.active_count() == before


def test_a_kill_cancels_what_runs_and_lets_it_say_a_last_word():
    begun, said = Event(), []

    async def child():
        try:
            await asyncio.sleep(3600)
        finally:
            said.append("child")

    async def main():
        task = asyncio.ensure_future(child())
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.001)
            said.append("main")
            assert not task.done()

    greenlet = gevent.spawn(run, main())
    begun.wait()
    gevent.sleep(0)
    greenlet.kill()
    assert said == ["main", "child"]
    assert asyncio._get_running_loop() is None


def test_an_error_is_raised_where_the_loop_was_run():
    async def main():
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_leaves_the_connections_of_its_parent_alone():
    reading, writing = os.pipe()
    begun = Event()
    read = []

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.add_reader(reading, lambda: (read.append(os.read(reading, 10)), done.cancelled() or done.set_result(None)))
        begun.set()
        await done
        loop.remove_reader(reading)

    greenlet = gevent.spawn(run, main())
    begun.wait()
    gevent.sleep(0)
    child = os.fork()
    if not child:
        try:
            gevent.reinit()
            os.write(writing, b"child")
            with gevent.Timeout(0.05, False):
                greenlet.join()
            os._exit(len(read))
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    greenlet.join()
    assert read == [b"child"]
    os.close(reading)
    os.close(writing)
