"""What this is: the version that is installed."""

from __future__ import annotations

import functools


@functools.cache
def version() -> str:
    """The package's version; ``unknown`` from a source tree that is not installed."""
    # Here, since most of what runs never asks.
    from importlib import metadata

    try:
        return metadata.version("geventrelay")
    except metadata.PackageNotFoundError:
        return "unknown"
