"""Which engine moves a device's messages: what its settings say, or the environment where they leave it open."""

from __future__ import annotations

import logging
import os

from ..errors import SettingsError
from ..log import event
from ..settings import DeviceSettings, Queue
from ..terms import Engine

log = logging.getLogger("geventrelay")

VARIABLE = "GEVENTRELAY_ENGINE"
"""The environment variable with the engine of devices whose settings say ``auto``."""


def default_engine() -> Engine:
    """The engine of a device that does not choose, where it can have it: LIBZMQ or ZMTP. Does not yield.

    :raises SettingsError: if the environment names no engine.
    """
    wish = os.environ.get(VARIABLE, "") or Engine.AUTO.value
    if wish not in [one.value for one in Engine]:
        raise SettingsError(VARIABLE, "one of " + ", ".join(one.value for one in Engine), wish)
    return Engine.ZMTP if wish == Engine.ZMTP.value else Engine.LIBZMQ


def engine_of(settings: DeviceSettings) -> Engine:
    """The engine of a device of `settings`: LIBZMQ or ZMTP. Does not yield.

    A device that does not choose has ZMTP where one of its options needs that, whatever the environment says. It has
    ZMTP with rights too, and with a number of requests for each worker, if it can. Where the environment alone asks for
    one that cannot do what the device needs, it is LIBZMQ.

    :raises SettingsError: if the environment names no engine.
    """
    return _choice(settings)[0]


def log_engine(settings: DeviceSettings) -> None:
    """Log which engine a device of `settings` has that does not choose, if that is not the default, and why."""
    engine, reason = _choice(settings)
    if reason:
        level = logging.INFO if engine is Engine.ZMTP else logging.DEBUG
        log.log(level, event("engine", device=settings.name, engine=engine.value, reason=reason))


def _choice(settings: DeviceSettings) -> tuple[Engine, str]:
    """The engine, and why it is neither the one that was chosen nor the default; empty if it is."""
    if settings.engine is not Engine.AUTO:
        return Engine(settings.engine), ""
    by_default = default_engine()
    need = next(settings.engine_needs(), None)
    if need is not None:
        return Engine.ZMTP, f"{need} needs it"
    wish = ""
    if settings.rights is not None:
        by_default, wish = Engine.ZMTP, f"rights {settings.rights}: it keeps subscribers to theirs too"
    elif isinstance(settings, Queue) and settings.most_requests_per_worker:
        most = settings.most_requests_per_worker
        by_default, wish = Engine.ZMTP, f"requests-per-worker {most}: it knows which worker has which request"
    misfit = next(settings.engine_misfits(), None) if by_default is Engine.ZMTP else None
    if misfit is None:
        return by_default, wish
    # As a user writes the option.
    return Engine.LIBZMQ, f"{misfit.name.replace('_', '-')}: expected {misfit.rule}, got {misfit.value}"
