"""What devices have published, as JSON: the busiest topics, and what each subscriber has got and lost.

Such an answer may be large. It is encoded a few rows at a time, and everything else has a turn between them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..engine.fair import FairYield
from ..engine.peeraccount import ACCOUNTS_AT_A_TIME, MOST_ACCOUNTS
from ..engine.values import as_json
from ..errors import SettingsError
from ..settings.checks import whole
from .catalogue import TOPIC, TOPICS, TopicsValues
from .http.messages import Refusal, Request, Response
from .http.router import Handler
from .recent import Recent
from .report import MAX_TOPICS, VERSION, Json, peer_facts, topic_names

if TYPE_CHECKING:
    from ..server.server import Server
    from ..server.supervisor import SupervisedDevice
    from ..switch.core_values import LostTopic, TopicCount, TopicCounts
    from ..switch.subscribers import Subscriber, SubscribersSnapshot

DEFAULT_TOPICS = 100
"""How many topics an answer has where it is not said."""

SORTINGS: Mapping[str, str] = {
    "messages": "messages",
    "rate": "per_s",
    "bytes": "nbytes",
    "lost": "lost",
    "topic": "topic",
    "last": "last",
}
"""By what topics may be sorted, and which attribute of a `TopicCount` that is."""

# Of each some 20 numbers.
_TOPICS_AT_A_TIME = 100
_LOST_AT_A_TIME = 1000

Pause = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which topics are asked for.

    :ivar sort: a key of `SORTINGS`.
    :ivar limit: how many.
    :ivar prefix: what they begin with.
    """

    sort: str = "messages"
    limit: int = DEFAULT_TOPICS
    prefix: bytes = b""

    @classmethod
    def of(cls, request: Request) -> Chosen:
        """What the query of a `request` asks for.

        :raises SettingsError: if it asks for something else.
        """
        given = request.given("sort", "limit", "prefix")
        sort = given.get("sort", "messages")
        if sort not in SORTINGS:
            raise SettingsError("sort", "one of " + ", ".join(SORTINGS), sort)
        limit = whole(1, MAX_TOPICS)("limit", given.get("limit", DEFAULT_TOPICS))
        return cls(sort, limit, os.fsencode(given.get("prefix", "")))

    def pick(self, topics: Iterable[TopicCount]) -> list[TopicCount]:
        """Those of `topics` that are asked for, in their order."""
        wanted = [one for one in topics if one.topic.startswith(self.prefix)]
        # Twice by one attribute: there may be 10,000, and a key of two of them would take several times as long.
        wanted.sort(key=attrgetter("topic"))
        if self.sort != "topic":
            wanted.sort(key=attrgetter(SORTINGS[self.sort]), reverse=True)
        return wanted[: self.limit]


class Published:
    """Answers requests about topics and subscribers.

    :param server: the server.
    :param recent: keeps costly answers for a moment.
    """

    def __init__(self, server: Server, recent: Recent[bytes]) -> None:
        self._server = server
        self._recent = recent

    @property
    def routes(self) -> dict[tuple[str, str], Handler]:
        """The routes, by method and pattern."""
        return {
            ("GET", "/api/devices/{}/topics"): self._get_topics,
            ("GET", "/api/devices/{}/subscribers"): self._get_subscribers,
        }

    def _get_topics(self, request: Request, name: str) -> Response:
        supervised = self._supervised(name)
        try:
            chosen = Chosen.of(request)
        except SettingsError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error

        def make() -> bytes:
            found = supervised.device.topics()
            if found is None:
                sentence = f"device {name} counts no topics: topics = N (--topics N) has it count the N busiest"
                raise Refusal(HTTPStatus.NOT_FOUND, sentence)
            with FairYield() as turn:
                return topics(name, found, chosen, turn.wait)

        return self._answer((supervised.device, "topics", chosen), make)

    def _get_subscribers(self, request: Request, name: str) -> Response:
        supervised = self._supervised(name)
        try:
            given = request.given("limit")
            limit = whole(1, MOST_ACCOUNTS)("limit", given.get("limit", MOST_ACCOUNTS))
        except SettingsError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error

        def make() -> bytes:
            found = supervised.subscribers()
            if found is None:
                raise Refusal(HTTPStatus.NOT_FOUND, _why_no_subscribers(supervised))
            with FairYield() as turn:
                by_topic = bool(getattr(supervised.settings, "topics", 0))
                return subscribers(name, found, limit, turn.wait, by_topic=by_topic)

        return self._answer((supervised.device, "subscribers", limit), make)

    def _answer(self, key: tuple[object, ...], make: Callable[[], bytes]) -> Response:
        return Response(self._recent.get(key, make), headers={"Cache-Control": "no-store"})

    def _supervised(self, name: str) -> SupervisedDevice:
        supervised = self._server.devices.get(name)
        if supervised is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no device is called {name}")
        return supervised


def topics(name: str, sockets: Mapping[str, TopicCounts], chosen: Chosen, pause: Pause = lambda: None) -> bytes:
    """The JSON of the topics of a device.

    :param name: the device's.
    :param sockets: what was counted, by the socket's key.
    :param chosen: which topics.
    :param pause: is called now and then; it may yield.
    """
    unix_s = time.time() - time.monotonic()
    found: dict[str, list[bytes]] = {}
    for key, counts in sockets.items():
        rows = _Rows()
        for number, one in enumerate(chosen.pick(counts.topics), 1):
            rows.add(_topic(one, unix_s))
            if number % _TOPICS_AT_A_TIME == 0:
                rows.encode()
                pause()
        found[key] = _object(as_json(TOPICS.values, totals(counts)), topics=rows.pieces())
    return b"".join([*_object({"version": VERSION, "device": name}, sockets=_object({}, **found)), b"\n"])


def totals(counts: TopicCounts) -> TopicsValues:
    """What is measured of all topics together, of their `counts`. Does not yield."""
    return TopicsValues(
        messages=counts.messages,
        lost=counts.lost,
        counted=sum(one.messages > 0 for one in counts.topics),
        most_error=max((one.error for one in counts.topics), default=0),
    )


def subscribers(
    name: str,
    sockets: Mapping[str, SubscribersSnapshot],
    limit: int,
    pause: Pause = lambda: None,
    *,
    by_topic: bool,
) -> bytes:
    """The JSON of the subscribers of a device.

    :param name: the device's.
    :param sockets: its subscribers, by the socket's key.
    :param limit: of how many that are there to tell.
    :param pause: is called now and then; it may yield.
    :param by_topic: whether topics are counted.
    """
    found: dict[str, list[bytes]] = {}
    for key, one in sockets.items():
        counts = one.counts
        head: Json = {
            "total": one.total,
            "matched": counts.matched,
            "delivered": counts.delivered,
            "lost": {reason.value: number for reason, number in counts.dropped.items()},
            "waiting": counts.waiting,
            "waiting_bytes": counts.waiting_bytes,
            "gone_total": one.gone_total,
            "gone_lost": one.gone_lost,
        }
        there, gone = _rows(one.subscribers[:limit], pause), _rows(one.gone, pause)
        found[key] = _object(head, peers=there, gone=gone)
    head = {"version": VERSION, "device": name, "by_topic": by_topic}
    return b"".join([*_object(head, sockets=_object({}, **found)), b"\n"])


def _topic(one: TopicCount, unix_s: float) -> Json:
    return {
        **topic_names(one.topic),
        **as_json(TOPIC.values, one),
        "messages_per_s": round(one.per_s, 2),
        "bytes_per_s": round(one.bytes_per_s, 2),
        "last_seen": round(one.last + unix_s, 3) if one.messages else None,
    }


class _Rows:
    """The rows of a list, as JSON in pieces. Only the whole answer is put together: each copy of it takes long."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._rows: list[str] = []

    def add(self, row: Json) -> None:
        self._rows.append(_text(row))

    def encode(self) -> None:
        """Have those that were added be bytes."""
        if self._rows:
            self._pieces.append((b"," if self._pieces else b"") + ",".join(self._rows).encode())
            self._rows.clear()

    def pieces(self) -> list[bytes]:
        self.encode()
        return [b"[", *self._pieces, b"]"]


def _rows(some: Iterable[Subscriber], pause: Pause) -> list[bytes]:
    rows = _Rows()
    size = 0
    for one in some:
        rows.add(_subscriber(one))
        size += _LOST_AT_A_TIME // ACCOUNTS_AT_A_TIME + len(one.lost_topics)
        if size >= _LOST_AT_A_TIME:
            size = 0
            rows.encode()
            pause()
    return rows.pieces()


def _subscriber(one: Subscriber) -> Json:
    found = {**peer_facts(one.peer), "connected": one.connected}
    if not one.peer.since:
        # It has never been connected, or is not now: the address is the endpoint.
        found |= dict.fromkeys(("since", "mechanism", "id", "zmtp"))
    if one.left_at is not None:
        found["left_at"] = round(one.left_at, 3)
    return {**found, "lost_topics": [_lost(topic) for topic in one.lost_topics]}


def _lost(one: LostTopic) -> Json:
    return {**topic_names(one.topic), "lost": one.lost, "error": one.error}


def _why_no_subscribers(supervised: SupervisedDevice) -> str:
    if supervised.device.engine == "libzmq" and {"PUB", "XPUB"} & set(supervised.device.sockets.values()):
        return f"device {supervised.name} has engine libzmq, which does not tell what subscribers lost (zmtp does)"
    return f"device {supervised.name} has no subscribers (a PUB or XPUB has some)"


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _object(members: Json, **encoded: list[bytes]) -> list[bytes]:
    """An object of `members`, and of more that have been encoded already in pieces; likewise."""
    pieces = [b"{", ",".join(f"{_text(name)}:{_text(value)}" for name, value in members.items()).encode()]
    for name, some in encoded.items():
        comma = "" if len(pieces) == 2 and not members else ","
        pieces += [f"{comma}{_text(name)}:".encode(), *some]
    return [*pieces, b"}"]
