"""The first message of each topic that a publisher sends: its last values, where it keeps some."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import gevent

from ..endpoints import Endpoint
from ..errors import StartError
from ..recording import Record
from ..topics import topic_of
from .subscriber import Subscriber
from .tap_stream import UNKNOWN

# A device cuts a topic there too, unless it is told otherwise: --max-topic-size.
_LONGEST_TOPIC = 8 * 1024


@dataclass(frozen=True, slots=True)
class TopicRule:
    """What the topic of a message is.

    :ivar until: what ends it in the first part; empty is as without ``--topic-until``.
    :ivar stamped: whether messages have their number as one part more, the last.
    """

    until: bytes = b""
    stamped: bool = False

    def topic(self, parts: list[bytes]) -> bytes:
        """The topic of a message with these `parts`."""
        several = len(parts) - self.stamped > 1
        return topic_of(parts[0][:_LONGEST_TOPIC], several=several, until=self.until)


class LatestStream:
    """A SUB that takes one message of each topic, and ends when no further topic comes.

    :param endpoint: where the publisher is.
    :param prefix: what its messages begin with.
    :param rule: what the topics of its messages are.
    :param wait_s: how long to wait for a connection, and then for a further topic, in seconds.
    :param keys: see `geventrelay.cli.client_keys.ClientKeys.socket_options`.
    :raises StartError: if it cannot connect or bind there.
    """

    def __init__(
        self, endpoint: Endpoint, prefix: bytes, rule: TopicRule, wait_s: float, keys: Mapping[int, bytes]
    ) -> None:
        self._endpoint, self._rule, self._wait_s = endpoint, rule, wait_s
        self._seen: set[bytes] = set()
        self._subscriber = Subscriber(endpoint, prefix, keys)

    def begin(self) -> bool:
        """Wait until a publisher is connected; true. Yields.

        :raises StartError: if none is in time.
        """
        gevent.with_timeout(self._wait_s, self._subscriber.wait_connected, timeout_value=None)
        if self._subscriber.is_connected():
            return True
        where = f"{self._endpoint.address} within {self._wait_s:g} s"
        raise StartError(f"no publisher at {where}, or it does not let this program in")

    def receive(self) -> list[Record]:
        """Wait for the first messages of further topics; none when the time is over. Yields if there is none yet."""
        over = time.monotonic() + self._wait_s
        while not (records := self._fresh()):
            # Messages of topics that are known may come all the time.
            left_s = over - time.monotonic()
            if left_s <= 0:
                return []
            gevent.with_timeout(left_s, self._subscriber.wait, timeout_value=None)
        return records

    def close(self) -> None:
        """Close it. Yields."""
        self._subscriber.close()

    def _fresh(self) -> list[Record]:
        return [
            Record(time_ns, UNKNOWN, tuple(parts))
            for time_ns, parts in self._subscriber.received()
            if self._is_first_of_its_topic(parts)
        ]

    def _is_first_of_its_topic(self, parts: list[bytes]) -> bool:
        before = len(self._seen)
        self._seen.add(self._rule.topic(parts))
        return len(self._seen) > before
