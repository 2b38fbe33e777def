"""Lets every other greenlet run once, and the hub look at its timers and descriptors, before going on."""

from __future__ import annotations

from typing import Any

from gevent.hub import get_hub


def step_back() -> None:
    """Yield to the hub until everything else that was due has had its turn; for a greenlet that has more to do.

    `gevent.sleep` of 0 is no such way under load: gevent runs callbacks in batches of 50 before it looks at anything
    else, so that greenlets which all sleep for 0 keep a timer that is due waiting for dozens of their rounds. A timer
    of 0 comes back after the hub has looked.
    """
    hub: Any = get_hub()
    # Each time another one, closed at once. libuv has every timer that was made in a list until it is closed, started
    # or not, but gevent frees one that is only forgotten: libuv would then write into memory that is another's.
    with hub.loop.timer(0.0) as timer:
        hub.wait(timer)
