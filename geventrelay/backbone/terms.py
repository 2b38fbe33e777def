"""What packs and words have in common: who sends them, and that they may be no such thing."""

from __future__ import annotations

RELAY_BYTES = 8
"""How long the id of a device is: random bytes, other ones in each of its lives."""

MOST_RELAYS = 1000
"""With how many others one device speaks."""


MOST_COUNT = 2**64 - 1
"""What is shown of a count that others can raise, at most: who reads an answer over HTTP takes no larger one."""


class MalformedError(ValueError):
    """What came from NATS is not understood."""
