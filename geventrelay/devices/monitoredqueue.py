"""`monitored_queue`, under the name of its module in pyzmq: ``zmq.devices.monitoredqueue``."""

from ..dropin.functions import monitored_queue

__all__ = ["monitored_queue"]
