"""pyzmq's `device`, `proxy`, `proxy_steerable` and `monitored_queue` for programs on gevent.

Same signatures, arguments and results; the difference is that they block the calling greenlet and not the hub. They
take green sockets and plain ones alike, which go on belonging to the caller: nobody else may use them meanwhile, and
they are as usable as before when the call ends. It ends with `zmq.ZMQError` when a socket is closed (ENOTSOCK) or the
context is terminated (ETERM), with 0 on TERMINATE, and when the greenlet is killed.

Where the destination is full, one message per direction has been read and not sent. After TERMINATE it has a second to
find room; however the call ends, it is offered once more. If that fails too it is lost, and a warning says so. What
has not been read stays in the caller's socket.
"""

from __future__ import annotations

from typing import Any

import zmq

from .proxy_run import ProxyRun

Socket = zmq.Socket[Any]


def proxy(frontend: Socket, backend: Socket, capture: Socket | None = None) -> int:
    """Join two sockets until one of them or the context goes; `zmq.proxy` (zmq_proxy(3)). Yields.

    :param frontend: one side; `backend` is the other. With the same socket on both, what comes in goes out there again.
    :param capture: gets every message of both directions, all parts; None for no copy. What it cannot take is dropped
        and counted, and never holds up the traffic (libzmq's does).
    :raises zmq.ZMQError: ENOTSOCK or ETERM, which is how it ends; at once ENOTSUP, if nothing can go either way.
    :raises ForkedError: in a process forked while it runs, to the copy of the caller there.
    """
    return proxy_steerable(frontend, backend, capture)


def proxy_steerable(
    frontend: Socket, backend: Socket, capture: Socket | None = None, control: Socket | None = None
) -> int:
    """`proxy` that follows commands; `zmq.proxy_steerable` (zmq_proxy_steerable(3)). Yields.

    :param frontend: one side; `backend` is the other. :param capture: as for `proxy`.
    :param control: a REP, PAIR, ROUTER, PULL or SUB on which PAUSE, RESUME, TERMINATE and STATISTICS come; None for
        none. See `geventrelay.components.control` for the protocol, which is that of libzmq's master branch.
    :returns: 0, after TERMINATE.
    :raises zmq.ZMQError: ENOTSOCK, ETERM or ENOTSUP; ForkedError likewise as for `proxy`.
    """
    return ProxyRun(frontend, backend, capture, control).run()


def device(device_type: int, frontend: Socket, backend: Socket | int = -1) -> int:
    """The old name of `proxy`; `zmq.device`. Yields.

    :param device_type: `zmq.QUEUE`, `zmq.FORWARDER` or `zmq.STREAMER`; as in pyzmq, all three do the same.
    :param frontend: one side. :param backend: the other; -1 is the frontend again.
    :raises zmq.ZMQError: ENOTSOCK or ETERM, which is how it ends.
    """
    return proxy(frontend, frontend if isinstance(backend, int) else backend)


def monitored_queue(
    in_socket: Socket,
    out_socket: Socket,
    mon_socket: Socket,
    in_prefix: bytes = b"in",
    out_prefix: bytes = b"out",
) -> int:
    """`proxy` whose copies say where they come from; `zmq.devices.monitored_queue`. Yields.

    :param in_socket: one side; `out_socket` is the other. If both are ROUTER, the first two parts of each message,
        the sender's routing id and the addressee's, are swapped on the way.
    :param mon_socket: gets ``[prefix, *parts]`` of every message as it is sent on; as for `proxy`, it never holds up
        the traffic.
    :param in_prefix: the first part of the copies of what came in at `in_socket`; `out_prefix` likewise.
    :raises TypeError: if a prefix is not bytes.
    :raises zmq.ZMQError: ENOTSOCK or ETERM, which is how it ends.
    """
    for name, prefix in (("in_prefix", in_prefix), ("out_prefix", out_prefix)):
        if not isinstance(prefix, bytes):
            raise TypeError(f"{name}: expected bytes, got {prefix!r}")
    swap = in_socket.type == out_socket.type == zmq.ROUTER
    return ProxyRun(in_socket, out_socket, mon_socket, prefixes=(in_prefix, out_prefix), swap=swap).run()
