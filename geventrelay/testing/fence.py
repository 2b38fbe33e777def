"""A fence: after it, nothing that was sent before it is under way any more."""

from __future__ import annotations

import gevent

from .marks import new_mark
from .peer import Parts, Peer
from .waiting import LIMIT_S, within

# How long a fence has before it is taken for lost: a full queue on the way drops it as it drops everything.
_REPEAT_S = 0.1


def fence(
    sender: Peer, receiver: Peer, *, address: tuple[bytes, ...] = (), prefix: bytes | None = None,
    within_s: float = LIMIT_S,
) -> list[Parts]:  # fmt: skip
    """Send a message of the harness down the way from `sender` to `receiver`; returns what came before it.

    ZeroMQ keeps order on a way, so whatever was sent before the fence and is not in the list will never arrive. The
    fence is repeated while it does not arrive, since it can be lost as any message. Where several receivers share the
    messages, put one fence to each. Not for REQ and REP, which cannot send twice in a row. Yields.

    :param address: parts to put before it; the routing id where `sender` is a ROUTER.
    :param prefix: what its body starts with; None is the first prefix to which `receiver` has subscribed, if any.
    :param within_s: for how long at most, in seconds.
    :raises AssertionError: if it does not arrive, with what had come.
    """
    if prefix is None:
        prefix = receiver.subscriptions[0] if receiver.subscriptions else b""
    mark, before = new_mark(), list[Parts]()
    with within(lambda: f"a fence from {sender.state()} at {receiver.state()}", within_s):
        while True:
            sender.send(*address, prefix + mark)
            if gevent.with_timeout(_REPEAT_S, receiver.recv_until, mark, before, timeout_value=False):
                return before
