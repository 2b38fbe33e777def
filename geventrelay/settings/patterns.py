"""What a user may set of each pattern: a frozen dataclass for each, validated when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..backbone.options import BackboneOptions, DurableOptions
from ..errors import SettingsError
from ..retention.options import PublishedOptions
from ..terms import Payload, SlowSubscriber, WhenFull
from .checks import endpoints, one_of, prefixes, whole
from .concealed import Unshown
from .described import describe
from .device import DeviceSettings
from .device_options import Endpoints, SubscriberLimits
from .option import Option, option, options_of
from .socket_types import directions

Prefixes = str | bytes | Sequence[str | bytes]
"""One subscription prefix or several; text is encoded as UTF-8, and an empty one takes everything."""


SOCKET_TYPES = (
    "PUB", "SUB", "XPUB", "XSUB", "PUSH", "PULL", "PAIR", "DEALER", "ROUTER", "REQ", "REP", "STREAM"
)  # fmt: skip
"""Every socket type that can be named. `geventrelay.settings.socket_types` knows which of them can be joined."""


_FRONTENDS = "PULL, SUB, XSUB, XPUB, ROUTER, DEALER or PAIR"
_BACKENDS = "PUSH, PUB, XPUB, XSUB, ROUTER, DEALER or PAIR"


def _socket_type(fitting: str) -> Callable[[str, Any], str]:
    """The check of a socket type. Those that are not `fitting` at this side have reasons of their own, said later."""

    def check(name: str, value: Any) -> str:
        text = value.upper() if isinstance(value, str) else value
        if text not in SOCKET_TYPES:
            raise SettingsError(name, f"one of {fitting}", value)
        return str(text)

    return check


def _slow_subscriber() -> Any:
    return option(
        one_of(SlowSubscriber),
        "when the queue of a subscriber is full",
        default=SlowSubscriber.DROP,
        metavar="POLICY",
        values={
            "drop": "it loses the newest message, as with every PUB",
            "drop-oldest": "it loses the oldest message (engine zmtp)",
            "disconnect": "it is disconnected (engine zmtp)",
            "block": "all others wait for it (ZMQ_XPUB_NODROP)",
        },
        on_libzmq=(SlowSubscriber.DROP, SlowSubscriber.BLOCK),
    )


_REPLAY_TYPE = {"replay": "ROUTER"}
"""The socket at which subscribers ask for what they have missed."""

_OF_SUBSCRIBERS = (
    "slow_subscriber", "subscriber_max_age_s", "max_subscriptions", "last_value", "replay_size", "topics",
)  # fmt: skip
"""What is only for devices with a PUB or XPUB."""


def _of_subscribers(cls: type[DeviceSettings], values: Mapping[str, Any]) -> Iterator[Option]:
    """The options of `cls` that are for devices with subscribers, and among `values` are not as by default."""
    options = (one for one in options_of(cls) if one.field in _OF_SUBSCRIBERS)
    return (one for one in options if values.get(one.field, one.default) != one.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay(BackboneOptions, DurableOptions, PublishedOptions, SubscriberLimits, DeviceSettings):
    """SUB -> PUB and PUSH: every subscriber gets each message whole, one puller gets its payload.

    At least one of `pub` and `push` is needed.
    """

    title = "Relay"
    pattern: ClassVar[str] = "relay"
    summary: ClassVar[str] = "SUB -> PUB and/or PUSH: messages for subscribers, their payloads for pullers"
    about: ClassVar[str] = """\
Publishers connect a PUB to the sub port. Each message goes whole to every SUB at the pub port, and its payload
to one PULL at the push port. It needs --pub-port or --push-port, or both."""

    sub: Endpoints = option(endpoints, "where publishers connect", name="sub-port", metavar="PORT", many=True)
    pub: Endpoints | None = option(
        endpoints,
        "where subscribers connect",
        name="pub-port",
        metavar="PORT",
        default=None,
        unset="nowhere",
        many=True,
    )
    push: Endpoints | None = option(
        endpoints, "where pullers connect", name="push-port", metavar="PORT", default=None, unset="nowhere", many=True
    )
    subscribe: Prefixes = option(
        prefixes,
        "only messages that begin with PREFIX",
        default=("",),
        unset="all",
        metavar="PREFIX",
        many=True,
        live=True,
    )
    push_payload: Payload | str = option(
        one_of(Payload, but=(Payload.SWAP,)),
        "which part of a message is its payload",
        default=Payload.AUTO,
        metavar="PART",
        values={
            "space": "what follows the first space of the first part, and the other parts",
            "parts": "all parts but the first; a message of one part goes whole",
            "whole": "the message as it came",
            "auto": "parts; of a message of one part space if it has a topic, else whole",
        },
    )
    push_when_full: WhenFull | str = option(
        one_of(WhenFull),
        "when no puller is connected, or the queue of each is full",
        default=WhenFull.DROP,
        metavar="POLICY",
        values={
            "drop": "drop the payload, and count why",
            "block": "wait; then subscribers wait too, and the publishers' queues fill up",
        },
    )
    slow_subscriber: SlowSubscriber | str = _slow_subscriber()

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {"sub": "SUB", "pub": "PUB", "push": "PUSH", **_REPLAY_TYPE}

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """A relay sends somewhere, and has subscribers where it says what is done for them.

        :param values: those settings that are right, by field.
        """
        if values.get("pub", ()) is None and values.get("push", ()) is None:
            yield SettingsError("push", "an endpoint for push, for pub or for both", Unshown("neither"))
        if values.get("pub", ()) is None:
            for one in _of_subscribers(cls, values):
                yield SettingsError("pub", f"an endpoint where {one.name} is given", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proxy(DeviceSettings):
    """Settings of every pattern with two sides."""

    title = "Sides"

    frontend: Endpoints = option(endpoints, "where traffic comes in", metavar="ENDPOINT", many=True)
    backend: Endpoints = option(endpoints, "where traffic goes out", metavar="ENDPOINT", many=True)


def _subscribe(help: str, unset: str) -> Any:
    return option(prefixes, help, default=None, unset=unset, metavar="PREFIX", many=True, live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarder(BackboneOptions, PublishedOptions, SubscriberLimits, _Proxy):
    """XSUB <-> XPUB: publishers at the frontend, subscribers at the backend, subscriptions travel upstream.

    `subscribe` makes it SUB -> PUB. Drops at a slow subscriber happen inside libzmq, where they cannot be counted;
    engine zmtp counts them.
    """

    title = "Forwarder"
    pattern: ClassVar[str] = "forwarder"
    summary: ClassVar[str] = "XSUB <-> XPUB: messages for subscribers; their subscriptions travel to the publishers"
    about: ClassVar[str] = """\
Publishers connect to the frontend, subscribers to the backend. A publisher sends only what some subscriber wants. With
--subscribe it is SUB -> PUB, and takes the same messages with any subscribers and with none."""

    subscribe: Prefixes | None = _subscribe(
        "take messages that begin with PREFIX, with any subscribers and with none", "what subscribers want"
    )
    slow_subscriber: SlowSubscriber | str = _slow_subscriber()

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        if "subscribe" not in values:
            return dict(_REPLAY_TYPE)
        frontend, backend = ("XSUB", "XPUB") if values["subscribe"] is None else ("SUB", "PUB")
        return {"frontend": frontend, "backend": backend, **_REPLAY_TYPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(BackboneOptions, _Proxy):
    """ROUTER <-> DEALER: any number of REQ clients at the frontend, of REP workers at the backend."""

    title = "Queue"
    pattern: ClassVar[str] = "queue"
    summary: ClassVar[str] = "ROUTER <-> DEALER: requests of clients, answered by workers"
    about: ClassVar[str] = """\
REQ clients connect to the frontend, REP workers to the backend. Each request goes to one worker, and its reply goes
back to the client that asked."""

    requests_per_worker: int | None = option(
        whole(0),
        "give a worker so many requests at a time, and more as it answers; 0 is no limit",
        default=None,
        unset="1 with a backbone, else no limit",
        metavar="N",
        unit="requests",
    )

    @property
    def most_requests_per_worker(self) -> int:
        """How many requests a worker is given at a time; 0 for no limit."""
        if self.requests_per_worker is not None:
            return self.requests_per_worker
        return 0 if getattr(self, "backbone", None) is None else 1

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {"frontend": "ROUTER", "backend": "DEALER"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamer(BackboneOptions, DurableOptions, _Proxy):
    """PULL -> PUSH: tasks from any number of PUSH at the frontend, shared by the PULL workers at the backend."""

    pattern: ClassVar[str] = "streamer"
    summary: ClassVar[str] = "PULL -> PUSH: tasks, shared by workers"
    about: ClassVar[str] = """\
Tasks come in at the frontend, from any number of PUSH. The PULL workers at the backend share them."""

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {"frontend": "PULL", "backend": "PUSH"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom(SubscriberLimits, _Proxy):
    """Any two sockets that can be joined."""

    title = "Custom"
    pattern: ClassVar[str] = "custom"
    summary: ClassVar[str] = "any two socket types that can be joined, e.g. PULL -> PUB"
    about: ClassVar[str] = """\
Joins any two socket types that can work together, e.g. PULL -> PUB. Where both can send and receive, messages travel in
both directions."""

    frontend_type: str = option(_socket_type(_FRONTENDS), f"the type of the frontend: {_FRONTENDS}", metavar="TYPE")
    backend_type: str = option(_socket_type(_BACKENDS), f"the type of the backend: {_BACKENDS}", metavar="TYPE")
    subscribe: Prefixes | None = _subscribe("what a SUB takes: messages that begin with PREFIX", "all messages")
    slow_subscriber: SlowSubscriber | str = _slow_subscriber()

    @classmethod
    def _pattern_types(cls, values: Mapping[str, Any]) -> dict[str, str]:
        return {side: values[f"{side}_type"] for side in ("frontend", "backend") if f"{side}_type" in values}

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """The two sides fit together, and the other options fit to them.

        :param values: those settings that are right, by field.
        """
        types = tuple(cls._pattern_types(values).values())
        if len(types) < 2:
            return
        try:
            directions(*types)
        except SettingsError as error:
            yield error
        if values.get("subscribe") is not None and "SUB" not in types:
            yield SettingsError("subscribe", "a SUB among the two sides", " -> ".join(types))
        if not {"PUB", "XPUB"} & set(types):
            for one in _of_subscribers(cls, values):
                yield SettingsError(one.field, "a PUB or XPUB among the two sides", " -> ".join(types))


PATTERNS: dict[str, type[DeviceSettings]] = {cls.pattern: cls for cls in (Relay, Forwarder, Queue, Streamer, Custom)}
"""The settings class of each pattern, by the pattern's name."""

for _pattern in PATTERNS.values():
    describe(_pattern)
