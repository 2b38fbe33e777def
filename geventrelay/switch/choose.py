"""The one choice between the core that is compiled and the same in Python."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .contract import Core
from .native.choose import native_core_module


def core_maker() -> Callable[[], Core]:
    """What makes the core of a device. All that it needs is loaded by now. Does not yield."""
    native: Any = native_core_module()
    made: Callable[[], Core]
    if native is not None:
        made = native.NativeCore
    else:
        made = importlib.import_module("geventrelay.switch.core_python").PythonCore
    return made
