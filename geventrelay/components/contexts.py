"""The ZeroMQ contexts that devices share.

Each context has threads of its own, so 64 devices with a context each are 128 threads that take turns on the cores:
under load that doubled the processor time of a message. Devices on one hub with as many io threads each share one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import zmq
import zmq.green
from gevent.hub import get_hub

from ..engine import fork as fork
from ..engine.libzmq import terminate
from ..errors import StartError

# libzmq's own limit is 1023, which a few hundred devices reach. A socket that is not there takes 16 bytes.
MAX_SOCKETS = 16_384


@dataclass(slots=True)
class _Shared:
    context: Any
    users: int = 0


# By whose they are: which process, which hub, how many io threads. The hub itself, so that no other has its identity.
_shared: dict[tuple[int, Any, int], _Shared] = {}


def take(io_threads: int) -> zmq.Context[Any]:
    """The context of this hub's devices with so many `io_threads`; to be given back. Does not yield.

    :raises StartError: if there are too few descriptors for a new one.
    """
    key = (fork.current(), get_hub(), io_threads)
    shared = _shared.get(key)
    if shared is None:
        _check_descriptors(io_threads)
        context = zmq.green.Context(io_threads)
        context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        shared = _shared[key] = _Shared(context)
    shared.users += 1
    return shared.context  # type: ignore[no-any-return]


def give_back(context: zmq.Context[Any]) -> None:
    """Give back a `context` from `take`, all of whose user's sockets are closed; the last user ends it. Yields."""
    key = next(key for key, shared in _shared.items() if shared.context is context)
    shared = _shared[key]
    shared.users -= 1
    if not shared.users:
        del _shared[key]
        terminate(context)


def _check_descriptors(io_threads: int) -> None:
    """Try whether a context can have its descriptors: libzmq aborts the process where one is missing (epoll.cpp)."""
    found: list[int] = []
    try:
        # The first socket starts the io threads and the reaper, each with an epoll and an eventfd, and has one itself.
        for _ in range(io_threads + 1 + 1):
            found += os.pipe()
    except OSError as error:
        raise StartError(f"cannot make a ZeroMQ context: {error.strerror}") from error
    finally:
        for descriptor in found:
            os.close(descriptor)
