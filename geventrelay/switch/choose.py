"""The one choice between the core that is compiled and the same in Python."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any

from .contract import Core, SidePlan
from .native.choose import native_core_module


def new_core(types: Collection[str]) -> Core:
    """A core for one device. Does not yield.

    :param types: of its sockets, as ``"PULL"``. What the native core does not speak yet, the one in Python does.
    """
    native: Any = native_core_module()
    if native is not None and _speaks(native.NativeCore(), types):
        core: Core = native.NativeCore()
        return core
    python: Any = importlib.import_module("geventrelay.switch.core_python")
    core = python.PythonCore()
    return core


def _speaks(core: Core, types: Collection[str]) -> bool:
    try:
        for kind in types:
            core.side(SidePlan(kind, kind))
    except ValueError:
        return False
    return True
