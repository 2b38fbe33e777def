"""A connection whose handshake is over: when its peer reads and writes."""

from __future__ import annotations

import array
import fcntl
import itertools
import termios
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..engine.grant import Grant
from ..engine.peeraccount import PeerAccount
from ..engine.useraccount import UserAccount
from ..zmtp import events
from .accounts import account_of
from .contract import Ended, Peer, Progress, Rate
from .heart import Heart
from .meter import Meter
from .pulse import Heartbeat
from .turns import Job
from .watchers import Watchers

if TYPE_CHECKING:
    from .station import Station

_ids = itertools.count(1)


class Link:
    """Calls its peer's `read` and `write` when the connection is ready for it. Nothing here yields.

    :param socket: the connection, which does not block. It is closed with this.
    :param peer: what the core makes of it, attached already.
    :param station: the socket of the device that it belongs to.
    :param endpoint: the endpoint that it came in at, or goes to.
    :param address: the other end.
    :param info: what the handshake has told of the peer.
    :param user: who it is; empty for a peer without a name.
    :param rate: how much may come from it; None for any number.
    :param grant: what it may do.
    :ivar number: its descriptor.
    :ivar id: tells it from all other connections of this process, also from those that have ended.
    :ivar still: whether it would be let in now, with the same rights; None where it was not asked.
    :ivar blocked: whether what was read cannot be taken now.
    :ivar goes_on: whether it has to read on, after it could not.
    :ivar on_room: is called each time that some of what waits for it may have been written. It must not yield.
    :ivar on_close: is called when it is closed. It must not yield.
    """

    def __init__(
        self,
        socket: Any,
        peer: Peer,
        station: Station,
        endpoint: str,
        address: str,
        info: events.Peer,
        user: str = "",
        rate: Rate | None = None,
        grant: Grant | None = None,
    ) -> None:
        self.socket = socket
        self.number: int = socket.fileno()
        self.id = next(_ids)
        self.info = info
        self.user = user
        self.grant = grant or Grant()
        self.on_room: Callable[[], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self._rate = rate
        peer.set_rate(rate)
        # A peer may have had other connections before.
        self._before = peer.counts()
        self._meter = Meter(time.monotonic())
        self.peer = peer
        self.endpoint = endpoint
        self.address = address
        self._station = station
        self._driver = station.driver
        self._turns = station.driver.turns
        self._reads = Job(self._read, urgent=False)
        self._writes = Job(self._write, urgent=True)
        self._watchers = Watchers(self.number)
        self._heart: Heart | None = None
        self.blocked = self.goes_on = False
        self.still: Callable[[], bool] | None = None
        # Of a drain: how many bytes have to be read, and how many had been when that was so.
        self._drain_to: int | None = None
        self._drained_at: int | None = None

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._watchers.closed

    def start(self, heartbeat: Heartbeat) -> None:
        """Write what waits, and read what has come with the handshake.

        :param heartbeat: how it is found out whether the other end is alive.
        """
        self.peer.on_ping = self._on_ping
        if heartbeat.interval_s:
            self._heart = Heart(self, heartbeat)
        self._turns.queue(self._writes)
        self._turns.queue(self._reads)
        if not self._station.paused:
            self._watchers.reader.start(self._on_readable, pass_events=True)

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if not self.closed:
            self._watchers.reader.stop()

    def resume(self) -> None:
        """Go on reading after `pause`."""
        if not self.closed and not self.blocked:
            self._watchers.reader.start(self._on_readable, pass_events=True)
            # Bytes may have been read and kept, of which the descriptor says nothing.
            self._turns.queue(self._reads)

    def take_room(self) -> None:
        """Go on reading after `Progress.NO_ROOM` or `Progress.OVER_RATE`."""
        self.blocked = False
        if not self._station.paused:
            self.goes_on = not self.closed
            self.resume()

    def wait_writable(self) -> None:
        """Write as soon as the kernel takes more."""
        if not self.closed and not self._watchers.writer.active:
            self._watchers.writer.start(self._on_writable)

    def write_soon(self) -> None:
        """Write what waits when its turn comes."""
        if not self.closed:
            self._turns.queue(self._writes)

    def finish(self) -> None:
        """Read what has come by now, and then end."""
        self._drain_to = self.peer.heard + self.unread
        self._turns.queue(self._reads)

    def discard(self, until: float) -> bool:
        """Read what has come by now, for the account alone, since the way is stopped; whether that is all of it.

        :param until: when to stop at the latest, by `time.monotonic`.
        """
        self._drain_to, self._drained_at = self.peer.heard + self.unread, None
        while not self.closed:
            progress = self.peer.read(0.0)
            if progress == Progress.ENDED:
                self._station.ended(self, self.peer.ended)
            elif self._is_drained(progress, self._drain_to):
                self.blocked = False
                return True
            elif time.monotonic() >= until:
                return False
        return True

    @property
    def unread(self) -> int:
        """How many bytes the kernel has that were not read."""
        if self.closed:
            return 0
        found = array.array("i", [0])
        try:
            fcntl.ioctl(self.number, termios.FIONREAD, found)
        except OSError:
            return 0
        return found[0]

    @property
    def at_rest(self) -> bool:
        """Whether all that has come has been moved."""
        return self.closed or not (self.blocked or self._reads.queued or self.unread)

    @property
    def has_written(self) -> bool:
        """Whether the kernel has taken all that was to be written."""
        return self.closed or not self.peer.wants_write

    def account(self, now: float) -> PeerAccount:
        """What is known of its peer at the time `now`, by `time.monotonic`."""
        counts = self.peer.counts()
        self._meter.look(now, counts.received - self._before.received, counts.delivered - self._before.delivered)
        received_per_s, delivered_per_s = self._meter.per_s or (None, None)
        return account_of(
            self.peer,
            now,
            counts,
            id=self.id,
            type=self.info.socket_type,
            routing_id=self.info.routing_id,
            version=str(self.info.version),
            received_per_s=received_per_s,
            delivered_per_s=delivered_per_s,
        )

    def moved(self) -> UserAccount:
        """What has moved over it, for the account of its user."""
        counts = self.peer.counts()
        return UserAccount(received=counts.received, received_bytes=counts.received_bytes, delivered=counts.delivered)

    def end(self, why: Ended | None) -> None:
        """The connection has ended, and `why`."""
        self._station.ended(self, why)

    def close(self) -> None:
        """End the watching and the connection, without a word to the core. May be called twice."""
        self._watchers.close()
        self.goes_on = False
        self.peer.on_ping = None
        if self._heart is not None:
            self._heart.close()
        if self._rate is not None:
            self._driver.over_rate.leave(self, self._rate)
        if self._station.way is not None:
            self._driver.wait_no_more(self, self._station.way)
        if self.on_close is not None:
            self.on_close()

    @property
    def hears(self) -> bool:
        """Whether all that has come has been read, so that a silence is the other end's."""
        return not (self._driver.dead or self._station.paused) and self.at_rest

    def ping(self, ttl_ds: int) -> None:
        """Have the other end give a sign of life; `ttl_ds` as `Peer.ping` has it."""
        # In a forked child, the connection is the parent's.
        if not self._driver.dead:
            self.peer.ping(ttl_ds)
            self._driver.after_move()

    def _on_ping(self, ttl_ds: int) -> None:
        if self._heart is None:
            self._heart = Heart(self, Heartbeat())
        self._heart.pinged(ttl_ds)

    def _on_readable(self, events: int) -> None:
        if self._driver.dead:
            self._watchers.reader.stop()
            return
        self._turns.offer(self._reads)
        if events < 0 and not self.closed:
            # libuv tells once of a connection that was reset. The next read comes to its end.
            self._turns.queue(self._reads)

    def _on_writable(self) -> None:
        if self._driver.dead:
            self._watchers.writer.stop()
            return
        self._turns.offer(self._writes)

    def _read(self, until: float) -> bool:
        if self.closed or self.blocked or self._station.paused:
            self.goes_on = False
            return False
        progress = self.peer.read(until)
        self.goes_on = self.goes_on and progress == Progress.TURN_OVER
        if self._drain_to is not None and self._is_drained(progress, self._drain_to):
            self._station.ended(self, Ended(None, "the device stops"))
        elif progress == Progress.NO_ROOM and self._station.way is not None:
            self.blocked = True
            self._watchers.reader.stop()
            self._driver.wait_for_room(self, self._station.way)
        elif progress == Progress.OVER_RATE and self._rate is not None:
            self.blocked = True
            self._watchers.reader.stop()
            self._driver.over_rate.wait(self, self._rate)
        elif progress == Progress.ENDED:
            self._station.ended(self, self.peer.ended)
        if self._rate is not None:
            self._driver.over_rate.go_on(self._rate)
        self._driver.after_move()
        return progress == Progress.TURN_OVER and not self.closed

    def _write(self, until: float) -> bool:
        if self.closed:
            return False
        progress = self.peer.write(until)
        if progress == Progress.ENDED:
            self._station.ended(self, self.peer.ended)
        elif progress == Progress.NOT_READY:
            if self.peer.wants_write:
                self.wait_writable()
            else:
                self._watchers.writer.stop()
        self._driver.look_for_room()
        if self.on_room is not None:
            self.on_room()
        return progress == Progress.TURN_OVER

    def _is_drained(self, progress: Progress, drain_to: int) -> bool:
        """Whether all that had come when the drain began has been moved."""
        if progress != Progress.TURN_OVER or self._drained_at is not None:
            # Another read came only after all that had been read before was moved.
            return progress == Progress.NOT_READY or (
                self._drained_at is not None and self.peer.heard > self._drained_at
            )
        if self.peer.heard >= drain_to:
            self._drained_at = self.peer.heard
        return False
