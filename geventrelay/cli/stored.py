"""How work stands that NATS keeps for a device with ``durable``, in one line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..printable import printable

_MISSING = "?"


def stored_line(store: Mapping[str, Any]) -> str:
    """What is known of a `store`, as ``/api/backbone`` has it, or a part of it. Does not yield.

    :param store: its ``state``, ``reason`` and ``replicas``, and of the numbers those that are known.
    """
    parts = [
        _state(store),
        *_named(store, "packs", "it holds {} packs", "it holds 1 pack"),
        *_named(store, "stored", "{} stored from here"),
        *_named(store, "waiting", "{} on the way there", least=1),
        *_named(store, "fetched", "{} fetched"),
        *_named(store, "redelivered", "{} redelivered", least=1),
        *_named(store, "stored_again", "{} returned", least=1),
        *_named(store, "malformed", "{} not understood", least=1),
    ]
    return ", ".join(parts)


def _state(store: Mapping[str, Any]) -> str:
    match store.get("state"):
        case "storing":
            replicas = store.get("replicas")
            where = "" if not replicas else f" on {replicas} server{'s' * (replicas != 1)}"
            return f"NATS keeps its work{where}"
        case "refused":
            return f"NATS DOES NOT KEEP ITS WORK: {printable(store.get('reason') or 'no reason known')}"
        case "waiting":
            return "NATS gives no answer, so that its work is not stored"
        case other:
            return f"its work is kept by NATS: {printable(other or _MISSING)}"


def _named(store: Mapping[str, Any], key: str, several: str, one: str = "", *, least: int = 0) -> list[str]:
    number = store.get(key)
    if number is None or number < least:
        return []
    text = (one or several).format("1") if number == 1 else several.format(f"{number:,}")
    if key == "packs" and store.get("bytes") is not None:
        text += f" ({store['bytes']:,} bytes)"
    return [text]
