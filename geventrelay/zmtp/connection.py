"""One end of a connection: takes bytes, gives events, and has bytes to send.

What comes in which state, and where that leads::

    GREETING ---- ZMTP 3.x -----------> HANDSHAKE ---- mechanism is through ---+
        |                                                                      v
        +--- ZMTP 1.0 or 2.0 --------> ROUTING_ID ---- a frame -----------> TRAFFIC

An error ends it: nothing that comes later can be understood. A mechanism that asks who is there gives `Credentials`
within the handshake, which then waits for `allow` or `deny`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping

from . import commands, frames, greeting, introduction, socket_types
from .bounds import DEFAULT_BOUNDS, Bounds
from .errors import Fault, ProtocolError
from .events import Event, Peer, Ping, Ready, Subscribe
from .frames import Frame, FrameReader
from .greeting import Version
from .introduction import MOST_ROUTING_ID_BYTES
from .mechanism import Mechanism, Null
from .outgoing import Outgoing
from .session import SEALED_BYTES
from .traffic import Traffic

_CANCEL, _SUBSCRIBE = 0, 1


class State(enum.Enum):
    """How far a connection has come; see the picture above."""

    GREETING = enum.auto()
    HANDSHAKE = enum.auto()
    ROUTING_ID = enum.auto()
    TRAFFIC = enum.auto()
    FAILED = enum.auto()


class Connection:
    """One end of a connection of ZMTP.

    After each `receive`, call `next_event` until it returns None, and send what `to_send` has.

    :param socket_type: this end's, as ``"PULL"``.
    :param routing_id: what this end calls itself, at most 255 bytes; told by REQ, DEALER and ROUTER alone.
    :param mechanism: makes this end's part in the handshake, of what this end says of itself.
    :param legacy_peers: whether peers that speak ZMTP 1.0 and 2.0 may connect. It costs a round trip: the greeting is
        held back until the other end's first bytes have come.
    :param bounds: what the other end may send.
    :raises ValueError: if there is no such type, or `routing_id` is too long.
    :ivar state: how far it has come.
    :ivar peer: what is known of the other end; None before `Ready`.
    """

    def __init__(
        self,
        socket_type: str,
        routing_id: bytes = b"",
        *,
        mechanism: Callable[[Mapping[str, bytes]], Mechanism] = Null,
        legacy_peers: bool = False,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        if socket_type not in socket_types.FITTING:
            raise ValueError(f"socket type: expected one of {', '.join(socket_types.FITTING)}, got {socket_type!r}")
        if len(routing_id) > MOST_ROUTING_ID_BYTES:
            raise ValueError(f"routing id: expected at most {MOST_ROUTING_ID_BYTES} bytes, got {len(routing_id)}")
        self.state = State.GREETING
        self.peer: Peer | None = None
        self._type = socket_type
        self._routing_id = routing_id if socket_type in socket_types.TELL_ROUTING_ID else b""
        self._mechanism = mechanism(introduction.properties(socket_type, self._routing_id))
        self._legacy = legacy_peers
        self._bounds = bounds
        self._version = Version.V3_1
        self._received = bytearray()
        self._reader = self._new_reader(Version.V3_1)
        self._traffic = Traffic(socket_type, bounds)
        self._events: list[Event] = []
        self._outgoing = Outgoing()
        self._outgoing.put(greeting.signature(self._routing_id))
        # Of the greeting, what the other end must have spoken first for.
        self._held_back = [
            greeting.MAJOR,
            greeting.rest_of_greeting(self._mechanism.name, as_server=self._mechanism.as_server),
        ]
        self._legacy_type: str | None = None
        if not legacy_peers:
            self._greet(hold_back=0)

    @property
    def mechanism(self) -> str:
        """The name of the mechanism, as ``"NULL"``."""
        return self._mechanism.name

    def to_send(self) -> bytes:
        """What is to be sent to the other end; it is then no more here."""
        return self._outgoing.take()

    def receive(self, data: bytes) -> None:
        """Take in `data` that has come from the other end. It has no effect before `next_event`."""
        if self.state is State.GREETING:
            self._received += data
        else:
            self._reader.feed(data)

    def next_event(self) -> Event | None:
        """The next event; None if more has to come first.

        :raises ProtocolError: if the other end has sent what it must not; `state` is then FAILED for good.
        """
        if self.state is State.FAILED:
            return None
        try:
            while not self._events:
                if not self._step():
                    return None
        except ProtocolError:
            self.state = State.FAILED
            raise
        return self._events.pop(0)

    @property
    def asks(self) -> bool:
        """Whether it waits for `allow` or `deny`."""
        return self.state is State.HANDSHAKE and self._mechanism.waits

    def allow(self) -> None:
        """Go on with the handshake after `Credentials`: the other end may come in.

        :raises ValueError: if no verdict is waited for.
        :raises ProtocolError: if the other end does not fit all the same; `state` is then FAILED for good.
        """
        try:
            self._go_on(self._mechanism.allow())
        except ProtocolError:
            self.state = State.FAILED
            raise

    def deny(self, status: int) -> None:
        """End the handshake after `Credentials`: send what `to_send` has, and close.

        :param status: see `Mechanism.deny`.
        :raises ValueError: if no verdict is waited for.
        """
        for command in self._mechanism.deny(status):
            self._outgoing.put_command(command)
        self.state = State.FAILED

    def end(self) -> None:
        """Nothing more comes.

        :raises ProtocolError: CUT, if that is within the handshake, a frame or a message.
        """
        if self.state is State.FAILED:
            return
        whole = self.state is State.TRAFFIC and not self._reader.unread and not self._traffic.within_message
        state, self.state = self.state, State.FAILED
        if not whole:
            what = "a message" if state is State.TRAFFIC else f"the {state.name.lower().replace('_', ' ')}"
            raise ProtocolError(Fault.CUT, f"the connection has ended within {what}")

    def take_rest(self) -> bytes:
        """What has come and is no whole frame, for a reader that goes on in the place of this one.

        :raises ValueError: before `Ready`, and within a message.
        """
        if self.state is not State.TRAFFIC or self._traffic.within_message:
            raise ValueError(f"what has come can be taken between messages, got state {self.state.name}")
        return self._reader.take_rest()

    def send(self, parts: Iterable[bytes]) -> None:
        """Have a message sent.

        :param parts: at least one.
        :raises ValueError: before `Ready`, or without parts.
        """
        self._require_traffic()
        self._outgoing.put_message(parts, v1_0=self._version is Version.V1_0)

    def subscribe(self, topic: bytes) -> None:
        """Ask for the messages that begin with `topic`. With ZMTP 3.1 that is a command, before it a message."""
        self._send_subscription(commands.SUBSCRIBE, _SUBSCRIBE, topic)

    def cancel(self, topic: bytes) -> None:
        """Take one `subscribe` of the same `topic` back."""
        self._send_subscription(commands.CANCEL, _CANCEL, topic)

    def ping(self, ttl_ds: int, context: bytes = b"") -> None:
        """Ask for a sign of life: a `Pong` is to come with the same `context`.

        :param ttl_ds: see `commands.ping`.
        :raises ValueError: before `Ready`, and if the other end speaks no ZMTP 3.1.
        """
        self._require_traffic()
        if self._version is not Version.V3_1:
            raise ValueError(f"PING: expected a peer with ZMTP 3.1, got one with {self._version}")
        self._outgoing.put_command(commands.ping(ttl_ds, context))

    # The greeting

    def _greet(self, hold_back: int) -> None:
        """Send the greeting, but so many of its pieces."""
        while len(self._held_back) > hold_back:
            self._outgoing.put(self._held_back.pop(0))

    def _step(self) -> bool:
        """Go on by one frame, or by the greeting; whether there was one."""
        if self.state is State.GREETING:
            return self._take_greeting()
        frame = self._reader.next()
        if frame is None:
            return False
        _TAKERS[self.state](self, frame)
        return True

    def _take_greeting(self) -> bool:
        received = bytes(self._received)
        versioned = greeting.is_versioned(received)
        if versioned:
            # With ZMTP 2.0, something else follows the major version.
            later = received[greeting.SIGNATURE_BYTES :][:1]
            self._greet(hold_back=1 if later in (b"", b"\x01") else 0)
        elif versioned is False and not self._legacy:
            raise ProtocolError(
                Fault.NOT_ZMTP, f"expected a greeting of ZMTP, which begins with ff, got {received[:10].hex(' ')}"
            )
        found = greeting.parse(received)
        if found is None:
            return False
        if found.version.is_legacy and not self._legacy:
            raise ProtocolError(Fault.NOT_ZMTP, f"expected ZMTP 3.0 or later, got {found.version}")
        self._version = found.version
        self._reader = self._new_reader(found.version)
        self._reader.feed(received[found.size :])
        self._received.clear()
        if found.version.is_legacy:
            self._begin_legacy(found)
        else:
            self._begin_handshake(found)
        return True

    def _begin_handshake(self, found: greeting.Greeting) -> None:
        if found.mechanism != self._mechanism.name:
            raise ProtocolError(
                Fault.WRONG_MECHANISM, f"mechanism: expected {self._mechanism.name}, got {found.mechanism!r}"
            )
        if found.as_server and self._mechanism.as_server:
            raise ProtocolError(Fault.WRONG_MECHANISM, f"{found.mechanism}: expected a client, got another server")
        for command in self._mechanism.open():
            self._outgoing.put_command(command)
        self.state = State.HANDSHAKE

    def _begin_legacy(self, found: greeting.Greeting) -> None:
        if found.version is Version.V1_0:
            # The signature was the head of this frame.
            self._outgoing.put(self._routing_id)
        else:
            self._outgoing.put(greeting.rest_of_greeting_2_0(socket_types.NUMBERS.index(self._type)))
            self._outgoing.put(frames.encode(self._routing_id))
            self._legacy_type = socket_types.by_number(found.type_number)
            socket_types.require_fitting(self._type, self._legacy_type)
        self.state = State.ROUTING_ID

    # What frames mean

    def _take_handshake(self, frame: Frame) -> None:
        if not frame.command:
            raise ProtocolError(Fault.BAD_HANDSHAKE, "a handshake: expected a command, got a message")
        waited = self._mechanism.waits
        self._go_on(self._mechanism.receive(commands.parse(frame.body)))
        if self._mechanism.credentials is not None and self._mechanism.waits and not waited:
            self._events.append(self._mechanism.credentials)

    def _go_on(self, answer: list[commands.Command]) -> None:
        """Send what the mechanism answers; the end of the handshake, if it is through."""
        found = self._mechanism.found
        peer = None
        if found is not None:
            peer = introduction.fitting(self._type, self._version, found, self._mechanism.session)
        for command in answer:
            self._outgoing.put_command(command)
        if peer is not None:
            self._ready(peer)

    def _take_routing_id(self, frame: Frame) -> None:
        self._ready(introduction.legacy(self._version, self._legacy_type, frame))
        if self._version is Version.V1_0 and self._type in socket_types.TO_SUBSCRIBERS:
            # Its SUB chooses by itself, and sends no subscriptions (libzmq's _subscription_required).
            self._events.append(Subscribe(b""))

    def _take_traffic(self, frame: Frame) -> None:
        if frame.command and self._version.is_legacy:
            raise ProtocolError(Fault.BAD_FRAME, f"ZMTP {self._version} has no commands, got one")
        if self.peer is not None and self.peer.session is not None:
            frame = self._reader.check(self.peer.session.open(frame))
        event = self._traffic.take(frame)
        if isinstance(event, Ping):
            self._outgoing.put_command(commands.Command(commands.PONG, event.context))
        if event is not None:
            self._events.append(event)

    def _ready(self, peer: Peer) -> None:
        self.peer = peer
        if peer.session is not None:
            self._reader.expect_sealed(SEALED_BYTES)
            self._outgoing.session = peer.session
        self.state = State.TRAFFIC
        self._events.append(Ready(peer))

    # Small things

    def _new_reader(self, version: Version) -> FrameReader:
        return FrameReader(self._bounds.frame_bytes, self._bounds.command_bytes, v1_0=version is Version.V1_0)

    def _require_traffic(self) -> None:
        if self.state is not State.TRAFFIC:
            raise ValueError(f"expected a connection whose handshake is done, got state {self.state.name}")

    def _send_subscription(self, name: bytes, kind: int, topic: bytes) -> None:
        self._require_traffic()
        if self._version is Version.V3_1:
            self._outgoing.put_command(commands.Command(name, topic))
        else:
            self.send([bytes([kind]) + topic])


_TAKERS: dict[State, Callable[[Connection, Frame], None]] = {
    State.HANDSHAKE: Connection._take_handshake,
    State.ROUTING_ID: Connection._take_routing_id,
    State.TRAFFIC: Connection._take_traffic,
}
