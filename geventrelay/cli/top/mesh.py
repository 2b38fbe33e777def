"""The relays that act as one with a device, as ``top`` shows them: counts of two moments -> rates. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRates:
    """One relay at one moment. What a server does not send, and what an older relay does not say, is None.

    :ivar device: the device whose mesh it is part of.
    :ivar is_own: whether it is that device itself.
    :ivar relay: what tells its present life from all others.
    :ivar host: where it is.
    :ivar nats: its server of NATS.
    :ivar state: whether it is connected to that: ``connected`` or ``connecting``; None of another relay.
    :ivar reason: why it is not.
    :ivar silent_s: how long ago it was heard of, in seconds; None of the device itself.
    :ivar round_trip_s: how long the way to it and back takes, in seconds; to NATS, of the device itself.
    :ivar sent: messages that went to it; to all others, of the device itself.
    :ivar received: messages that came from it, or from all others.
    :ivar sent_per_s: the rate of `sent`; `received_per_s` is that of `received`.
    :ivar lost: messages from it that did not come, or from all others.
    :ivar peers: how many programs are connected to it.
    :ivar in_per_s: how many messages a second it gets from these; `out_per_s` is how many it sends to them.
    :ivar waiting: how many messages wait there for others; `incoming` is how many wait from others.
    :ivar credit: how many messages it takes from here now, for its workers; from all others, of the device itself.
    :ivar promised: how many it may send here now, for workers here.
    :ivar hungry: whether messages wait there for a worker.
    :ivar version: its version of geventrelay.
    :ivar store: how the device itself stands with what keeps its work, as ``/api/backbone`` has it in ``store``, and
        what it has stored there, fetched and so on; None if no work is to be kept, and of another relay.
    """

    device: str
    is_own: bool
    relay: str | None
    host: str | None = None
    nats: str | None = None
    state: str | None = None
    reason: str | None = None
    silent_s: float | None = None
    round_trip_s: float | None = None
    sent: int | None = None
    received: int | None = None
    sent_per_s: float | None = None
    received_per_s: float | None = None
    lost: int | None = None
    peers: int | None = None
    in_per_s: float | None = None
    out_per_s: float | None = None
    waiting: int | None = None
    incoming: int | None = None
    credit: int | None = None
    promised: int | None = None
    hungry: bool | None = None
    version: str | None = None
    store: Mapping[str, Any] | None = None

    @property
    def waits(self) -> int | None:
        """How many messages wait there, for others and from others."""
        return None if self.waiting is None else self.waiting + (self.incoming or 0)

    @property
    def is_apart(self) -> bool:
        """Whether it is the device itself, and has no connection to NATS."""
        return self.state is not None and self.state != "connected"

    def since(self, before: RelayRates | None, seconds: float) -> RelayRates:
        """The same with rates.

        :param before: the relay `seconds` ago; None if it was not there, which leaves the rates unknown.
        :param seconds: the time between.
        """
        if before is None or seconds <= 0:
            return self
        return dataclasses.replace(
            self,
            sent_per_s=_rate(before.sent, self.sent, seconds),
            received_per_s=_rate(before.received, self.received, seconds),
        )

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it, within its device."""
        found = dataclasses.asdict(self)
        del found["device"]
        return found


# Where a device with work gets what others have no room for.
_WORK_IN = "backbone_work_in"
_OF_WORK = ("credit", "promised", "hungry")
_STORED = ("stored", "fetched", "redelivered", "stored_again", "malformed")
_SAME = ("relay", "host", "round_trip_s", "lost", *_OF_WORK)


def mesh_of(device: Mapping[str, Any]) -> tuple[RelayRates, ...]:
    """The `device` itself and then the others of its name, of an answer that was checked; empty without a backbone."""
    name, backbone = device["name"], device.get("backbone")
    if backbone is None:
        return ()
    sockets, reason = device.get("sockets"), backbone.get("reason")
    store = backbone.get("store")
    # Others know of no work, and what is kept by NATS is not shared by credit.
    has_work = store is None and any(pump.get("source") == _WORK_IN for pump in device.get("pumps", ()))
    same = _SAME if has_work else _SAME[: -len(_OF_WORK)]
    own = RelayRates(
        device=name,
        is_own=True,
        **{key: backbone.get(key) for key in (*same, "state", "waiting", "incoming")},
        nats=backbone.get("server"),
        reason=reason or None,
        sent=_sum(backbone, "sent", "work_sent"),
        received=_sum(backbone, "received", "work_received"),
        peers=None if sockets is None else sum(socket.get("peers") or 0 for socket in sockets),
        store=None if store is None else {**store, **{key: backbone.get(key) for key in _STORED}},
    )
    return (own, *(_other(name, one, same) for one in backbone.get("neighbours", ())))


def _other(device: str, one: Mapping[str, Any], same: Sequence[str]) -> RelayRates:
    about = one.get("about") or {}
    peers = about.get("peers")
    return RelayRates(
        device=device,
        is_own=False,
        **{key: one.get(key) for key in (*same, "silent_s")},
        sent=_sum(one, "sent", "work_sent"),
        received=_sum(one, "received", "work_received"),
        nats=about.get("server"),
        peers=None if peers is None else sum(peers.values()),
        in_per_s=about.get("received_per_s"),
        out_per_s=about.get("sent_per_s"),
        waiting=about.get("waiting"),
        incoming=about.get("incoming"),
        version=about.get("version"),
    )


def since(now: Sequence[RelayRates], before: Iterable[RelayRates], seconds: float) -> tuple[RelayRates, ...]:
    """The relays of a mesh as they are `now`, with rates. Does not yield.

    :param before: what they were `seconds` ago.
    :param seconds: the time between.
    """
    known = {one.relay: one for one in before}
    return tuple(one.since(known.get(one.relay), seconds) for one in now)


def _sum(found: Mapping[str, Any], *names: str) -> int | None:
    there = [found[name] for name in names if found.get(name) is not None]
    return sum(there) if there else None


def _rate(before: int | None, now: int | None, seconds: float) -> float | None:
    if before is None or now is None:
        return None
    # Counters go back only when the server was started again.
    return max(0.0, round((now - before) / seconds, 2))
