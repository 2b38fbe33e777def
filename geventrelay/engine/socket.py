"""A zmq.green socket that never misses a wake-up."""

from __future__ import annotations

from typing import Any

import zmq
import zmq.green

from .port import Port


class RelaySocket(Port, zmq.green.Socket):  # type: ignore[type-arg]  # generic for mypy, not when it runs
    """A `zmq.green.Socket` on which one greenlet may read while another writes, and neither oversleeps.

    Everything that zmq.green offers works as usual and blocks only the calling greenlet. Pumps use `wait_readable` and
    `wait_writable` around non-blocking calls of their own, and `after_read` or `after_write` when they have made some.

    The hook ``_Socket__state_changed`` is zmq.green's private name for what runs on every edge and after every call;
    overriding it is what makes one persistent watcher per socket enough (tests/unit/test_private_names.py fails if
    pyzmq renames it).
    """

    # pyzmq turns the setting of unknown attributes into socket options, so this one is declared here.
    _state_event: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._set_up_port()
        super().__init__(*args, **kwargs)

    @property
    def raw(self) -> RelaySocket:  # type: ignore[override]  # read-only here
        """The socket itself."""
        return self

    def set(self, option: int, optval: Any) -> None:
        """Set a socket `option` to `optval`; see zmq_setsockopt(3). Does not yield."""
        super().set(option, optval)
        if option == zmq.XPUB_NODROP:
            # xpub_t::xhas_out is true whatever the option says, so POLLOUT is no reason to stay awake.
            self._pollout_lies = bool(optval)

    setsockopt = set

    def close(self, linger: int | None = None) -> None:
        """Close the socket; greenlets that wait on it wake up and get ENOTSOCK from their next call. Does not yield.

        :param linger: for how long libzmq goes on delivering what is queued, in ms; None leaves the option as it is.
        """
        # Before the descriptor goes: libuv must not be left polling a closed one.
        self._stop_watching()
        super().close(linger)
        self._wake_both()

    def _stop_watching(self) -> None:
        watcher, self._state_event = self._state_event, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    # zmq.green's hooks

    _Socket__state_changed = Port._on_edge

    def _wait_read(self) -> None:
        self.wait_readable()

    def _wait_write(self) -> None:
        self.wait_writable()
