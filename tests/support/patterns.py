"""Every pattern's command line: what starts it, on free ports."""

from __future__ import annotations

from geventrelay.settings import PATTERNS

EVERY: dict[str, list[str]] = {
    "relay": ["relay", "--sub-port", "0", "--pub-port", "0", "--push-port", "0"],
    "forwarder": ["forwarder", "--frontend", "0", "--backend", "0"],
    "queue": ["queue", "--frontend", "0", "--backend", "0"],
    "streamer": ["streamer", "--frontend", "0", "--backend", "0"],
    "custom": ["custom", "--frontend-type", "PULL", "--frontend", "0", "--backend-type", "PUB", "--backend", "0"],
}
"""The command line of each pattern, by the pattern's name."""

assert set(EVERY) == set(PATTERNS)
