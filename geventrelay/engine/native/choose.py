"""Which burst this process uses: the native one where it was built, else the one in Python."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Sequence
from typing import Protocol

from ...errors import SettingsError
from ...log import event
from ..burst import Burst
from ..burst_python import PythonBurst
from ..outlet import Outlet
from ..readiness import Readiness

log = logging.getLogger("geventrelay")


class _Maker(Protocol):
    def __call__(self, source: Readiness, outlets: Sequence[Outlet]) -> Burst: ...


def new_burst(source: Readiness, outlets: Sequence[Outlet]) -> Burst:
    """Make the burst that this process uses, from `source` to `outlets`.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    make, _ = _chosen()
    return make(source, outlets)


def burst_name() -> str:
    """Which burst this process uses: ``native`` or ``python``.

    :raises SettingsError: if GEVENTRELAY_BURST asks for one that is not there.
    """
    return _chosen()[1]


@functools.cache
def _chosen() -> tuple[_Maker, str]:
    wish = os.environ.get("GEVENTRELAY_BURST", "")
    if wish not in ("", "native", "python"):
        raise SettingsError("GEVENTRELAY_BURST", "native or python", wish)
    if wish != "python":
        try:
            # By name, since there may be no such file: it is built only where there is a compiler.
            return importlib.import_module("geventrelay.engine.native.burst").NativeBurst, "native"
        except ImportError as error:
            if wish == "native":
                raise SettingsError("GEVENTRELAY_BURST", f"python, for there is no other ({error})", wish) from None
            log.info(event("burst", burst="python", reason=error))
    return PythonBurst, "python"
