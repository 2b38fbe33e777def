"""What devices say to each other over the backbone besides messages: short texts in JSON.

Whatever comes is looked at piece by piece before it counts: it may come from any program that NATS has let in.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..terms import LONGEST_TOPIC_BYTES
from .interest import ID_BYTES, MOST_BYTES, MOST_PREFIXES, Interest, id_of, is_normal

VERSION = 1
"""Devices of another version are not understood."""

RELAY_BYTES = 8
"""How long the id of a device is: random bytes, other ones in each of its lives."""

MOST_RELAYS = 1000
"""With how many others one device speaks."""

MOST_WORD_BYTES = 1024 * 1024
"""What is longer is no word: the largest interest, and a thousand devices that are told of, are far less."""

_LONGEST_HOST = 255
_LONGEST_VERSION = 64
# As a URL of a server without a login may be.
_LONGEST_SERVER = 300
_LONGEST_KEY = 64
_MOST_SOCKETS = 16
_MOST_NUMBER = 2**63


class MalformedError(ValueError):
    """What came from NATS is not understood."""


class UnknownWordError(MalformedError):
    """It is a word that only later versions know: they have more to say to each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a device says of itself, for those who look at the mesh.

    :ivar version: of geventrelay.
    :ivar server: which server of NATS it is connected to, without a login.
    :ivar peers: how many programs are connected to each of its sockets, by the socket's key.
    :ivar received_per_s: how many messages a second it gets from these, of late.
    :ivar sent_per_s: how many it sends to them.
    :ivar waiting: how many messages wait for other devices there.
    :ivar incoming: how many messages from other devices wait for it.
    """

    version: str
    server: str
    peers: Mapping[str, int] = field(default_factory=dict)
    received_per_s: int = 0
    sent_per_s: int = 0
    waiting: int = 0
    incoming: int = 0


_ABOUT_NUMBERS = ("received_per_s", "sent_per_s", "waiting", "incoming")


@dataclass(frozen=True, slots=True)
class Here:
    """There is a device, and this is what it asks for.

    :ivar relay: its id.
    :ivar host: the host that it is on.
    :ivar interest: the name of what it asks for.
    :ivar prefixes: what that is; None where it is left out. A device that does not know it asks.
    :ivar taken: the number of the last `Served` that came from each of the others, by their ids.
    :ivar answer: whether each device is to answer with a word like this, since this one knows none.
    :ivar about: what else it says of itself; None of one that is older, and knows neither `Ping` nor `Probe`.
    """

    relay: bytes
    host: str
    interest: bytes
    prefixes: Interest | None = None
    taken: Mapping[bytes, int] = field(default_factory=dict)
    answer: bool = False
    about: About | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A device does not know what another one asks for, and wants to be told.

    :ivar relay: the id of the one that asks.
    """

    relay: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a stream: before one of its packs.

    :ivar stream: the stream's name.
    :ivar pack: the number of that pack.
    :ivar message: how many messages the packs before it have.
    """

    stream: bytes
    pack: int
    message: int


@dataclass(frozen=True, slots=True)
class Served:
    """From which place on a device sends a stream to another one. It comes in order with the packs.

    :ivar relay: the id of the one that sends.
    :ivar turn: the number of this word, among those to the same device.
    :ivar begins: where the stream begins for it; None if it is sent nothing any more.
    :ivar ended: where the stream that it was sent before ended for it; None if there was none.
    """

    relay: bytes
    turn: int
    begins: Mark | None
    ended: Mark | None


@dataclass(frozen=True, slots=True)
class Gone:
    """A device has stopped.

    :ivar relay: its id.
    """

    relay: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """A device wants an answer at once, to see how long the way there and back takes.

    :ivar relay: its id.
    :ivar number: what the answer is to have.
    """

    relay: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a `Ping`.

    :ivar relay: the id of the one that answers.
    :ivar number: that of the question.
    """

    relay: bytes
    number: int


class WorkKind(enum.Enum):
    """What becomes of messages for one worker each."""

    ONE_WAY = "one-way"
    """They are not answered: those of a streamer, and of the PUSH of a relay."""
    REQUESTS = "requests"
    """They are answered, and have the way back before them: those of a queue."""


@dataclass(frozen=True, slots=True)
class Hungry:
    """Work waits at a device, and none of its own workers takes it.

    :ivar relay: its id.
    :ivar wants: how much credit it can use at once, in messages; 0 if no work waits any more.
    :ivar kind: what becomes of its work: workers of another kind would not know what to do with it.
    """

    relay: bytes
    wants: int
    kind: WorkKind = WorkKind.ONE_WAY


@dataclass(frozen=True, slots=True)
class Grant:
    """A device may send work to another one: credit. Only the last one counts.

    :ivar relay: the id of the one that has workers.
    :ivar turn: the number of this word; it grows.
    :ivar arrived: how many messages with work of the other one have come, or are known to be lost.
    :ivar up_to: how many it may send in all, those that it has sent before included.
    """

    relay: bytes
    turn: int
    arrived: int
    up_to: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What a device has done with its credit. It comes after the packs that it counts.

    :ivar relay: its id.
    :ivar turn: the number of the last `Grant` that it knows of.
    :ivar sent: how many messages with work it has sent to the other one.
    :ivar up_to: how many it will have sent at most, with what it has left of that grant.
    :ivar wants: how much credit it can use, as in `Hungry`.
    """

    relay: bytes
    turn: int
    sent: int
    up_to: int
    wants: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A device wants to know how long messages take to another one. It comes in order with the packs.

    :ivar relay: its id.
    :ivar number: what the answers are to have.
    :ivar topic: what messages begin with that are asked about; None for none.
    """

    relay: bytes
    number: int
    topic: bytes | None = None


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
class Traced:
    """How far a `Probe` has come. The last step comes in order with the packs, the others at once.

    :ivar relay: the id of the one that answers.
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

    relay: bytes
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


_TRACED_NUMBERS = ("incoming", "untaken", "waiting", "inbox_us", "device_us", "outbox_us", "dropped", "subscriptions")

Word = Here | Ask | Served | Gone | Ping | Pong | Hungry | Grant | Spent | Probe | Traced


def encoded(word: Word) -> bytes:
    """The bytes of a `word`."""
    made: dict[str, Any] = {"v": VERSION, "w": type(word).__name__.lower(), "relay": word.relay.hex()}
    match word:
        case Here():
            made |= {"host": word.host, "interest": word.interest.hex(), "answer": word.answer}
            made["taken"] = {relay.hex(): turn for relay, turn in word.taken.items()}
            if word.prefixes is not None:
                made["prefixes"] = [base64.b64encode(prefix).decode() for prefix in word.prefixes]
            if word.about is not None:
                made["about"] = dataclasses.asdict(word.about)
        case Ping() | Pong():
            made["number"] = word.number
        case Served():
            made |= {"turn": word.turn, "begins": _made_mark(word.begins), "ended": _made_mark(word.ended)}
        case Hungry():
            made |= {"wants": word.wants, "kind": word.kind.value}
        case Grant():
            made |= {"turn": word.turn, "arrived": word.arrived, "up_to": word.up_to}
        case Spent():
            made |= {"turn": word.turn, "sent": word.sent, "up_to": word.up_to, "wants": word.wants}
        case Probe():
            topic = None if word.topic is None else base64.b64encode(word.topic).decode()
            made |= {"number": word.number, "topic": topic}
        case Traced():
            made |= {name: getattr(word, name) for name in ("number", *_TRACED_NUMBERS, "wanted", "room")}
            made["step"] = word.step.value
    return json.dumps(made, separators=(",", ":")).encode()


def _made_mark(mark: Mark | None) -> list[Any] | None:
    return None if mark is None else [mark.stream.hex(), mark.pack, mark.message]


def decoded(data: bytes) -> Word:
    """The word that `data` is.

    :raises UnknownWordError: if it is one of a later version.
    :raises MalformedError: if it is none.
    """
    if len(data) > MOST_WORD_BYTES:
        raise MalformedError(f"{len(data)} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedError("no JSON") from None
    if not isinstance(found, dict) or found.get("v") != VERSION:
        raise MalformedError("another version")
    read = _KINDS.get(str(found.get("w")))
    if read is None:
        raise UnknownWordError("an unknown word")
    return read(_id(found.get("relay"), RELAY_BYTES), found)


def _here(relay: bytes, found: dict[str, Any]) -> Here:
    host, answer, taken = found.get("host"), found.get("answer"), found.get("taken")
    if not isinstance(host, str) or len(host) > _LONGEST_HOST or not isinstance(answer, bool):
        raise MalformedError("host or answer")
    if not isinstance(taken, dict) or len(taken) > MOST_RELAYS:
        raise MalformedError("taken")
    interest = _id(found.get("interest"), ID_BYTES)
    prefixes = None if found.get("prefixes") is None else _prefixes(found["prefixes"], interest)
    turns = {_id(one, RELAY_BYTES): _number(turn) for one, turn in taken.items()}
    about = None if found.get("about") is None else _about(found["about"])
    return Here(relay, host, interest, prefixes, turns, answer, about)


def _about(found: Any) -> About:
    if not isinstance(found, dict):
        raise MalformedError("what a device says of itself")
    peers = found.get("peers")
    if not isinstance(peers, dict) or len(peers) > _MOST_SOCKETS or any(len(key) > _LONGEST_KEY for key in peers):
        raise MalformedError("peers")
    return About(
        version=_text(found.get("version"), _LONGEST_VERSION),
        server=_text(found.get("server"), _LONGEST_SERVER),
        peers={key: _number(count) for key, count in peers.items()},
        **{name: _number(found.get(name)) for name in _ABOUT_NUMBERS},
    )


def _served(relay: bytes, found: dict[str, Any]) -> Served:
    return Served(relay, _number(found.get("turn")), _mark(found.get("begins")), _mark(found.get("ended")))


def _probe(relay: bytes, found: dict[str, Any]) -> Probe:
    topic = found.get("topic")
    return Probe(relay, _number(found.get("number")), None if topic is None else _topic(topic))


def _traced(relay: bytes, found: dict[str, Any]) -> Traced:
    step, wanted, room = _number(found.get("step")), found.get("wanted"), found.get("room")
    if step > max(Step) or not (wanted is None or isinstance(wanted, bool)):
        raise MalformedError("how far a probe has come")
    return Traced(
        relay=relay,
        number=_number(found.get("number")),
        step=Step(step),
        wanted=wanted,
        room=None if room is None else _number(room),
        **{name: _number(found.get(name)) for name in _TRACED_NUMBERS},
    )


_KINDS: Mapping[str, Callable[[bytes, dict[str, Any]], Word]] = {
    "here": _here,
    "ask": lambda relay, found: Ask(relay),
    "served": _served,
    "gone": lambda relay, found: Gone(relay),
    "ping": lambda relay, found: Ping(relay, _number(found.get("number"))),
    "pong": lambda relay, found: Pong(relay, _number(found.get("number"))),
    "hungry": lambda relay, found: Hungry(relay, _number(found.get("wants")), _work_kind(found.get("kind"))),
    "grant": lambda relay, found: Grant(relay, *_numbers(found, "turn", "arrived", "up_to")),
    "spent": lambda relay, found: Spent(relay, *_numbers(found, "turn", "sent", "up_to", "wants")),
    "probe": _probe,
    "traced": _traced,
}


def _id(text: Any, nbytes: int) -> bytes:
    try:
        found = bytes.fromhex(text) if isinstance(text, str) and len(text) == 2 * nbytes else b""
    except ValueError:
        found = b""
    if len(found) != nbytes:
        raise MalformedError("an id")
    return found


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST_NUMBER:
        raise MalformedError("a number")
    return value


def _work_kind(value: Any) -> WorkKind:
    try:
        return WorkKind(value)
    except ValueError:
        raise MalformedError("a kind of work") from None


def _text(value: Any, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise MalformedError("a text")
    return value


def _topic(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * LONGEST_TOPIC_BYTES:
        raise MalformedError("a topic")
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedError("a topic") from None


def _numbers(found: dict[str, Any], *keys: str) -> list[int]:
    return [_number(found.get(key)) for key in keys]


def _mark(value: Any) -> Mark | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise MalformedError("a place in a stream")
    return Mark(_id(value[0], ID_BYTES), _number(value[1]), _number(value[2]))


def _prefixes(value: Any, interest: bytes) -> Interest:
    if not isinstance(value, list) or len(value) > MOST_PREFIXES or not all(isinstance(one, str) for one in value):
        raise MalformedError("prefixes")
    try:
        prefixes = tuple(base64.b64decode(one, validate=True) for one in value)
    except (ValueError, binascii.Error):
        raise MalformedError("prefixes") from None
    if sum(map(len, prefixes)) > MOST_BYTES or not is_normal(prefixes) or id_of(prefixes) != interest:
        raise MalformedError("prefixes that are no interest")
    return prefixes
