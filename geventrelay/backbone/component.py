"""Joins a device with the others of its name: a component whose greenlet runs all of it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import gevent
from gevent.event import AsyncResult

from ..components.component import Component, Direction, DrainStep, Environment, Feature, Traffic
from ..components.plan import BACKBONE_IN, BACKBONE_NEWS, BACKBONE_OUT, BACKBONE_WORK_IN, BACKBONE_WORK_OUT
from ..components.work import Work
from ..errors import StartError
from ..settings import Queue
from .trace.hops import Trace
from .values import BackboneSnapshot

if TYPE_CHECKING:
    from .exchange import Exchange

_IPC = "ipc://"
# A trace ends by itself. It may be late where a process is busy.
_TRACE_ENDS_S = 5.0


class _Closable(Protocol):
    def close(self) -> None: ...


_End = TypeVar("_End", bound=_Closable)


class Backbone(Component):
    """What joins a device with the others of its name.

    :param settings: the device's; they have a `backbone`.
    :param bound: where the device's sockets listen, by key.
    :param work: tells what work waits, see `Environment`.
    :param traffic: what has gone through the sockets that are for programs.
    :param pumps: the device's.
    """

    key = "backbone"
    # What the device has handed over when it closes is still to be sent.
    outlives_sockets = True

    def __init__(
        self,
        settings: Any,
        bound: Callable[[], Mapping[str, Sequence[str]]],
        work: Callable[[], Work | None] = lambda: None,
        traffic: Callable[[], Traffic] = Traffic,
        pumps: Sequence[Direction] = (),
    ) -> None:
        self._settings = settings
        self._bound = bound
        self._work_of_device = work
        self._traffic = traffic
        self._pumps = pumps
        self._is_tracing = False
        self._exchange: Exchange | None = None
        self._worker: gevent.Greenlet[..., None] | None = None
        self._failed: AsyncResult[Exception] = AsyncResult()

    def open(self) -> None:
        """See that the library for NATS is there, and read files of keys; see `Component.open`. May yield."""
        # Not before: the library and asyncio take a while to load, which a process without a backbone need not wait.
        from .exchange import Exchange

        exchange = Exchange(self._settings, own_topics(self._settings), traffic=self._traffic, taken=self._taken)
        exchange.open()
        self._exchange = exchange

    def run(self) -> None:
        """Exchange messages with the others; see `Component.run`.

        :raises ConnectionError: if the device has ended a connection to one of its private sockets.
        """
        # Its own greenlet: this one ends before the sockets do.
        self._worker = gevent.spawn(self._work)
        error = self._failed.get()
        assert error is not None  # it is never set to anything else
        raise error

    def stop_reading(self, step: DrainStep) -> None:
        """At any `step`, take nothing more from others, and send what is there; see `Component.stop_reading`."""
        if self._exchange is not None:
            self._exchange.finish()

    @property
    def drained(self) -> bool:
        """Whether nothing waits on its way, as far as NATS is there; see `Component.drained`."""
        return self._exchange is None or self._exchange.drained

    def joined(self) -> BackboneSnapshot | None:
        """What it has done, and which others it knows; see `Component.joined`."""
        return None if self._exchange is None else self._exchange.snapshot()

    def trace(self, topic: bytes | None, limit_s: float) -> Trace | None:
        """Find out how long messages take to the others; see `Component.trace`.

        :param topic: what messages begin with that are asked about; None for none.
        :param limit_s: how long to wait for answers, in seconds.
        :raises StartError: if it does not run, or one trace of it goes on.
        """
        if self._is_tracing:
            raise StartError(f"{self._settings.name} is traced already: one trace at a time")
        found: AsyncResult[Trace] = AsyncResult()
        if self._exchange is None or not self._exchange.trace(topic, limit_s, found.set):
            raise StartError(f"{self._settings.name} does not run, or is about to stop")
        self._is_tracing = True
        try:
            return found.get(timeout=limit_s + _TRACE_ENDS_S)
        except gevent.Timeout:
            raise StartError(f"{self._settings.name} has stopped meanwhile") from None
        finally:
            self._is_tracing = False

    def close(self, linger_ms: int | None, *, failed: bool) -> None:
        """Send what the device has handed over to the end, then leave the others; see `Component.close`.

        :param linger_ms: how long, in ms; None for the time of the settings.
        :param failed: whether nothing is to be waited for.
        """
        if self._worker is None:
            return
        limit_ms = self._settings.linger_ms if linger_ms is None else linger_ms
        if not failed:
            self._worker.join(limit_ms / 1000)
        self._worker.kill()
        self._worker = None

    def _work(self) -> None:
        from .nats.loop import run

        assert self._exchange is not None  # a component is opened before it runs
        try:
            run(self._run(self._exchange))
        except Exception as error:
            # While the device closes, no greenlet waits for it.
            self._failed.set(error)

    async def _run(self, exchange: Exchange) -> None:
        from .ends import NewsReader, Pusher, Subscriber, WorkEnd
        from .topics.ends import StreamEnds
        from .work.working import WorkEnds

        with contextlib.ExitStack() as stack:

            def kept(end: _End) -> _End:
                stack.callback(end.close)
                return end

            streams = ends = None
            if BACKBONE_WORK_OUT not in self._bound() or BACKBONE_OUT in self._bound():
                streams = StreamEnds(
                    kept(await Subscriber.open(self._path(BACKBONE_OUT))),
                    kept(await NewsReader.open(self._path(BACKBONE_NEWS))),
                    kept(await Pusher.open(self._path(BACKBONE_IN))),
                )
            work = self._work_of_device()
            if work is not None:
                out, into = ("DEALER", "DEALER") if isinstance(self._settings, Queue) else ("PULL", "PUSH")
                ends = WorkEnds(
                    kept(await WorkEnd.open(self._path(BACKBONE_WORK_OUT), out)),
                    # Clients of the queue do not know this name, and so can have no other one's replies.
                    kept(await WorkEnd.open(self._path(BACKBONE_WORK_IN), into, b"b" + secrets.token_bytes(15))),
                    work,
                )
            await exchange.run(streams, ends)

    def _taken(self) -> int | None:
        """How many of the messages with topics that it was handed the device has taken; None if it gets none."""
        counts = (pump.snapshot() for pump in self._pumps)
        return next((one.received - one.held for one in counts if one is not None and one.source == BACKBONE_IN), None)

    def _path(self, key: str) -> str:
        addresses = self._bound().get(key)
        if not addresses:
            raise ConnectionError("the device has closed")
        return addresses[0].removeprefix(_IPC)


def own_topics(settings: Any) -> frozenset[bytes]:
    """What a device of `settings` wants from others, whatever its subscribers want: what it keeps. Does not yield."""
    if getattr(settings, "replay_size", None) is not None:
        return frozenset((b"",))
    if getattr(settings, "last_value", False):
        # Checked, so they have this type.
        prefixes = cast("tuple[bytes, ...] | None", settings.last_value_prefix)
        return frozenset((b"",) if prefixes is None else prefixes)
    return frozenset()


def _components(environment: Environment) -> tuple[Component, ...]:
    settings: Any = environment.settings
    if getattr(settings, "backbone", None) is None:
        return ()
    given = environment.bound, environment.work, environment.traffic, environment.pumps
    return (Backbone(settings, *given),)


FEATURE = Feature(lambda settings: (), _components)
"""What joins a device whose settings have a `backbone` with others. Its sockets are part of the device's plan."""
