"""A harness for tests of programs that speak ZeroMQ in greenlets: peers, devices, faults; no sleeps, no fixed ports.

Only the fixtures in `geventrelay.testing.plugin` need pytest.
"""

from .devices import Devices
from .faults import FaultCounts, FaultyDevice
from .leaks import Leftovers
from .links import FaultyLink
from .peer import LOCAL, Peer
from .peers import Peers
from .sync import connected, fence
from .waiting import LIMIT_S, eventually, let_run, within

__all__ = [
    "LIMIT_S",
    "LOCAL",
    "Devices",
    "FaultCounts",
    "FaultyDevice",
    "FaultyLink",
    "Leftovers",
    "Peer",
    "Peers",
    "connected",
    "eventually",
    "fence",
    "let_run",
    "within",
]
