"""What drives the connections of one device: turns, room, deadlines, and news for the log."""

from __future__ import annotations

import functools
import heapq
import itertools
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import gevent
from gevent.event import AsyncResult
from gevent.event import Event as Signal

from ..engine import fork as fork
from ..log import LogEvent, event
from .contract import Core, Peer, Side, Way
from .expiry import Expiry
from .link import Link
from .over_rate import OverRate
from .turns import Job, Turns

log = logging.getLogger("geventrelay")


class Driver:
    """Joins the links of a device to its core. Nothing here yields unless it says so.

    :param core: moves messages.
    :param device: its name in the log.
    :ivar turns: shares the time.
    :ivar links: the connection of each peer that has one.
    :ivar over_rate: the connections that wait since more came than their rate allows.
    :ivar dead: whether this is a forked child of the process whose connections these are.
    :ivar failed: gets the error that nothing has expected.
    :ivar on_look: is called each time that it has been looked whether links that wait have room now, which is after all
        that may have changed this; None for nothing. It must not yield.
    """

    def __init__(self, core: Core, device: str) -> None:
        self.core = core
        self.turns = Turns(self._fail)
        self.links: dict[Peer, Link] = {}
        self.over_rate = OverRate(self.later)
        self.dead = False
        self.failed: AsyncResult[None] = AsyncResult()
        self.on_look: Callable[[], None] | None = None
        self._device = device
        # A deque would be walked through for one that leaves.
        self._waiting: dict[Way, OrderedDict[Link, None]] = {}
        # Those that had to wait and have room now; kept only where it is looked at.
        self._going: dict[Link, Way] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._news: deque[tuple[int, LogEvent]] = deque()
        self._wake = Signal()
        self._tidies = Job(self._tidy, urgent=False)
        self._expiry: Expiry | None = None
        self._attends = Job(self._attend, urgent=True)
        self._greenlet: gevent.Greenlet[..., None] | None = None
        fork.pause_in_children(self)

    def start(self) -> None:
        """Begin with what is due and with the log."""
        self._greenlet = gevent.spawn(self._keep)
        self.core.set_attention(functools.partial(self.turns.queue, self._attends))

    def pause(self) -> None:
        """In a forked child: never touch a descriptor again, for they are the parent's."""
        self.dead = True
        self.turns.forget()

    def close(self) -> None:
        """Stop; the last news go to the log. May be called twice."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill()
        self.core.set_attention(None)
        self.on_look = None
        self._going.clear()
        self.turns.close()
        self._tell_news()

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Call `do` in `delay_s` seconds, if the device is still up then."""
        heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._numbers), do))
        if self._due[0][2] is do:
            self._wake.set()

    def expire(self, sides: Sequence[Side]) -> None:
        """Drop what waits too long for the subscribers of `sides`, if that has a limit."""
        limited = [side for side in sides if side.plan.subscriber_max_age_s]
        if limited:
            self._expiry = Expiry(limited, self.later, self.look_for_room)

    def tell(self, level: int, name: str, **keys: str) -> None:
        """Have the log say something soon: a handler of the log may yield, and this may be the hub.

        :param level: as `logging` has it.
        :param name: the name of the event, and `keys` are its keys.
        """
        if log.isEnabledFor(level):
            self._news.append((level, event(name, device=self._device, **keys)))
            self._wake.set()

    def after_move(self) -> None:
        """Look after the peers that could not be written to when messages were moved."""
        for peer in self.core.take_stalled():
            if (link := self.links.get(peer)) is not None:
                link.wait_writable()
        for peer in self.core.take_ended():
            if (link := self.links.get(peer)) is not None:
                link.end(peer.ended)
        if self._expiry is not None:
            self._expiry.arm()
        self.look_for_room()

    def after_end(self) -> None:
        """Have the core forget, a little at a time, what a peer has left that has gone."""
        self.turns.queue(self._tidies)

    def wait_for_room(self, link: Link, way: Way) -> None:
        """Have `link` go on reading when `way` has room, after those that have waited longer."""
        self._waiting.setdefault(way, OrderedDict())[link] = None

    def wait_no_more(self, link: Link, way: Way) -> None:
        """Have `link`, which has ended, wait for room of `way` no more, if it did."""
        if way in self._waiting:
            self._waiting[way].pop(link, None)

    def look_for_room(self) -> None:
        """Where a way has room now, have the first link go on that waits for it. After it the next one comes."""
        for way, links in self._waiting.items():
            if links and way.has_room:
                link = links.popitem(last=False)[0]
                link.take_room()
                if self.on_look is not None:
                    self._going[link] = way
        if self.on_look is not None:
            self.on_look()

    def is_waited_for(self, way: Way) -> bool:
        """Whether a link waits for room of `way` now."""
        return bool(self._waiting.get(way))

    def is_caught_up_with(self, way: Way) -> bool:
        """Whether links that had to wait for room of `way` wait again, or have read all that there was since.

        Only with `on_look`.
        """
        for link in [one for one in self._going if not one.goes_on]:
            del self._going[link]
        return way not in self._going.values()

    def _tidy(self, until: float) -> bool:
        has_more = self.core.tidy(until)
        # Publishers are told of topics that have ended.
        self.after_move()
        return has_more

    def _attend(self, until: float) -> bool:
        """Look after what the memory budget has done here."""
        if dropped := self.core.take_shed():
            self.tell(logging.WARNING, "memory-short", dropped=str(dropped), option="memory-budget")
        self.after_move()
        return False

    def _keep(self) -> None:
        while True:
            wait_s = None if not self._due else max(0.0, self._due[0][0] - time.monotonic())
            self._wake.wait(wait_s)
            self._wake.clear()
            if self.dead:
                return
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()
            self._tell_news()

    def _tell_news(self) -> None:
        while self._news:
            log.log(*self._news.popleft())

    def _fail(self, error: Exception) -> None:
        if not self.failed.ready():
            self.failed.set_exception(error)
