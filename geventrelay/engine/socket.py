"""A zmq.green socket that never misses a wake-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq
import zmq.green

from .libzmq import encoded
from .readiness import Readiness


def replace_watcher(socket: zmq.green.Socket[Any], watcher: Any) -> Any:
    """Put `watcher` in the place of the one that a green `socket` has of its own descriptor. Does not yield.

    :param watcher: has `stop` and `close`, which are called when the socket is closed.
    :returns: the one that was there; None if the socket has been closed.
    """
    former, socket._state_event = socket._state_event, watcher
    return former


def watcher_of(socket: zmq.green.Socket[Any]) -> Any:
    """The watcher that a green `socket` has of its own descriptor; None if it has been closed. Does not yield."""
    return socket._state_event


class RelaySocket(zmq.green.Socket):  # type: ignore[type-arg]  # generic for mypy, not when it runs
    """A `zmq.green.Socket` on which one greenlet may read while another writes, and neither misses a wake-up.

    Everything that zmq.green offers works as usual and blocks only the calling greenlet. A caller that makes
    non-blocking calls itself waits with `wait_readable` and `wait_writable`, and calls `after_read` or `after_write`
    after those calls.

    :ivar readiness: what does the waiting. The hook ``_Socket__state_changed`` is zmq.green's private name for what
        runs on every edge and after every call, and overriding it is what makes one persistent watcher per socket
        enough (tests/unit/test_private_names.py fails if pyzmq renames it).
    :ivar over_ipv6: addresses with a name that only IPv6 has; they are connected to over IPv6, each time.
    """

    # pyzmq turns the setting of unknown attributes into socket options, so these are declared here.
    readiness: Readiness = None  # type: ignore[assignment]  # each has one before it can be seen
    over_ipv6: set[str] = None  # type: ignore[assignment]  # likewise
    _state_event: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.readiness = Readiness(self)
        self.over_ipv6 = set()
        super().__init__(*args, **kwargs)
        # zmq.green's own watcher, and straight to the readiness: this runs for every wake-up.
        self.readiness.watcher = watcher_of(self)
        self.readiness.watcher.callback = self.readiness.on_edge

    def __del__(self) -> None:
        # A socket that could not be made, say for want of descriptors, has no watcher, and zmq.green fails to close it.
        readiness: Any = self.readiness
        if readiness is not None and readiness.watcher is not None:
            super().__del__()

    @property
    def readable(self) -> bool:
        """Whether a message can be read now. Does not yield."""
        return self.readiness.readable

    def wait_readable(self) -> None:
        """Yield to the hub until a message can be read, or return at once if one can. May return early."""
        self.readiness.wait_readable()

    def wait_writable(self) -> None:
        """Yield to the hub until a send is worth another try, see `Readiness.wait_writable`. May return early."""
        self.readiness.wait_writable()

    def after_read(self) -> None:
        """Wake a writer whose edge the caller's reads may have taken. Does not yield."""
        self.readiness.after_read()

    def after_write(self) -> None:
        """Wake a reader whose edge the caller's sends may have taken. Does not yield."""
        self.readiness.after_write()

    def bind(self, addr: str | bytes) -> Any:
        """Bind at `addr`, over IPv6 too if it is in brackets. Does not yield; raises as pyzmq does."""
        return self._for_one_address(super().bind, addr)

    def connect(self, addr: str | bytes) -> Any:
        """Connect to `addr`, over IPv6 if it is in brackets or in `over_ipv6`. Does not yield; raises as pyzmq does."""
        return self._for_one_address(super().connect, addr)

    def unbind(self, addr: str | bytes) -> None:
        """Stop listening at `addr`. Does not yield; raises as pyzmq does."""
        super().unbind(encoded(addr))

    def disconnect(self, addr: str | bytes) -> None:
        """End the connection to `addr`. Does not yield; raises as pyzmq does."""
        super().disconnect(encoded(addr))

    def _for_one_address(self, call: Callable[[Any], Any], address: str | bytes) -> Any:
        # libzmq copies a socket's options at each bind and connect (own_t, session_base_t), so no address needs to have
        # IPv6 because another one does: with it, a name that has both kinds of address is tried over IPv6 alone.
        text = address.decode(errors="surrogateescape") if isinstance(address, bytes) else address
        if self.get(zmq.IPV6) or not (text.startswith("tcp://[") or text in self.over_ipv6):
            return call(encoded(address))
        self.set(zmq.IPV6, 1)
        try:
            return call(encoded(address))
        finally:
            self.set(zmq.IPV6, 0)

    def set(self, option: int, optval: Any) -> None:
        """Set the socket option `option` to `optval`; see zmq_setsockopt(3). Does not yield."""
        super().set(option, optval)
        if option == zmq.XPUB_NODROP:
            # xpub_t::xhas_out is true whatever the option says, so POLLOUT is no reason to stay awake.
            self.readiness.pollout_always_set = bool(optval)

    setsockopt = set

    def close(self, linger: int | None = None) -> None:
        """Close the socket; greenlets that wait on it wake up and get ENOTSOCK from their next call.

        :param linger: how long libzmq goes on delivering what is queued, in ms; None leaves the option as it is.
        """
        # Before the descriptor goes: libuv must not be left polling a closed one.
        self.readiness.stop_watching()
        # The same one, unless a `ForeignSocket` has put its own in that place.
        watcher = replace_watcher(self, None)
        if watcher is not None:
            watcher.stop()
            watcher.close()
        super().close(linger)
        self.readiness.wake_both()

    # zmq.green's hooks

    def _Socket__state_changed(self, event: object = None, _evtype: object = None) -> None:
        self.readiness.process_events()

    def _wait_read(self) -> None:
        self.readiness.wait_readable()

    def _wait_write(self) -> None:
        self.readiness.wait_writable()
