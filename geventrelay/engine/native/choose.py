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


@functools.cache
def native_module() -> ModuleType | None:
    """`geventrelay.engine.native.burst`, the compiled extension; None where this process uses Python. Does not yield.

    It is used where it was built and loads, unless GEVENTRELAY_BURST asks for ``python``.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    wish = os.environ.get("GEVENTRELAY_BURST", "")
    if wish not in ("", "native", "python"):
        raise SettingsError("GEVENTRELAY_BURST", "native or python", wish)
    if wish == "python":
        return None
    try:
        # By name, since there may be no such file: it is built only where there is a compiler.
        return importlib.import_module("geventrelay.engine.native.burst")
    except ImportError as error:
        if wish == "native":
            raise SettingsError("GEVENTRELAY_BURST", f"python, for there is no other ({error})", wish) from None
        log.info(event("burst", burst="python", reason=error))
    return None


def burst_name() -> str:
    """Which burst this process uses: ``native`` or ``python``.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    return "python" if native_module() is None else "native"
