"""How much may come in at a socket, from the device's settings. Pure."""

from __future__ import annotations

from ..engine.rate import RateLimit
from ..settings import DeviceSettings
from ..terms import WhenOverRate


def rate_limit(settings: DeviceSettings) -> RateLimit | None:
    """What may come in within a second at each socket of a device of `settings`; None for no limit. Does not yield."""
    if not (settings.max_rate or settings.max_rate_bytes):
        return None
    drops = settings.when_over_rate is WhenOverRate.DROP
    return RateLimit(settings.max_rate, settings.max_rate_bytes, drops=drops)
