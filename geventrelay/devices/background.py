"""pyzmq's `zmq.devices` classes, under the name that programs import: see `geventrelay.dropin.classes`."""

from ..dropin.classes import (
    Device,
    MonitoredQueue,
    Proxy,
    ProxySteerable,
    ThreadDevice,
    ThreadMonitoredQueue,
    ThreadProxy,
    ThreadProxySteerable,
    device,
    monitored_queue,
    proxy,
    proxy_steerable,
)

__all__ = [
    "Device",
    "MonitoredQueue",
    "Proxy",
    "ProxySteerable",
    "ThreadDevice",
    "ThreadMonitoredQueue",
    "ThreadProxy",
    "ThreadProxySteerable",
    "device",
    "monitored_queue",
    "proxy",
    "proxy_steerable",
]
