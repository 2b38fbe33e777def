"""What the log says of a device that has just come up: where it can be reached."""

from __future__ import annotations

import logging

from ..devices.device import Device
from ..events import event

log = logging.getLogger("geventrelay")


def announce(device: Device) -> None:
    """Log where `device` is bound, where it connects to, and which of that is open to every host."""
    for key, endpoints in device.settings.endpoints.items():
        whose = {"device": device.name, "socket": key}
        addresses = device.endpoints.get(key, [])
        for address in addresses:
            log.info(event("bound", **whose, endpoint=address))
        for endpoint in endpoints:
            if not endpoint.binds:
                log.info(event("connecting", **whose, endpoint=endpoint.address))
        for endpoint, address in zip((one for one in endpoints if one.binds), addresses, strict=False):
            if endpoint.is_public:
                advice = "--interface 127.0.0.1 keeps it to this one"
                log.warning(event("open-to-every-host", **whose, endpoint=address, advice=advice))
