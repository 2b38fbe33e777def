"""The options that say what a device keeps of what it has published: last values, a log for replay, and topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..endpoints import LOOPBACK
from ..errors import SettingsError
from ..settings.checks import endpoints, flag, one_of, prefixes, seconds, whole
from ..settings.device_options import DeviceGroup, Endpoints
from ..settings.option import option, options_of
from ..terms import ReplayProtocol
from .replay_size import ReplaySize, replay_size

MOST_TOPICS = 10_000
"""How many topics may be counted: all of them may be asked for at once."""

_MOST_BYTES = 2**62

_REPLAY_BYTES = 256 * 1024 * 1024


def _delimiter(name: str, value: Any) -> bytes:
    """Take text or bytes that are not empty: `name` is what to call the input in an error, `value` what was given."""
    if not isinstance(value, (str, bytes)) or not value:
        raise SettingsError(name, "text or bytes, and not empty", value)
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class RetentionOptions(DeviceGroup):
    """What is kept for subscribers that come later. docs/late-joiners.rst says more.

    A base of the patterns with a PUB or XPUB whose messages have topics.
    """

    __slots__ = ()

    title = "Last values of relay and forwarder"

    last_value: bool = option(
        flag,
        "keep the last message of each topic, and give it to subscribers that come later (engine zmtp)",
        default=False,
        rare=True,
        on_libzmq=(False,),
    )
    last_value_topics: int = option(
        whole(1),
        "keep those of so many topics; the oldest make room",
        default=100_000,
        unit="topics",
        live=True,
        bound=True,
        rare=True,
    )
    last_value_bytes: int = option(
        whole(1, _MOST_BYTES),
        "keep so much, and no more than half of the memory budget; the oldest make room",
        default=256 * 1024 * 1024,
        name="last-value-bytes",
        live=True,
        bound=True,
        rare=True,
    )
    last_value_prefix: str | bytes | Sequence[str | bytes] | None = option(
        prefixes,
        "keep only messages that begin with PREFIX; a forwarder asks its publishers for these alone",
        default=None,
        unset="all",
        metavar="PREFIX",
        many=True,
        rare=True,
    )
    last_value_max_age_s: float = option(
        seconds,
        "give no message to a later subscriber that is older; 0 is no limit",
        default=0.0,
        unset="no limit",
        live=True,
        rare=True,
    )
    topic_until: str | bytes | None = option(
        _delimiter,
        "the topic of a message is what stands in its first part before BYTES",
        default=None,
        unset="the first part; of a message of one part, what stands before its first space",
        metavar="BYTES",
        rare=True,
    )

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """What says how last values are kept is a mistake where none are.

        :param values: those settings that are right, by field.
        """
        if values.get("last_value", True):
            return
        # What a topic is counts for `TopicOptions` too.
        counts_topics = bool(values.get("topics", True))
        for one in options_of(RetentionOptions):
            if one.field == "last_value" or values.get(one.field, one.default) == one.default:
                continue
            if one.field != "topic_until":
                yield SettingsError("last_value", f"true where {one.name} is given", False)
            elif not counts_topics:
                yield SettingsError("last_value", f"true, or topics above 0, where {one.name} is given", False)


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(DeviceGroup):
    """What is kept so that subscribers can ask for it again. docs/replay.rst says more.

    A base of the patterns with a PUB or XPUB whose messages have topics.
    """

    __slots__ = ()

    title = "Replay of relay and forwarder"

    replay_size: ReplaySize | str | int | None = option(
        replay_size,
        "keep what is published for the replay port: the newest 100000 messages, 256MB or 10min, say (engine zmtp)",
        default=None,
        unset="none",
        name="replay",
        metavar="SIZE",
        rare=True,
        on_libzmq=(None,),
    )
    replay_bytes: int | None = option(
        whole(1, _MOST_BYTES),
        "keep no more than that in any case, nor more than half of the memory budget",
        default=None,
        unset=f"{_REPLAY_BYTES}; the SIZE, if that is in bytes",
        name="replay-bytes",
        bound=True,
        rare=True,
    )
    replay: Endpoints | None = option(
        endpoints,
        "where subscribers ask for messages that they have missed; a bare PORT is on 127.0.0.1",
        default=None,
        unset="nowhere",
        name="replay-port",
        metavar="ENDPOINT",
        many=True,
        interface=LOOPBACK,
        rare=True,
    )
    stamp: bool = option(
        flag,
        "give subscribers each message with its number as one more part, the last one: 8 bytes, big endian",
        default=False,
        rare=True,
    )
    replay_protocol: ReplayProtocol | str = option(
        one_of(ReplayProtocol),
        "what is spoken at the replay port",
        default=ReplayProtocol.GEVENTRELAY,
        metavar="PROTOCOL",
        values={
            "geventrelay": "numbers of the device; as geventrelay.client",
            "vllm": "numbers of the publisher, in messages of topic, number and payload; as vLLM from 0.26 on",
            "sglang": "likewise, answers without the topic; as SGLang, and vLLM before 0.26",
        },
        rare=True,
    )

    @property
    def log_bytes(self) -> int:
        """How many bytes of messages are kept at most."""
        size = self.replay_size.nbytes if isinstance(self.replay_size, ReplaySize) else 0
        limit = self.replay_bytes or size or _REPLAY_BYTES
        return min(limit, size) if size else limit

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """A log needs a port where it can be asked for, and the other way round.

        :param values: those settings that are right, by field.
        """
        if not {"replay_size", "replay"} <= set(values):
            return
        if values["replay_size"] is None:
            options = (one for one in options_of(ReplayOptions) if one.field != "replay_size")
            given = next((one.name for one in options if values.get(one.field, one.default) != one.default), None)
            if given is not None:
                yield SettingsError("replay_size", f"a size such as 100000 or 10min where {given} is given", None)
        elif values["replay"] is None:
            yield SettingsError("replay", "an endpoint where replay is given", None)
        protocol = values.get("replay_protocol", ReplayProtocol.GEVENTRELAY)
        if values.get("stamp") and protocol is not ReplayProtocol.GEVENTRELAY:
            rule = f"false with replay-protocol {protocol.value}, whose subscribers know messages of three parts alone"
            yield SettingsError("stamp", rule, True)


@dataclass(frozen=True, kw_only=True)
class TopicOptions(DeviceGroup):
    """Which topics are counted. docs/topics.rst says more.

    A base of the patterns with a PUB or XPUB whose messages have topics.
    """

    __slots__ = ()

    title = "Topics of relay and forwarder"

    topics: int = option(
        whole(0, MOST_TOPICS),
        "count messages of the N busiest topics, and losses of each subscriber by topic; 0 is none (engine zmtp)",
        default=0,
        unit="topics",
        metavar="N",
        bound=True,
        rare=True,
        on_libzmq=(0,),
    )


@dataclass(frozen=True, kw_only=True)
class PublishedOptions(TopicOptions, ReplayOptions, RetentionOptions):
    """All of these groups: one base of the patterns that have them."""

    __slots__ = ()
