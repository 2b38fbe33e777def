"""How often words of others may change what a device sends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from geventrelay.backbone.interest import id_of
from geventrelay.backbone.mesh import Mesh
from geventrelay.backbone.topics import streams
from geventrelay.backbone.words.mesh import Here, Mark


class Clocks:
    """Made-up ones: the time, and what this thread has had of the processor."""

    def __init__(self) -> None:
        self.now = self.used = 100.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.used

    def pass_s(self, time_s: float, used_s: float) -> None:
        self.now += time_s
        self.used += used_s


def asks(prefix: bytes) -> Here:
    return Here(b"other--1", "there", id_of((prefix,)), (prefix,))


@pytest.mark.parametrize(("used_s", "is_held"), [(0.0, False), (0.5, True)], ids=["waited", "worked"])
def test_a_change_that_only_waited_for_the_processor_has_the_next_one_not_wait(monkeypatch, used_s, is_held):
    clocks = Clocks()
    monkeypatch.setattr(streams, "time", clocks)

    async def change() -> None:
        mesh = Mesh(b"relay--1", "here", lambda stream: Mark(stream, 0, 0))
        mesh.connected(clocks.now)
        sent = streams.Streams(mesh, lambda actions: None)
        # While it is sorted, half a second passes.
        outgoing = SimpleNamespace(set_topics=lambda topics: clocks.pass_s(0.5, used_s))
        sent.begin(outgoing)
        began = clocks.used
        mesh.hear(asks(b"a"), clocks.now)
        sent.sort(began)
        clocks.pass_s(0.1, 0.0)
        assert sent.hear(asks(b"b")) is is_held
        sent.stop()

    asyncio.run(change())
