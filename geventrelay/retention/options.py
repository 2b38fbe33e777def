"""The options that say which last values a device keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError
from ..settings.checks import flag, prefixes, seconds, whole
from ..settings.device_options import DeviceGroup
from ..settings.option import option, options_of

_MOST_BYTES = 2**62


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
        for one in options_of(RetentionOptions):
            if one.field != "last_value" and values.get(one.field, one.default) != one.default:
                yield SettingsError("last_value", f"true where {one.name} is given", False)
