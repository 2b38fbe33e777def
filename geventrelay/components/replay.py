"""What a device asks of its replay port, which `geventrelay.retention` has: to answer, and to tell what it has done."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..settings import DeviceSettings
from ..switch.contract import Side
from ..switch.driver import Driver
from ..switch.station import Station

REPLAY = "replay"
"""The key of the socket at which subscribers ask for what they have missed."""

EPOCH_BYTES = 16
"""How long is what tells one life of a device from all others."""

MOST_QUEUED_BYTES = 256 * 1024
"""How much of an answer waits for one peer; the rest stays in the log until then."""

MOST_REQUEST_BYTES = 64 * 1024
"""The largest request that is taken."""

MOST_REQUEST_PARTS = 512
"""The most parts of a request."""


class ReplayRefusal(enum.Enum):
    """Why a request at the replay port was not answered with messages."""

    MALFORMED = "malformed"
    """It was not understood."""
    TOO_MANY = "too_many"
    """Too many requests of its peer waited."""


@dataclass(frozen=True, slots=True)
class ReplayCounts:
    """What a replay port has done.

    :ivar requests: how many came, `refused` ones too.
    :ivar messages: how many messages it has sent.
    :ivar lost: of how many it has said that they are kept no more.
    :ivar refused: how many requests it has refused, by reason.
    :ivar readers: how many peers are being answered now.
    """

    requests: int = 0
    messages: int = 0
    lost: int = 0
    refused: Mapping[ReplayRefusal, int] = field(default_factory=dict)
    readers: int = 0


class ReplayPort(Protocol):
    """Answers the peers of a ROUTER from a log, as long as it is not closed. Nothing here yields."""

    def counts(self) -> ReplayCounts:
        """What it has done up to now."""

    def close(self) -> None:
        """Answer nothing more. May be called twice."""


NewReplayPort = Callable[[Driver, Station, Side, DeviceSettings, bytes], ReplayPort]
"""Makes one of a device's driver, the socket that is asked, the side with the log, the settings, and `EPOCH_BYTES`
that tell this life of the device from all others."""
