"""The one choice between the core that is compiled and the same in Python."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .budget import shared_account
from .contract import Core
from .native.choose import native_core_module


def core_maker() -> Callable[[], Core]:
    """What makes the core of a device. All that it needs is loaded by now. Does not yield.

    Cores share the memory budget of the hub in which they are made.
    """
    native: Any = native_core_module()
    if native is not None:
        return lambda: native.NativeCore(shared_account(native.NativeAccount))
    python: Any = importlib.import_module("geventrelay.switch.core_python")
    return lambda: python.PythonCore(shared_account(python.Account))
