"""What the sockets of engine zmtp have published: by topic, for each subscriber, and the last of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..switch.contract import TopicCounts as TopicCounts
from ..switch.station import Station
from ..switch.subscribers import SubscribersSnapshot as SubscribersSnapshot


@dataclass(frozen=True, slots=True)
class LastValue:
    """A message that is kept for later subscribers.

    :ivar socket: the socket that has published it, by its key.
    :ivar topic: its topic.
    :ivar time: when it came, as Unix time in seconds.
    :ivar parts: the message, as a new subscriber is given it.
    """

    socket: str
    topic: bytes
    time: float
    parts: list[bytes]


def topics_of(stations: Mapping[str, Station]) -> dict[str, TopicCounts]:
    """What was counted by topic, by the key of each of the `stations` that counts topics. Does not yield."""
    counting = {key: one.side for key, one in stations.items() if one.side.plan.topics is not None}
    found = {key: side.topic_counts() for key, side in counting.items()}
    return {key: counts for key, counts in found.items() if counts is not None}


def subscribers_of(stations: Mapping[str, Station]) -> dict[str, SubscribersSnapshot]:
    """What each subscriber has got and lost, by the key of each of the `stations` that has some. Yields."""
    found = {key: station.subscribers() for key, station in list(stations.items())}
    return {key: one for key, one in found.items() if one is not None}


def last_values_of(stations: Mapping[str, Station], prefix: bytes, after: bytes | None, most: int) -> list[LastValue]:
    """Some last values, by topic; see `geventrelay.switch.contract.Side.last_values_from`. Does not yield.

    :param stations: the sockets, by their keys.
    :param prefix: what a message begins with, as for a subscription.
    :param after: only topics behind this one; None for all.
    :param most: how many at most, from 1 to 1000.
    """
    unix_s = time.time() - time.monotonic()
    return [
        LastValue(key, topic, came + unix_s, parts)
        for key, station in stations.items()
        if station.side.plan.last_values is not None
        for topic, came, parts in station.side.last_values_from(prefix, after, most)
    ]
