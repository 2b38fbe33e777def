"""pyzmq's `zmq.devices` classes, under the name that programs import: see `geventrelay.dropin.classes`."""

from ..dropin import classes
from ..dropin.classes import *  # noqa: F403

__all__ = classes.__all__
