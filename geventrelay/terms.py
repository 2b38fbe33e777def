"""Terms that several rooms share: what happens to a message that no peer can take, and which part of it is sent."""

from __future__ import annotations

import enum


class WhenFull(enum.Enum):
    """What happens to a message that no peer can take now."""

    DROP = "drop"
    """It is dropped and counted."""
    BLOCK = "block"
    """It is held, and nothing more is read until it is taken: the senders feel it as backpressure."""


class Payload(enum.Enum):
    """Which part of a message is sent on."""

    AUTO = "auto"
    """SPACE for a message of one part, PARTS for a message of several."""
    SPACE = "space"
    """What follows the first space of the first part (all of it where there is none), and the other parts."""
    PARTS = "parts"
    """Every part but the first; a message of one part goes whole."""
    WHOLE = "whole"
    """The message as it came."""
    SWAP = "swap"
    """Every part, the first two swapped: from one ROUTER to another, sender's id and addressee's id."""
