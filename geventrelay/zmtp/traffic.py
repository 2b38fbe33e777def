"""What frames mean once the handshake is done: messages, subscriptions and signs of life."""

from __future__ import annotations

from . import commands, socket_types
from .bounds import Bounds
from .errors import Fault, ProtocolError
from .events import Cancel, Event, Message, Ping, Pong, Subscribe
from .frames import Frame

_CANCEL, _SUBSCRIBE = 0, 1


class Traffic:
    """Puts the parts of messages together, and understands commands, which may come between them.

    :param socket_type: this end's.
    :param bounds: what may come.
    """

    def __init__(self, socket_type: str, bounds: Bounds) -> None:
        self._takes_subscriptions = socket_type in socket_types.TO_SUBSCRIBERS
        self._bounds = bounds
        self._parts: list[bytes] = []
        self._message_bytes = 0

    @property
    def within_message(self) -> bool:
        """Whether parts of a message have come, and not all."""
        return bool(self._parts)

    def take(self, frame: Frame) -> Event | None:
        """Take in a `frame`; what it means, if it means something.

        :raises ProtocolError: if it must not come.
        """
        if frame.command:
            return self._obey(commands.parse(frame.body))
        self._message_bytes += len(frame.body)
        if self._message_bytes > self._bounds.message_bytes:
            raise ProtocolError(Fault.UNFINISHED, f"a message: expected at most {self._bounds.message_bytes} bytes")
        self._parts.append(frame.body)
        if len(self._parts) > self._bounds.parts:
            raise ProtocolError(Fault.TOO_MANY_PARTS, f"a message: expected at most {self._bounds.parts} parts")
        if frame.more:
            return None
        parts, self._parts, self._message_bytes = tuple(self._parts), [], 0
        return self._subscription(parts) or Message(parts)

    def _subscription(self, parts: tuple[bytes, ...]) -> Event | None:
        """What a message of one part means that is a subscription, as before ZMTP 3.1; libzmq takes it of all."""
        first = parts[0]
        if not self._takes_subscriptions or len(parts) > 1 or not first or first[0] > _SUBSCRIBE:
            return None
        topic = self._checked_topic(first[1:])
        return Subscribe(topic) if first[0] == _SUBSCRIBE else Cancel(topic)

    def _obey(self, command: commands.Command) -> Event | None:
        """Commands that are not known mean nothing (libzmq's session_base_t::push_msg)."""
        if command.name in (commands.SUBSCRIBE, commands.CANCEL):
            if not self._takes_subscriptions:
                return None
            topic = self._checked_topic(command.data)
            return Subscribe(topic) if command.name == commands.SUBSCRIBE else Cancel(topic)
        if command.name == commands.PING:
            return Ping(*commands.parse_ping(command.data))
        return Pong(command.data) if command.name == commands.PONG else None

    def _checked_topic(self, topic: bytes) -> bytes:
        if len(topic) > self._bounds.topic_bytes:
            raise ProtocolError(
                Fault.TOPIC_TOO_LONG, f"a topic: expected at most {self._bounds.topic_bytes} bytes, got {len(topic)}"
            )
        return topic
