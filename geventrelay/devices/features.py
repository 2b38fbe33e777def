"""The features that add components to a device, whatever its pattern: a line for each, in the order of their start."""

from __future__ import annotations

from ..access import rights_file
from ..access.component import SocketGuard
from ..backbone import component as backbone
from ..components import control, tap
from ..components.component import Feature
from ..components.guard import NewGuard
from ..components.replay import NewReplayPort
from ..retention.service import ReplayService

FEATURES: tuple[Feature, ...] = (
    control.FEATURE,
    tap.FEATURE,
    backbone.FEATURE,
)

GRANTS = rights_file.grants
"""What the peers of a device of given settings may do."""

NEW_GUARD: NewGuard = SocketGuard
"""What protects the sockets of a device."""

NEW_REPLAY: NewReplayPort = ReplayService
"""What answers at the replay port of a device."""
