"""The control socket: PAUSE, RESUME, TERMINATE and STATISTICS, as zmq_proxy_steerable has them.

The protocol is that of libzmq's master branch (src/proxy.cpp after 2023-10-12): commands are single parts; STATISTICS
is answered by eight parts, the other commands by an empty one, and that only where the control socket is a REP, which
must answer. What is not a command is ignored. libzmq 4.3.5, which pyzmq ships, has it wrong: any five bytes resume.

Two commands are extensions. A REP answers each with an empty part once it has been done, or with one sentence that says
why it was not. RELOAD is a command only where there is a configuration to read again. DISCONNECT, with a space and the
number of a peer behind it, ends that peer's connection.
"""

from __future__ import annotations

import itertools
import logging
import re
import struct
from collections.abc import Callable, Iterable, Sequence

import gevent
import zmq

from ..engine import fork as fork
from ..engine.counters import PumpSnapshot
from ..engine.fair import FairYield
from ..engine.readiness import Readiness, plain_send
from ..errors import GeventRelayError, SettingsError
from ..log import event
from ..settings import ControlType, DeviceSettings
from .component import Component, Controllable, Environment, Feature
from .plan import Options, SocketPlan, endpoints_of

log = logging.getLogger("geventrelay")

CONTROL = "control"
"""The key of the socket where commands come in."""

PAUSE, RESUME, TERMINATE, STATISTICS = (b"PAUSE", b"RESUME", b"TERMINATE", b"STATISTICS")
RELOAD = b"RELOAD"
DISCONNECT = b"DISCONNECT"
_PARTS_AT_A_TIME = 1000

STATISTIC = struct.Struct("=Q")
"""How each part of the answer to STATISTICS is packed: an unsigned 64-bit integer in the host's byte order."""

MOST_PART_BYTES = 64 * 1024
"""A peer that sends a control socket a larger part is disconnected (ZMQ_MAXMSGSIZE)."""
MOST_PARTS = 16
"""A command has one part, and over a ROUTER an envelope. What has more parts than this is none, however many it has."""
MOST_WAITING = 100
"""How many messages of each peer wait at a control socket (ZMQ_RCVHWM); then TCP holds the peer back."""


def statistics(pumps: Iterable[PumpSnapshot], frontend: str) -> tuple[int, ...]:
    """What STATISTICS answers: parts and bytes received, parts and bytes sent; of the frontend, then of the backend.

    Does not yield.

    :param pumps: the device's pumps.
    :param frontend: the frontend's key; every other socket counts as backend.
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

    :param readiness: the control socket's, a REP, PAIR, ROUTER, PULL or SUB; over a ROUTER, requests have the envelope
        that a DEALER or a REQ gives them, and answers go back in it.
    :param target: what follows the commands.
    :param device: its name in the log.
    :param reload: what RELOAD does, raising `GeventRelayError` where it cannot; None where it is no command. It runs in
        a greenlet of its own, for it may end the one that asks.
    """

    def __init__(
        self,
        readiness: Readiness,
        target: Controllable,
        *,
        device: str = "proxy",
        reload: Callable[[], object] | None = None,
    ) -> None:
        self._readiness = readiness
        self._target = target
        self._device = device
        self._reload = reload
        self._type = readiness.raw.type
        self._made_in = fork.current()

    def run(self) -> None:
        """Follow commands for ever. Yields; raises `zmq.ZMQError` when the socket or the context goes."""
        with FairYield() as turn:
            # In a forked child, any call on the socket would go on for ever.
            while self._made_in == fork.current():
                try:
                    message = self._receive(turn)
                except zmq.Again:
                    self._readiness.wait_readable()
                else:
                    self._follow(message)
                    self._readiness.after_write()
                    # Commands that come without a pause must not keep everything else waiting.
                    turn.wait()

    def _receive(self, turn: FairYield) -> list[bytes]:
        """One message, of which no more parts are kept than a command can have. Yields if there are very many.

        :raises zmq.Again: if there is none.
        """
        message: list[bytes] = []
        for number in itertools.count(1):
            part = self._readiness.receive_part()
            if len(message) < MOST_PARTS:
                message.append(part.bytes)
            if not part.more:
                break
            if number % _PARTS_AT_A_TIME == 0:
                turn.wait()
        return message

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
        elif (number := _peer_to_disconnect(command)) is not None:
            self._follow_disconnect(number)
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
                # No longer than what a control socket takes itself.
                self._answer([], ["; ".join(failures).encode()[:MOST_PART_BYTES]])

    def _follow_disconnect(self, number: int) -> None:
        try:
            failure = "" if self._target.disconnect(number) else f"no peer has the number {number}"
        except SettingsError as error:
            failure = str(error)
        if failure:
            log.warning(event("not-disconnected", device=self._device, reason=failure))
        if self._type == zmq.REP:
            self._answer([], [failure.encode()])

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
            # The client has gone, or takes no answers: that must not end what it controls.
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            log.warning(event("reply-failed", device=self._device, reason=error))


class ControlComponent(Component):
    """The control socket of a device.

    :param plan: the socket.
    :param environment: the device's.
    """

    key = CONTROL

    def __init__(self, plan: SocketPlan, environment: Environment) -> None:
        self._plan = plan
        self._environment = environment
        self._control: Control | None = None

    def open(self) -> None:
        """Make the socket, and bind or connect it; see `Component.open`."""
        environment = self._environment
        socket = environment.sockets.make(self._plan)
        environment.sockets.open_endpoints(self.key)
        name, reload = environment.settings.name, environment.reload
        self._control = Control(socket.readiness, environment.device, device=name, reload=reload)

    def run(self) -> None:
        """Follow commands; see `Control.run`."""
        assert self._control is not None  # it is opened before it runs
        self._control.run()


def _sockets(settings: DeviceSettings) -> tuple[SocketPlan, ...]:
    if settings.control is None:
        return ()
    kind = zmq.SocketType[ControlType(settings.control_type).value]
    endpoints = endpoints_of(settings.control)
    options: Options = ((zmq.RCVHWM, min(settings.rcvhwm or MOST_WAITING, MOST_WAITING)),)
    if any(endpoint.binds for endpoint in endpoints):
        # Not on one that connects: libzmq never connects again after a part that is too large.
        options += ((zmq.MAXMSGSIZE, MOST_PART_BYTES),)
    if kind == zmq.SUB:
        options += ((zmq.SUBSCRIBE, b""),)
    return (SocketPlan(CONTROL, kind, endpoints, options),)


def _components(environment: Environment) -> tuple[Component, ...]:
    return tuple(ControlComponent(plan, environment) for plan in _sockets(environment.settings))


FEATURE = Feature(_sockets, _components)
"""A control socket for a device whose settings have a `control`."""


def _peer_to_disconnect(command: Sequence[bytes]) -> int | None:
    """The number in a DISCONNECT; None for anything else."""
    found = re.fullmatch(rb"%b ([0-9]{1,18})" % DISCONNECT, command[0]) if len(command) == 1 else None
    return None if found is None else int(found[1])


def _text(command: list[bytes]) -> str:
    return b" ".join(command)[:80].decode(errors="replace")


def _try(reload: Callable[[], object], failures: list[str]) -> None:
    try:
        reload()
    except GeventRelayError as error:
        # The server that carries it out logs it too.
        failures.append(str(error))
