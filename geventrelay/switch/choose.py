"""The one choice between the core that is compiled and the same in Python."""

from __future__ import annotations

import importlib
from typing import Any

from .contract import Core
from .native.choose import native_core_module


def new_core() -> Core:
    """A core for one device. Does not yield."""
    native: Any = native_core_module()
    core: Core
    if native is not None:
        core = native.NativeCore()
    else:
        core = importlib.import_module("geventrelay.switch.core_python").PythonCore()
    return core
