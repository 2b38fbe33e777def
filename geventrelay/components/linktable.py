"""Which of a socket's connecting endpoints libzmq has given up, and when to connect them again. Pure.

libzmq connects again when a connection breaks. But after an error in the protocol (bytes that are not ZMTP, a socket of
a wrong type, keys, a part that is too large) it gives the endpoint up for good, and has no event for that
(session_base_t::engine_error). What shows it: after each DISCONNECTED of a connecting endpoint comes a CONNECT_RETRIED,
at once, if and only if libzmq goes on (stream_connecter_base_t::add_reconnect_timer).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import zmq

from ..backoff import Backoff
from ..endpoints import Endpoint

SILENCE_S = 0.5
"""How long after a DISCONNECTED, in seconds, a CONNECT_RETRIED would have come. Both come from a thread of libzmq's."""

_LOST = int(zmq.EVENT_DISCONNECTED)
_GOES_ON = int(zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_CONNECTED)
_UP = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)


def _backoff() -> Backoff:
    return Backoff(0.1, 5.0)


@dataclass(slots=True)
class _Link:
    address: str
    count: int
    backoff: Backoff
    up_since: float | None = None
    lost_at: float | None = None
    again_at: float | None = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An endpoint that libzmq has given up.

    :ivar address: the endpoint's, as it was connected.
    :ivar in_s: after how long to connect it again, in seconds.
    """

    address: str
    in_s: float


class LinkTable:
    """Keeps the connecting endpoints of one socket.

    :param endpoints: all of the socket.
    :param backoff: makes what decides how long each of them waits.
    :ivar endpoints: those that connect and can be given up, each once.
    """

    def __init__(self, endpoints: Sequence[Endpoint], backoff: Callable[[], Backoff] = _backoff) -> None:
        connecting = [one for one in endpoints if not one.binds and one.transport != "inproc"]
        self.endpoints = tuple(dict.fromkeys(connecting))
        self._links = {one.address: _Link(one.address, connecting.count(one), backoff()) for one in self.endpoints}
        # What libzmq calls endpoints once it has resolved their names.
        self._resolved: dict[str, set[str]] = defaultdict(set)

    def __bool__(self) -> bool:
        return bool(self._links)

    def learn(self, address: str, resolved: Iterable[str]) -> None:
        """Note that libzmq may call the endpoint with this `address` by the `resolved` ones: it does, after a while."""
        for one in resolved:
            self._resolved[one].add(address)

    def take(self, kind: int, address: str, now: float) -> bool:
        """Note an event; whether it is known which endpoint it means.

        :param kind: of the socket's monitor, e.g. `zmq.EVENT_DISCONNECTED`.
        :param address: the endpoint that the event names, which is none that the socket is bound to.
        :param now: when it is read, in seconds.
        """
        meant = (address,) if address in self._links else self._resolved.get(address, ())
        for link in map(self._links.__getitem__, meant):
            if kind == _LOST:
                link.lost_at = now
            elif kind & _GOES_ON:
                link.lost_at = None
            elif kind == _UP:
                link.up_since = now
        return bool(meant)

    def given_up(self, now: float) -> list[GivenUp]:
        """The endpoints that turn out to be given up: each is to be disconnected now, and is `due` later."""
        found = []
        for link in self._links.values():
            if link.lost_at is not None and link.lost_at + SILENCE_S <= now:
                delay_s = link.backoff.after(0.0 if link.up_since is None else link.lost_at - link.up_since)
                link.lost_at = link.up_since = None
                link.again_at = now + delay_s
                found.append(GivenUp(link.address, delay_s))
        return found

    def due(self, now: float) -> list[str]:
        """The addresses that are to be connected now, each as often as it stands among the endpoints."""
        found = []
        for link in self._links.values():
            if link.again_at is not None and link.again_at <= now:
                link.again_at = None
                found += [link.address] * link.count
        return found

    @property
    def next_at(self) -> float | None:
        """When `given_up` or `due` is to be asked next, in seconds; None while there is nothing to come."""
        lost = (link.lost_at + SILENCE_S for link in self._links.values() if link.lost_at is not None)
        again = (link.again_at for link in self._links.values() if link.again_at is not None)
        return min((*lost, *again), default=None)
