"""What a trace needs to know of the device that it runs at, besides the mesh and what waits in the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..mesh import Mesh
from ..topics.publishing import Publishing
from ..values import BackboneDrop
from .tracing import Flow

if TYPE_CHECKING:
    from ..nats.link import Link
    from ..work.working import Working


class Around:
    """Knows how things stand with NATS, with the ways into a device, and with its workers. Nothing here yields.

    :param host: the host that it is on.
    :param mesh: knows the others.
    :param publishing: its messages with topics.
    :param taken: how many of those that it was handed the device has taken; None if that is not known.
    :param peers: how many programs are connected to each socket of the device, by its key.
    :param workers_at: the key of the socket that workers are connected to, in each device of its name.
    :ivar working: its work; None if it has none.
    :ivar host: as it was given.
    """

    def __init__(
        self,
        host: str,
        mesh: Mesh,
        publishing: Publishing,
        taken: Callable[[], int | None],
        peers: Callable[[], Mapping[str, int]],
        workers_at: str,
    ) -> None:
        self.host = host
        self.working: Working | None = None
        self._mesh = mesh
        self._publishing = publishing
        self._taken = taken
        self._peers, self._workers_at = peers, workers_at
        self._link: Link | None = None
        self._away_since: float | None = None

    def begin(self, link: Link) -> None:
        """It runs from now on, with this `link` to NATS."""
        self._link, self._away_since = link, time.monotonic()

    def connected(self) -> None:
        """There is a connection to NATS."""
        self._away_since = None

    def disconnected(self) -> None:
        """There is none any more."""
        self._away_since = time.monotonic()

    @property
    def server(self) -> str:
        """The server of NATS that it is connected to; empty if it is not."""
        return "" if self._link is None else self._link.server

    @property
    def reason(self) -> str:
        """Why it is not connected; empty if it is."""
        return "" if self._link is None else self._link.reason

    @property
    def away_s(self) -> float | None:
        """For how long it has not been connected, in seconds; None if it is."""
        return None if self._away_since is None else time.monotonic() - self._away_since

    @property
    def stays(self) -> str:
        """Why nothing goes to NATS; empty if it does."""
        away_s = self.away_s
        if away_s is not None:
            return f"not connected to NATS for {away_s:.1f} s ({self.reason})"
        if self._mesh.waits:
            return "not all devices have come back that were there before the connection to NATS ended"
        return ""

    @property
    def waiting(self) -> int:
        """How many messages wait for others."""
        return self._publishing.waiting + (0 if self.working is None else self.working.waiting)

    def dropped(self, reason: BackboneDrop) -> int:
        """How many messages were dropped for that `reason` since the device was started."""
        work = {} if self.working is None else self.working.dropped
        return self._publishing.dropped.get(reason, 0) + work.get(reason, 0)

    @property
    def flows(self) -> list[Flow]:
        """How many messages of others have come, on each way into the device."""
        inbox, taken = self._publishing.inbox, self._taken()
        found = [Flow.of(inbox, inbox.delivered if taken is None else taken)]
        if self.working is not None:
            found.append(Flow.of(self.working.inbox, self.working.taken))
        return found

    def interested(self, topic: bytes) -> tuple[bool, int] | None:
        """Whether the device asks others for a `topic`, and how many topics of its subscribers cover it.

        None if it has no topics.
        """
        return self._publishing.interested(topic)

    def room(self) -> int | None:
        """How many messages with work its workers have room for; None if it has none with work."""
        return None if self.working is None else self.working.room()

    def workers(self, peers: Mapping[str, int] | None = None) -> int | None:
        """How many workers are connected; None if it has none with work, or if they are not seen.

        :param peers: how many programs are connected to each socket of another device; None for those of this one.
        """
        return None if self.working is None else (self._peers() if peers is None else peers).get(self._workers_at)

    def credit(self, relay: bytes) -> int | None:
        """How many messages with work may go to the device `relay` now; None if this one has none with work."""
        return None if self.working is None else self.working.credit.spending.credit_of(relay)
