"""The control socket: PAUSE, RESUME, TERMINATE and STATISTICS, as zmq_proxy_steerable has them.

The protocol is that of libzmq's master branch (src/proxy.cpp after 2023-10-12): commands are single parts; STATISTICS
is answered by eight parts, the other commands by an empty one, and that only where the control socket is a REP, which
must answer. What is not a command is ignored. libzmq 4.3.5, which pyzmq ships, has it wrong: any five bytes resume.

RELOAD is an extension, and a command only where there is a configuration to read again: a REP answers it with an empty
part once that has been done, or with one sentence that says why nothing was changed.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import gevent
import zmq

from ..engine import fork as fork
from ..engine.counters import PumpSnapshot
from ..engine.fair import FairYield
from ..engine.readiness import Readiness, plain_send
from ..errors import GeventRelayError
from ..log import event

log = logging.getLogger("geventrelay")

PAUSE, RESUME, TERMINATE, STATISTICS = COMMANDS = (b"PAUSE", b"RESUME", b"TERMINATE", b"STATISTICS")
RELOAD = b"RELOAD"
STATISTIC = struct.Struct("=Q")
"""How each part of the answer to STATISTICS is packed: an unsigned 64-bit integer in the host's byte order."""


class Controllable(Protocol):
    """What a control socket steers."""

    def pause(self) -> None:
        """Read nothing more."""

    def resume(self) -> None:
        """Go on after `pause`."""

    def terminate(self) -> None:
        """End, soon and without waiting for it."""

    def statistics(self) -> tuple[int, ...]:
        """Eight counts; see `statistics`."""


def statistics(pumps: Iterable[PumpSnapshot], frontend: str) -> tuple[int, ...]:
    """What STATISTICS tells: parts received, bytes received, parts sent, bytes sent; of the frontend, then the backend.

    :param pumps: the device's pumps. :param frontend: the frontend's key; every other socket counts as backend.
    """
    totals = {True: [0, 0, 0, 0], False: [0, 0, 0, 0]}
    for pump in pumps:
        received = totals[pump.source == frontend]
        received[0] += pump.received_parts
        received[1] += pump.received_bytes
        for outlet in pump.outlets:
            sent = totals[outlet.socket == frontend]
            sent[2] += outlet.sent_parts
            sent[3] += outlet.sent_bytes
    return (*totals[True], *totals[False])


class Control:
    """Follows the commands that come in on a control socket.

    :param port: the control socket, a REP, PAIR, ROUTER, PULL or SUB; over a ROUTER, requests have the envelope that a
        DEALER or a REQ gives them, and answers go back in it.
    :param target: what to steer.
    :param device: what it is called in logs.
    :param reload: what RELOAD does, raising `GeventRelayError` where it cannot; None where it is no command. It runs in
        a greenlet of its own, for it may end the one that asks.
    """

    def __init__(
        self,
        port: Readiness,
        target: Controllable,
        *,
        device: str = "proxy",
        reload: Callable[[], object] | None = None,
    ) -> None:
        self._readiness = port
        self._target = target
        self._device = device
        self._reload = reload
        self._type = port.raw.type
        self._made_in = fork.current()

    def run(self) -> None:
        """Follow commands for ever. Yields; raises `zmq.ZMQError` when the socket or the context goes."""
        with FairYield() as turn:
            # In a forked child, any call on the socket would go on for ever.
            while self._made_in == fork.current():
                try:
                    message = [part.bytes for part in self._readiness.receive()]
                except zmq.Again:
                    self._readiness.wait_readable()
                else:
                    self._follow(message)
                    self._readiness.after_write()
                    # Commands that come without a pause must not keep everything else waiting.
                    turn.wait()

    def _follow(self, message: list[bytes]) -> None:
        envelope, command = self._split(message)
        if command == [STATISTICS]:
            if self._type in (zmq.PULL, zmq.SUB):
                self._ignore(command, "this control socket cannot answer")
                return
            self._answer(envelope, [STATISTIC.pack(count) for count in self._target.statistics()])
            return
        log.info(event("control", device=self._device, command=_text(command)))
        if command == [PAUSE]:
            self._target.pause()
        elif command == [RESUME]:
            self._target.resume()
        elif command == [TERMINATE]:
            self._target.terminate()
        elif command == [RELOAD] and self._reload is not None:
            self._follow_reload(self._reload)
            return
        else:
            self._ignore(command, "not a command")
        if self._type == zmq.REP:
            self._answer(envelope, [b""])

    def _follow_reload(self, reload: Callable[[], object]) -> None:
        failures: list[str] = []
        reloading = gevent.spawn(_try, reload, failures)
        if self._type == zmq.REP:
            try:
                reloading.join()
            finally:
                # Also when this greenlet is killed: then its own device is among those that the reload restarts.
                self._answer([], ["; ".join(failures).encode()])

    def _ignore(self, command: list[bytes], reason: str) -> None:
        log.warning(event("ignored", device=self._device, command=_text(command), reason=reason))

    def _split(self, message: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        if self._type != zmq.ROUTER:
            return [], message
        # A REQ puts an empty part between its routing id and what it asks.
        end = 2 if len(message) > 2 and message[1] == b"" else 1
        return message[:end], message[end:]

    def _answer(self, envelope: Sequence[bytes], answer: Sequence[bytes]) -> None:
        parts = [*envelope, *answer]
        try:
            for part in parts[:-1]:
                plain_send(self._readiness.raw, part, zmq.DONTWAIT | zmq.SNDMORE)
            plain_send(self._readiness.raw, parts[-1], zmq.DONTWAIT)
        except zmq.ZMQError as error:
            # Whoever asked has gone, or takes no answers: that must not end what is steered.
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            log.warning(event("reply-failed", device=self._device, reason=error))


def _text(command: list[bytes]) -> str:
    return b" ".join(command)[:80].decode(errors="replace")


def _try(reload: Callable[[], object], failures: list[str]) -> None:
    try:
        reload()
    except GeventRelayError as error:
        # Whoever carries it out logs it too.
        failures.append(str(error))
