"""For programs that talk to a relay: a subscriber that misses nothing. docs/gapless.rst shows it.

It loads no gevent, unless it is given a context of `zmq.green`, and nothing of a server.
"""

from ..errors import GaplessError
from .aio import AsyncGaplessSubscriber
from .events import Event, Lost, Message, Position, Start
from .subscriber import GaplessSubscriber

__all__ = [
    "AsyncGaplessSubscriber",
    "Event",
    "GaplessError",
    "GaplessSubscriber",
    "Lost",
    "Message",
    "Position",
    "Start",
]
