"""The one choice between what is compiled of the engine and the same in Python: made once a process, at first use."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from types import ModuleType

from ...errors import SettingsError
from ...log import event

log = logging.getLogger("geventrelay")


REMEDY = "install a C compiler and the headers of Python, then install geventrelay again"
"""Debian's names of them: gcc and python3-dev."""


def native_module() -> ModuleType | None:
    """`geventrelay.engine.native.burst`, the compiled extension; None where this process uses Python. Does not yield.

    It is used where it was built and loads, unless GEVENTRELAY_BURST asks for ``python``.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    return _choice()[0]


def slow_reason() -> str:
    """Why this process uses the burst in Python without having been asked to; empty if it does not.

    The burst in Python is 3 to 14 times slower: docs/performance.rst has the figures.

    :raises SettingsError: as `native_module` does.
    """
    return _choice()[1]


@functools.cache
def warn_if_slow() -> None:
    """Log once a process that its burst is the slow one, and what to do about it. Does not yield."""
    if reason := slow_reason():
        log.warning(event("slow-burst", burst="python", reason=reason, remedy=REMEDY))


@functools.cache
def _choice() -> tuple[ModuleType | None, str]:
    """The compiled extension or None, and why it is None although nothing asked for that."""
    wish = os.environ.get("GEVENTRELAY_BURST", "")
    if wish not in ("", "native", "python"):
        raise SettingsError("GEVENTRELAY_BURST", "native or python", wish)
    if wish == "python":
        return None, ""
    try:
        # By name, since there may be no such file: it is built only where there is a compiler.
        return importlib.import_module("geventrelay.engine.native.burst"), ""
    except ImportError as error:
        if wish == "native":
            raise SettingsError("GEVENTRELAY_BURST", f"python, for there is no other ({error})", wish) from None
        return None, str(error)


def burst_name() -> str:
    """Which burst this process uses: ``native`` or ``python``.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    return "python" if native_module() is None else "native"
