"""pyzmq's `device`, `proxy`, `proxy_steerable` and `monitored_queue` for programs on gevent.

Signatures, arguments and results are the same. The difference: these functions block the calling greenlet, not the
hub. They take green sockets and plain ones. The sockets still belong to the caller: nothing else may use them during
the call, and after it they are as before. A call ends with `zmq.ZMQError` when a socket is closed (ENOTSOCK) or the
context is terminated (ETERM), with 0 on TERMINATE, and when the greenlet is killed.

When the destination or the capture is full, one message per direction has been read and not sent. After TERMINATE
there is one second to send it. However the call ends, it tries to send this message once more. Where only the capture
does not take its copy, the message is sent without it: the copy is dropped, and the log has the count. If the
destination does not take the message, it is lost, and the log has a warning. Messages that were not read stay in the
caller's socket.
"""

from __future__ import annotations

from typing import Any

import zmq

from .proxy_run import ProxyRun

Socket = zmq.Socket[Any]


def proxy(frontend: Socket, backend: Socket, capture: Socket | None = None, *, capture_when_full: str = "block") -> int:
    """Join two sockets until one of them is closed or the context is terminated; `zmq.proxy` (zmq_proxy(3)). Yields.

    :param frontend: one side. The same socket on both sides sends back what comes in.
    :param backend: the other side.
    :param capture: gets a copy of every message of both directions, all parts, before the message is sent; None for no
        copy.
    :param capture_when_full: what happens while the capture cannot take a copy, e.g. a PUSH without a peer. "block":
        the traffic waits, as in libzmq (proxy.cpp, capture). "drop": the copy is dropped and counted, and nothing
        waits. What libzmq drops by itself (a PUB's messages, say) is dropped either way.
    :raises ValueError: if `capture_when_full` is neither.
    :raises zmq.ZMQError: ENOTSOCK or ETERM at the end; ENOTSUP at once, if no message can go either way; EFSM at the
        first message that a REP, or the second one that a REQ, would have to copy, unless it may drop.
    :raises ForkedError: in a child that was forked during the call, for the copy of the caller there.
    """
    run = ProxyRun(frontend, backend, capture, capture_when_full=capture_when_full)
    # An error that the caller keeps has this frame in its traceback, and must not keep the sockets by it.
    del frontend, backend, capture
    return run.run()


def proxy_steerable(
    frontend: Socket,
    backend: Socket,
    capture: Socket | None = None,
    control: Socket | None = None,
    *,
    capture_when_full: str = "block",
) -> int:
    """`proxy` that follows commands; `zmq.proxy_steerable` (zmq_proxy_steerable(3)). Yields.

    :param frontend: one side.
    :param backend: the other side.
    :param capture: as for `proxy`.
    :param control: a REP, PAIR, ROUTER, PULL or SUB on which PAUSE, RESUME, TERMINATE and STATISTICS come; None for
        none. See `geventrelay.components.control` for the protocol, which is that of libzmq's master branch. They are
        followed while the traffic waits for the capture, too.
    :param capture_when_full: as for `proxy`.
    :returns: 0, after TERMINATE.
    :raises ValueError: as for `proxy`.
    :raises zmq.ZMQError: ENOTSOCK, ETERM, ENOTSUP or EFSM, as for `proxy`.
    :raises ForkedError: as for `proxy`.
    """
    run = ProxyRun(frontend, backend, capture, control, capture_when_full=capture_when_full)
    del frontend, backend, capture, control
    return run.run()


def device(device_type: int, frontend: Socket, backend: Socket | int = -1) -> int:
    """The old name of `proxy`; `zmq.device`. Yields.

    :param device_type: `zmq.QUEUE`, `zmq.FORWARDER` or `zmq.STREAMER`; as in pyzmq, all three do the same.
    :param frontend: one side.
    :param backend: the other side; -1 is the frontend again.
    :raises zmq.ZMQError: ENOTSOCK or ETERM at the end.
    """
    run = ProxyRun(frontend, frontend if isinstance(backend, int) else backend)
    del frontend, backend
    return run.run()


def monitored_queue(
    in_socket: Socket,
    out_socket: Socket,
    mon_socket: Socket,
    in_prefix: bytes = b"in",
    out_prefix: bytes = b"out",
    *,
    capture_when_full: str = "block",
) -> int:
    """`proxy` with copies that say where they come from; `zmq.devices.monitored_queue`. Yields.

    :param in_socket: one side. If both sides are ROUTER, the first two parts of each message, the routing ids of
        sender and receiver, are swapped on the way.
    :param out_socket: the other side.
    :param mon_socket: gets ``[prefix, *parts]`` of every message as it is sent; the capture of `proxy`.
    :param in_prefix: the first part of the copies of messages that came in at `in_socket`.
    :param out_prefix: the same for `out_socket`.
    :param capture_when_full: as for `proxy`, for `mon_socket`.
    :raises ValueError: as for `proxy`.
    :raises TypeError: if a prefix is not bytes.
    :raises zmq.ZMQError: ENOTSOCK or ETERM at the end; EFSM, as for `proxy`.
    """
    for name, prefix in (("in_prefix", in_prefix), ("out_prefix", out_prefix)):
        if not isinstance(prefix, bytes):
            raise TypeError(f"{name}: expected bytes, got {prefix!r}")
    swap = in_socket.type == out_socket.type == zmq.ROUTER
    prefixes = (in_prefix, out_prefix)
    run = ProxyRun(in_socket, out_socket, mon_socket, prefixes=prefixes, swap=swap, capture_when_full=capture_when_full)
    del in_socket, out_socket, mon_socket
    return run.run()
