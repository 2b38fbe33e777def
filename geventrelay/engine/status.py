"""Why a burst ended."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """Why a burst ended, and with it what its pump does next."""

    SOURCE_EMPTY = 0
    """There was nothing more to read: wait for the source."""
    OUTLET_FULL = 1
    """An outlet that blocks has not taken the message in hand: wait for that outlet."""
    BUDGET_SPENT = 2
    """There may be more: let the other greenlets run first."""
