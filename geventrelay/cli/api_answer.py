"""What a server's API answers: decoded, and held to what this program reads of it. Pure.

Another program may answer at the address, or one that means harm. What comes from there is not used before it was
checked here. Fields that are not known here are passed over, and any field but a name may be missing: a server may be
older or newer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..engine.counters import OF_OUTLET, OF_PUMP
from ..engine.values import Value
from ..printable import printable

# The first second of the year 10000, which `datetime` cannot show.
_MOST_TIME_S = 253_402_300_800
_MOST_DURATION_S = 1e9
_MOST_COUNT = 2**64
_MOST_DIGITS = 30
_SHOWN_CHARACTERS = 60

Check = Callable[[Any], bool]


class StrangeAnswer(ValueError):
    """An answer that no server of geventrelay gives. Its text says in a few words what came instead."""


def decoded(data: bytes) -> Any:
    """The value that `data` is the JSON of, with finite numbers alone.

    :raises StrangeAnswer: for anything else.
    """
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise StrangeAnswer("JSON that is nested too deeply") from None
    except ValueError:
        raise StrangeAnswer("something else") from None


def check_devices(answer: Any) -> Mapping[str, Any]:
    """The `answer` of ``/api/devices``, if all that is read of it has the right type and a sane value.

    :raises StrangeAnswer: naming the first field that has not.
    """
    if not isinstance(answer, dict) or not {"version", "server", "devices"} <= answer.keys():
        raise StrangeAnswer("other JSON")
    server, devices = answer["server"], answer["devices"]
    _check_fields("server", server, _SERVER)
    try:
        # It is passed on as it is.
        json.dumps(server)
    except RecursionError:
        raise StrangeAnswer("JSON that is nested too deeply") from None
    for device in _listed("devices", devices):
        _check_fields("device", device, _DEVICE)
        _need("devices", device, "name")
        for socket in _listed("sockets", device.get("sockets", [])):
            _check_fields("socket", socket, _SOCKET)
            _need("sockets", socket, "key")
        _check_backbone(device.get("backbone"))
        for pump in _listed("pumps", device.get("pumps", [])):
            _check_values("pump", pump, OF_PUMP)
            for outlet in _listed("outlets", pump.get("outlets", [])):
                _check_values("outlet", outlet, OF_OUTLET)
    return answer


def _check_backbone(backbone: Any) -> None:
    if backbone is None:
        return
    _check_fields("backbone", backbone, _BACKBONE)
    _check_store(backbone.get("store"))
    for one in _listed("neighbours", backbone.get("neighbours", [])):
        _check_fields("neighbour", one, _NEIGHBOUR)
        if one.get("about") is not None:
            _check_fields("neighbour", one["about"], _ABOUT)


def _check_store(store: Any) -> None:
    if store is not None:
        _check_fields("store", store, _STORE)


def check_topics(answer: Any) -> Mapping[str, Any]:
    """The `answer` of ``/api/devices/NAME/topics``, likewise.

    :raises StrangeAnswer: naming the first field that is not right.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("sockets"), dict):
        raise StrangeAnswer("other JSON")
    for socket in answer["sockets"].values():
        _check_fields("socket", socket, {})
        for topic in _listed("topics", socket.get("topics", [])):
            _check_fields("topic", topic, _TOPIC)
            _need("topics", topic, "topic")
    return answer


def check_subscribers(answer: Any) -> Mapping[str, Any]:
    """The `answer` of ``/api/devices/NAME/subscribers``, likewise.

    :raises StrangeAnswer: naming the first field that is not right.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("sockets"), dict):
        raise StrangeAnswer("other JSON")
    for socket in answer["sockets"].values():
        _check_fields("socket", socket, {})
        for name in ("peers", "gone"):
            for one in _listed(name, socket.get(name, [])):
                _check_fields("subscriber", one, _SUBSCRIBER)
                _need(name, one, "address")
                for topic in _listed("lost_topics", one.get("lost_topics", [])):
                    _check_fields("topic", topic, _TOPIC)
                    _need("lost_topics", topic, "topic")
    return answer


def check_trace(answer: Any) -> Mapping[str, Any]:
    """The `answer` of ``/api/devices/NAME/trace``, likewise.

    :raises StrangeAnswer: naming the first field that is not right.
    """
    if not isinstance(answer, dict) or not {"version", "answered", "relays"} <= answer.keys():
        raise StrangeAnswer("other JSON")
    _check_fields("trace", answer, _TRACE)
    _need("trace", answer, "answered")
    _check_store(answer.get("store"))
    for relay in _listed("relays", answer["relays"]):
        _check_fields("relay", relay, _TRACED)
        _need("relays", relay, "relay")
        for hop in _listed("hops", relay.get("hops", [])):
            _check_fields("hop", hop, _HOP)
            _need("hops", hop, "place")
        look_at = relay.get("look_at") or {}
        _check_fields("look_at", look_at, {"there": _is_flag})
        for value in _listed("values", look_at.get("values", [])):
            if not _is_text(value):
                raise StrangeAnswer(f"{brief(value)} as a value to look at")
    return answer


def is_count(value: Any) -> bool:
    """Whether a decoded `value` is a number of things: an integer from 0 to 2**64 - 1."""
    return type(value) is int and 0 <= value < _MOST_COUNT


def brief(value: Any) -> str:
    """A decoded `value` in a few characters, for the end of a sentence."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value) if not isinstance(value, str) else f"'{printable(value[:_SHOWN_CHARACTERS])}'"
    return text if len(text) <= 2 * _SHOWN_CHARACTERS else text[: 2 * _SHOWN_CHARACTERS] + "..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return _is_number(value) and 0 <= value < _MOST_TIME_S


def _is_duration(value: Any) -> bool:
    return _is_number(value) and abs(value) <= _MOST_DURATION_S


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_count, value.values()))


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 <= value < _MOST_COUNT


_SERVER: Mapping[str, Check] = {
    "geventrelay": _is_text, "burst": _is_text, "started_at": _is_time, "ready": _is_flag, "hub_delay_s": _is_duration,
}  # fmt: skip
_DEVICE: Mapping[str, Check] = {
    "name": _is_text, "pattern": _is_text, "state": _is_text, "restarts": is_count, "failure": _is_text,
    "next_start_in_s": _is_duration, "held": is_count, "topics": is_count,
}  # fmt: skip
_SUBSCRIBER: Mapping[str, Check] = {
    "address": _is_text, "user": _is_text, "left_at": _is_time, "lost": _is_counts, "delivered": is_count,
    "waiting": is_count,
}  # fmt: skip
_TOPIC: Mapping[str, Check] = {
    "topic": _is_text, "hex": _is_text, "messages": is_count, "error": is_count, "bytes": is_count,
    "messages_per_s": _is_rate, "bytes_per_s": _is_rate, "last_seen": _is_time, "lost": is_count,
    "lost_error": is_count, "subscribers": is_count,
}  # fmt: skip
_OF_RELAY: Mapping[str, Check] = {
    "relay": _is_text, "host": _is_text, "round_trip_s": _is_duration, "sent": is_count, "received": is_count,
    "lost": is_count, "credit": is_count, "promised": is_count, "hungry": _is_flag, "work_sent": is_count,
    "work_received": is_count,
}  # fmt: skip
_BACKBONE: Mapping[str, Check] = {
    **_OF_RELAY, "server": _is_text, "state": _is_text, "reason": _is_text, "waiting": is_count, "incoming": is_count,
    "stored": is_count, "fetched": is_count, "redelivered": is_count, "stored_again": is_count, "malformed": is_count,
}  # fmt: skip
_STORE: Mapping[str, Check] = {
    "state": _is_text, "reason": _is_text, "replicas": is_count, "waiting": is_count, "packs": is_count,
    "bytes": is_count,
}  # fmt: skip
_NEIGHBOUR: Mapping[str, Check] = {**_OF_RELAY, "silent_s": _is_duration}
_ABOUT: Mapping[str, Check] = {
    "version": _is_text, "server": _is_text, "peers": _is_counts, "received_per_s": _is_rate, "sent_per_s": _is_rate,
    "waiting": is_count, "incoming": is_count,
}  # fmt: skip
_TRACE: Mapping[str, Check] = {
    "answered": _is_flag, "limit_s": _is_duration, "took_s": _is_duration, "topic": _is_text, "relay": _is_text,
    "host": _is_text, "server": _is_text, "reason": _is_text, "away_s": _is_duration, "waiting": is_count,
    "incoming": is_count, "dropped": is_count, "wanted": _is_flag, "subscriptions": is_count, "room": is_count,
    "workers": is_count,
}  # fmt: skip
_TRACED: Mapping[str, Check] = {
    "relay": _is_text, "host": _is_text, "outcome": _is_text, "reason": _is_text, "seconds": _is_duration,
    "silent_s": _is_duration, "dropped": is_count, "sent": _is_flag, "wanted": _is_flag, "subscriptions": is_count,
    "room": is_count, "workers": is_count, "credit": is_count,
}  # fmt: skip
_HOP: Mapping[str, Check] = {"place": _is_text, "seconds": _is_duration, "messages": is_count, "over": _is_flag}
_SOCKET: Mapping[str, Check] = {"key": _is_text, "peers": is_count}


def _check_fields(what: str, found: Any, checks: Mapping[str, Check]) -> None:
    if not isinstance(found, dict):
        raise StrangeAnswer(f"{brief(found)} as {what}")
    for name, check in checks.items():
        value = found.get(name)
        if value is not None and not check(value):
            raise StrangeAnswer(f"{brief(value)} as {name} of a {what}")


def _check_values(what: str, found: Any, values: tuple[Value, ...]) -> None:
    _check_fields(what, found, {})
    for value in values:
        number = found
        for key in value.path:
            _check_fields(value.attribute, number, {})
            number = number.get(key)
            if number is None:
                break
        if not value.path or number is None:
            continue
        several = number.values() if isinstance(number, dict) else [number]
        if isinstance(number, dict) != bool(value.by) or not all(map(is_count, several)):
            raise StrangeAnswer(f"{brief(number)} as {value.attribute} of a {what}")


def _listed(what: str, found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise StrangeAnswer(f"{brief(found)} as {what}")
    return found


def _need(what: str, found: Mapping[str, Any], name: str) -> None:
    if found.get(name) is None:
        raise StrangeAnswer(f"{what} without '{name}'")


def _refuse(word: str) -> float:
    raise ValueError(word)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _whole(text: str) -> int:
    # Python refuses thousands of digits from 3.11 on, and takes minutes for millions before that.
    return int(text) if len(text) <= _MOST_DIGITS else int(_refuse(text))
