"""The rights of senders: each message is held against what its sender may send.

libzmq puts what a ZAP handler says of a connection on every message that comes over it (RFC 27, *metadata*;
zmq_msg_gets). So what the peer may send stands there, and nothing has to be looked up or kept for a connection.
"""

from __future__ import annotations

import functools
import secrets
import string

import zmq

from ..counters import Drop
from ..grant import Prefixes, allows
from ..outlet import Parts

_LETTERS = string.ascii_letters + string.digits

PROPERTY = "X-R-" + "".join(secrets.choice(_LETTERS) for _ in range(11))
"""The name of the property. A peer that guessed it could give itself rights where a ZAP handler says nothing.

With up to 15 characters, no memory is allocated to look it up (std::string).
"""


_EVERYTHING = ","


def written(prefixes: Prefixes | None) -> str:
    """What a ZAP handler says of a peer whose messages may begin with `prefixes`; None is any. Does not yield."""
    return _EVERYTHING if prefixes is None else "".join(one.hex() + "," for one in prefixes)


@functools.lru_cache(maxsize=1000)
def read(text: str) -> Prefixes:
    """What was `written`, from its `text`. Does not yield."""
    return tuple(map(bytes.fromhex, text.split(",")[:-1]))


class Senders:
    """Lets a message pass that its sender may send. What comes without a word about that may not be sent.

    That is also what comes over inproc, where no handler is asked. native/senders.pxd is the same in C.

    :ivar subscriptions: whether what begins with 0 or 1 passes: in what an XPUB has read, it is a subscription, and at
        the end of a connection one that libzmq cancels without a word about its sender.
    """

    reason = Drop.FORBIDDEN

    def __init__(self, *, subscriptions: bool = False) -> None:
        self.subscriptions = subscriptions

    def passes(self, parts: Parts) -> bool:
        """See `geventrelay.engine.stages.contract.Stage.passes`, and there of `parts`."""
        if self.subscriptions and bytes(parts[0].buffer[:1]) in (b"\0", b"\1"):
            return True
        try:
            text = parts[0].get(PROPERTY)
        except zmq.ZMQError:
            return False
        return text == _EVERYTHING or allows(read(text), parts[0].bytes)
