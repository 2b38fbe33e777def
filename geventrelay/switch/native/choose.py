"""Which core of the switch a process uses: the native one where the native burst is used, else the one in Python."""

from __future__ import annotations

import importlib
from types import ModuleType

from ...engine.native.choose import native_module


def native_core_module() -> ModuleType | None:
    """`geventrelay.switch.native.core`, the compiled extension; None where this process uses Python. Does not yield.

    :raises SettingsError: as `geventrelay.engine.native.choose.native_module` does.
    """
    # By name, since there may be no such file: it is built only where there is a compiler.
    return None if native_module() is None else importlib.import_module("geventrelay.switch.native.core")
