"""How long messages take to another device: the words of `geventrelay.backbone.trace`."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...terms import LONGEST_TOPIC_BYTES
from ..terms import MalformedError
from .members import base64_in, base64_of, number_in
from .word import Word

_NUMBERS = ("incoming", "untaken", "waiting", "inbox_us", "device_us", "outbox_us", "dropped", "subscriptions")


@dataclass(frozen=True, slots=True)
class Probe(Word):
    """A device wants to know how long messages take to another one. It comes in order with the packs.

    :ivar number: what the answers are to have.
    :ivar topic: what messages begin with that are asked about; None for none.
    """

    number: int
    topic: bytes | None = None

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        return {"number": self.number, "topic": None if self.topic is None else base64_of(self.topic)}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Probe:
        """See `Word.read`, and there of `relay` and `found`."""
        number, topic = number_in(found.get("number")), found.get("topic")
        if isinstance(topic, str) and len(topic) > 2 * LONGEST_TOPIC_BYTES:
            raise MalformedError("a topic")
        return cls(relay, number, None if topic is None else base64_in(topic, "a topic"))


class Step(enum.IntEnum):
    """How far a `Probe` has come at the device that it was sent to."""

    CAME = 0
    """It has come, and waits behind what has come before it."""
    HANDED = 1
    """What came before it was handed to the device."""
    TAKEN = 2
    """The device has taken that. The answer waits behind what is for the device that has asked."""
    BACK = 3
    """The answer has gone, in order with the packs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced(Word):
    """How far a `Probe` has come. The last step comes in order with the packs, the others at once.

    :ivar number: that of the question.
    :ivar step: how far it has come.
    :ivar incoming: how many messages had come before it and waited for the device.
    :ivar untaken: how many the device had been handed before it and had not taken.
    :ivar waiting: how many messages waited for others when the answer began to wait.
    :ivar inbox_us: how long it was until all that came before it was handed to the device, in microseconds.
    :ivar device_us: how long it was from then on until the device had taken all of it.
    :ivar outbox_us: how long the answer waited to go.
    :ivar dropped: how many messages of others it has dropped since its start, because the device was too slow.
    :ivar wanted: whether the device asks for what begins with the topic; None if there was none, or no topics.
    :ivar subscriptions: how many different topics its subscribers ask for that cover it.
    :ivar room: how many messages with work its workers have room for; None if it has none with work.
    """

    number: int
    step: Step
    incoming: int = 0
    untaken: int = 0
    waiting: int = 0
    inbox_us: int = 0
    device_us: int = 0
    outbox_us: int = 0
    dropped: int = 0
    wanted: bool | None = None
    subscriptions: int = 0
    room: int | None = None

    def members(self) -> dict[str, Any]:
        """See `Word.members`."""
        made = {name: getattr(self, name) for name in ("number", *_NUMBERS, "wanted", "room")}
        return {**made, "step": self.step.value}

    @classmethod
    def read(cls, relay: bytes, found: Mapping[str, Any]) -> Traced:
        """See `Word.read`, and there of `relay` and `found`."""
        step, wanted, room = number_in(found.get("step")), found.get("wanted"), found.get("room")
        if step > max(Step) or not (wanted is None or isinstance(wanted, bool)):
            raise MalformedError("how far a probe has come")
        return cls(
            relay=relay,
            number=number_in(found.get("number")),
            step=Step(step),
            wanted=wanted,
            room=None if room is None else number_in(room),
            **{name: number_in(found.get(name)) for name in _NUMBERS},
        )
