"""The options that say how much may come in within a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError
from ..terms import RatePer, WhenOverRate
from .checks import one_of, whole
from .device_options import DeviceGroup
from .option import option

_RATES = ("max_rate", "max_rate_bytes")


@dataclass(frozen=True, kw_only=True)
class RateOptions(DeviceGroup):
    """How much may come in at each socket. Of subscribers, ``subscriber-rate`` bounds what they send."""

    __slots__ = ()

    title = "Rates"

    max_rate: int = option(
        whole(0),
        "messages that may come in within a second, and at once; 0 is no limit",
        default=0,
        unit="messages",
        bound=True,
        rare=True,
    )
    max_rate_bytes: int = option(
        whole(0, 2**62),
        "bytes of messages that may come in within a second, and at once; 0 is no limit",
        default=0,
        name="max-rate-bytes",
        bound=True,
        rare=True,
    )
    max_rate_per: RatePer | str = option(
        one_of(RatePer),
        "what may send that much: all peers of a device, each user, or each peer",
        default=RatePer.DEVICE,
        metavar="WHAT",
        rare=True,
        values={
            "device": "all peers of a socket together",
            "user": "all connections of a user; peers without a name are one (engine zmtp)",
            "peer": "each connection (engine zmtp)",
        },
        on_libzmq=(RatePer.DEVICE,),
    )
    when_over_rate: WhenOverRate | str = option(
        one_of(WhenOverRate),
        "when more comes in",
        default=WhenOverRate.WAIT,
        metavar="POLICY",
        rare=True,
        values={
            "wait": "it is read later; senders have to wait",
            "drop": "drop it, and count it",
        },
    )

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """What is said of a rate needs one.

        :param values: those settings that are right, by field.
        """
        if any(values.get(name, 1) for name in _RATES):
            return
        for name, default in (("max_rate_per", RatePer.DEVICE), ("when_over_rate", WhenOverRate.WAIT)):
            if values.get(name, default) is not default:
                written = name.replace("_", "-")
                yield SettingsError("max_rate", f"1 or more where {written} is given and max-rate-bytes is not", 0)
                return
