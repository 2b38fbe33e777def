"""The version of the installed package."""

from __future__ import annotations

import functools


@functools.cache
def version() -> str:
    """The package's version; ``unknown`` from a source tree that is not installed."""
    # Imported here, because most runs never need it.
    from importlib import metadata

    try:
        return metadata.version("geventrelay")
    except metadata.PackageNotFoundError:
        return "unknown"
