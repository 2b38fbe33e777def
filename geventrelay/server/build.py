"""What this is: the version that is installed."""

from __future__ import annotations

import functools
from importlib import metadata


@functools.cache
def version() -> str:
    """The package's version; ``unknown`` from a source tree that is not installed."""
    try:
        return metadata.version("geventrelay")
    except metadata.PackageNotFoundError:
        return "unknown"
