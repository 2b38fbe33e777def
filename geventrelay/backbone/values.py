"""What a backbone has done and what it sees of the others, as values for those who look at a device from outside."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from ..engine.values import counter, gauge


class LinkState(enum.Enum):
    """How a device stands with NATS."""

    CONNECTING = "connecting"
    """It has no connection, and tries again and again."""
    CONNECTED = "connected"
    """It has one."""


class BackboneDrop(enum.Enum):
    """Why a message did not go on over the backbone."""

    BACKBONE = "backbone"
    """It was for other devices, and NATS was away or too slow until the buffer was full."""
    TOO_LARGE = "too_large"
    """It was for other devices, and larger than the server of NATS takes."""
    SLOW = "slow"
    """It came from another device, and this one's subscribers were too slow until the buffer was full."""
    LEFT = "left"
    """It was for a device that has gone."""
    STOPPED = "stopped"
    """It was on its way when the device stopped."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another device of the same name, as this one knows it.

    :ivar relay: what tells its present life from all others: 16 hexadecimal digits.
    :ivar host: the host that it says it is on.
    :ivar silent_s: how long ago it was heard of, in seconds.
    :ivar wants: how many prefixes it asks for.
    :ivar served: whether it has said that it takes what this one sends.
    :ivar serves: whether it sends to this one what this one asked for.
    :ivar received: messages that came from it.
    :ivar lost: messages of it that were on their way and did not come.
    """

    relay: str
    host: str
    silent_s: float
    wants: int
    served: bool
    serves: bool
    received: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSnapshot:
    """What a backbone has done since its device was started, and what there is at the moment.

    A message that goes to devices with different interests counts once for each interest. For each, read from the
    device - not wanted = sent + dropped (but for ``slow``) + waiting.

    :ivar relay: what tells this life of the device from all others: 16 hexadecimal digits.
    :ivar state: how it stands with NATS.
    :ivar server: which server it is connected to, without a login; empty if it is not connected.
    :ivar reason: why it is not connected; empty if it is.
    :ivar neighbours: the other devices of the same name, by relay.
    """

    relay: str
    state: LinkState
    server: str
    reason: str
    neighbours: tuple[Neighbour, ...]

    sent: int = counter("messages", "Messages sent to other devices over the backbone.")
    sent_bytes: int = counter("bytes", "Bytes of these, with heads.")
    sent_packs: int = counter("packs", "Packs that these travelled in.")
    received: int = counter("messages", "Messages that came from other devices over the backbone.")
    received_bytes: int = counter("bytes", "Bytes of these, with heads.")
    received_packs: int = counter("packs", "Packs that these travelled in.")
    delivered: int = counter("messages", "Of the messages that came, those that were handed to the device.")
    dropped: Mapping[BackboneDrop, int] = counter(
        "messages",
        "Messages that did not go on over the backbone, by reason.",
        by="reason",
        known=[one.value for one in BackboneDrop],
    )
    lost: int = counter("messages", "Messages that other devices have sent and that did not come.")
    malformed: int = counter("packs", "Packs and words from NATS that were not understood, and were dropped.")
    connects: int = counter("connections", "Connections to NATS that were made.")
    waiting: int = gauge("messages", "Messages for other devices that wait.")
    waiting_bytes: int = gauge("bytes", "Bytes of the messages for other devices that wait.")
    incoming: int = gauge("messages", "Messages from other devices that wait for this one.")
    incoming_bytes: int = gauge("bytes", "Bytes of these.")
    wanted: int = gauge("prefixes", "How many prefixes this device asks other devices for.")
    round_trip_s: float | None = gauge("seconds", "The last round trip to the server of NATS.", optional=True)
