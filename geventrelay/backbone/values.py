"""What a backbone has done and what it sees of the others, as values for those who look at a device from outside."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from ..engine.values import counter, gauge, merged, values_of
from .words.mesh import About


class LinkState(enum.Enum):
    """How a device stands with NATS."""

    CONNECTING = "connecting"
    """It has no connection, and tries again and again."""
    CONNECTED = "connected"
    """It has one."""


class StoreState(enum.Enum):
    """How a device with ``durable`` stands with the stream that keeps its work."""

    WAITING = "waiting"
    """It has not seen it yet, as there is no connection or no answer."""
    REFUSED = "refused"
    """NATS has no JetStream, or has refused what is needed. It is tried again and again."""
    STORING = "storing"
    """It is there."""


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
    :ivar sent: messages that were sent to it.
    :ivar round_trip_s: how long the last way to it and back took, in seconds; None if that is not known.
    :ivar about: what it says of itself; None of one that is older.
    :ivar credit: how many messages with work this one may send it now.
    :ivar promised: how many it may send to this one.
    :ivar hungry: whether work waits there.
    :ivar work_sent: messages with work that were sent to it.
    :ivar work_received: messages with work that came from it.
    """

    relay: str
    host: str
    silent_s: float
    wants: int
    served: bool
    serves: bool
    received: int
    lost: int
    sent: int = 0
    round_trip_s: float | None = None
    about: About | None = None
    credit: int = 0
    promised: int = 0
    hungry: bool = False
    work_sent: int = 0
    work_received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSnapshot:
    """What a backbone has done since its device was started, and what there is at the moment.

    A message that goes to devices with different interests counts once for each interest. For each, read from the
    device - not wanted = sent + dropped (but for ``slow``) + waiting. Of work: read from the device = work_sent +
    work_returned + dropped (but for ``slow``) + waiting.

    :ivar relay: what tells this life of the device from all others: 16 hexadecimal digits.
    :ivar host: the host that it says it is on.
    :ivar state: how it stands with NATS.
    :ivar server: which server it is connected to, without a login; empty if it is not connected.
    :ivar reason: why it is not connected; empty if it is.
    :ivar neighbours: the other devices of the same name, by relay.
    :ivar store: how it stands with the stream that keeps its work; None if that is not to be kept.
    :ivar store_reason: why there is none that can be used; empty if there is one.
    :ivar store_replicas: how many servers of NATS have each message; 0 while that is not known.
    :ivar hungry: whether work waits that no worker has room for.
    """

    relay: str
    state: LinkState
    server: str
    reason: str
    neighbours: tuple[Neighbour, ...]
    host: str = ""
    hungry: bool = False
    store: StoreState | None = None
    store_reason: str = ""
    store_replicas: int = 0

    sent: int = counter(
        "messages", "Messages sent to other devices over the backbone.", path=("sent",), metric="backbone_sent_messages"
    )
    sent_bytes: int = counter(
        "bytes",
        "Bytes of the packs that were sent to other devices.",
        path=("sent_bytes",),
        metric="backbone_sent_bytes",
    )
    sent_packs: int = counter(
        "packs",
        "Packs of messages that were sent to other devices.",
        path=("sent_packs",),
        metric="backbone_sent_packs",
    )
    received: int = counter(
        "messages",
        "Messages that came from other devices over the backbone.",
        path=("received",),
        metric="backbone_received_messages",
    )
    received_bytes: int = counter(
        "bytes",
        "Bytes of the packs that came from other devices.",
        path=("received_bytes",),
        metric="backbone_received_bytes",
    )
    received_packs: int = counter(
        "packs",
        "Packs of messages that came from other devices.",
        path=("received_packs",),
        metric="backbone_received_packs",
    )
    delivered: int = counter(
        "messages",
        "Of the messages that came from other devices, those that were handed to this one.",
        path=("delivered",),
        metric="backbone_delivered_messages",
    )
    work_sent: int = counter(
        "messages",
        "Messages for one worker each that were sent to other devices.",
        path=("work_sent",),
        metric="backbone_work_sent_messages",
    )
    work_received: int = counter(
        "messages",
        "Messages for one worker each that came from other devices.",
        path=("work_received",),
        metric="backbone_work_received_messages",
    )
    work_delivered: int = counter(
        "messages",
        "Of these, and of those that went back, the ones that were handed to this device.",
        path=("work_delivered",),
        metric="backbone_work_delivered_messages",
    )
    work_returned: int = counter(
        "messages",
        "Messages for one worker each that went back into this device, since another one had gone.",
        path=("work_returned",),
        metric="backbone_work_returned_messages",
    )
    replies_sent: int = counter(
        "messages",
        "Replies that were sent to other devices, which have the clients.",
        path=("replies_sent",),
        metric="backbone_replies_sent_messages",
    )
    replies_received: int = counter(
        "messages",
        "Replies that came from other devices, which have the workers.",
        path=("replies_received",),
        metric="backbone_replies_received_messages",
    )
    unanswered: int = counter(
        "messages",
        "Requests that were sent to other devices, which have gone without a reply.",
        path=("unanswered",),
        metric="backbone_unanswered_messages",
    )
    stored: int = counter(
        "messages",
        "Messages for one worker each that NATS has stored, and has said so.",
        path=("stored",),
        metric="backbone_stored_messages",
    )
    stored_again: int = counter(
        "messages",
        "Of the messages that were fetched, those that were stored anew, as there was no room for them any more.",
        path=("stored_again",),
        metric="backbone_stored_again_messages",
    )
    store_retries: int = counter(
        "packs",
        "How often a pack was sent again to be stored, as there was no answer.",
        path=("store_retries",),
        metric="backbone_store_retries",
    )
    store_refused: int = counter(
        "answers",
        "How often NATS has refused what is needed to store work.",
        path=("store_refused",),
        metric="backbone_store_refused",
    )
    fetched: int = counter(
        "messages",
        "Messages that NATS had stored and that this device has handed on to its workers.",
        path=("fetched",),
        metric="backbone_fetched_messages",
    )
    redelivered: int = counter(
        "messages",
        "Messages that NATS has delivered to this device after it had delivered them before, here or elsewhere.",
        path=("redelivered",),
        metric="backbone_redelivered_messages",
    )
    store_states: Mapping[StoreState, int] | None = gauge(
        "devices",
        "1 for how the device stands with the stream that keeps its work, 0 for the others.",
        by="state",
        optional=True,
        metric="backbone_store_state",
    )
    store_waiting: int | None = gauge(
        "messages",
        "Messages for one worker each that are on their way to NATS, which has not yet said that it has them.",
        optional=True,
        path=("store", "waiting"),
        metric="backbone_store_waiting_messages",
    )
    store_packs: int | None = gauge(
        "packs",
        "Packs of work that the stream holds for all devices of the name, as it was a few seconds ago.",
        optional=True,
        path=("store", "packs"),
        metric="backbone_store_packs",
    )
    store_bytes: int | None = gauge(
        "bytes",
        "Bytes that these packs take there.",
        optional=True,
        path=("store", "bytes"),
        metric="backbone_store_bytes",
    )
    dropped: Mapping[BackboneDrop, int] = counter(
        "messages",
        "Messages that did not go on over the backbone, by reason.",
        by="reason",
        known=[one.value for one in BackboneDrop],
        path=("dropped",),
        metric="backbone_dropped_messages",
    )
    lost: int = counter(
        "messages",
        "Messages that other devices have sent and that did not come.",
        path=("lost",),
        metric="backbone_lost_messages",
    )
    malformed: int = counter(
        "packs",
        "Packs and words from NATS that were not understood, and were dropped.",
        path=("malformed",),
        metric="backbone_malformed_packs",
    )
    connects: int = counter(
        "connections", "Connections to NATS that were made.", path=("connects",), metric="backbone_connects"
    )
    waiting: int = gauge(
        "messages",
        "Messages for other devices that wait.",
        path=("waiting",),
        metric="backbone_waiting_messages",
    )
    waiting_bytes: int = gauge(
        "bytes",
        "Bytes of the messages for other devices that wait.",
        path=("waiting_bytes",),
        metric="backbone_waiting_bytes",
    )
    incoming: int = gauge(
        "messages",
        "Messages from other devices that wait for this one.",
        path=("incoming",),
        metric="backbone_incoming_messages",
    )
    incoming_bytes: int = gauge(
        "bytes",
        "Bytes of the messages from other devices that wait for this one.",
        path=("incoming_bytes",),
        metric="backbone_incoming_bytes",
    )
    wanted: int = gauge(
        "prefixes",
        "How many prefixes this device asks other devices for.",
        path=("wanted",),
        metric="backbone_wanted_prefixes",
    )
    credit: int = gauge(
        "messages",
        "How many messages other devices take now, for their workers.",
        path=("credit",),
        metric="backbone_credit_messages",
    )
    promised: int = gauge(
        "messages",
        "How many messages other devices may send now, for the workers of this one.",
        path=("promised",),
        metric="backbone_promised_messages",
    )
    round_trip_s: float | None = gauge(
        "seconds",
        "The last round trip to the server of NATS, in seconds.",
        optional=True,
        path=("round_trip_s",),
        metric="backbone_round_trip_seconds",
    )
    others: int = gauge(
        "devices",
        "How many other devices of the same name are there.",
        path=("others",),
        metric="backbone_others",
    )
    others_round_trip_s: float | None = gauge(
        "seconds",
        "The last round trip to another device, the longest of all, in seconds.",
        optional=True,
        path=("others_round_trip_s",),
        metric="backbone_others_round_trip_seconds",
    )

    def merged_with(self, later: BackboneSnapshot | None) -> BackboneSnapshot:
        """The counts of both lives of one device: this one, which is over, and a `later` one; None if there is none."""
        if later is None:
            return self
        about = {
            name: getattr(later, name)
            for name in (
                *("relay", "state", "server", "reason", "neighbours", "host", "hungry"),
                *("store", "store_reason", "store_replicas"),
            )
        }
        return merged(self, later, **about)


OF_BACKBONE = values_of(BackboneSnapshot)
"""What is measured of a backbone."""
