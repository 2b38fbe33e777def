"""A measured value is described once: its JSON, its metric, `geventrelay top`, the page and the docs come from that.

A snapshot declares what it measures with `counter` and `gauge`, as other dataclasses do with `dataclasses.field`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

_Snapshot = TypeVar("_Snapshot")

# Where a field's metadata has the description.
_KEY = "value"

# Also sets what is frozen.
_set = object.__setattr__


class Kind(enum.Enum):
    """How a value behaves over time, and what it is for two lives of one device."""

    COUNTER = "counter"
    """It only grows while the process lives. For two lives it is their sum."""
    GAUGE = "gauge"
    """It is what there is at the moment, and can become less. For two lives it is that of the later one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """The description of a measured value.

    :ivar attribute: the attribute of the snapshot that has it.
    :ivar kind: how it behaves over time.
    :ivar unit: what it counts, or the unit of time, in plural: ``messages``, ``seconds``.
    :ivar help: one sentence that says what it is.
    :ivar path: the one or two keys that lead to it in the JSON; empty if it is not there.
    :ivar metric: the name of its metric without ``geventrelay_`` and ``_total``; empty if it has none.
    :ivar by: for several numbers instead of one, what they are counted by, e.g. ``reason``; else empty.
    :ivar known: what is known of these reasons. A metric has them from the start, also while they are 0.
    :ivar top: whether `geventrelay top` adds it up for each device, and shows its rate. Only a counter has one.
    :ivar optional: whether it may be None, where it is not counted. It has no metric there, and null in the JSON.
    """

    attribute: str
    kind: Kind
    unit: str
    help: str
    path: tuple[str, ...] = ()
    metric: str = ""
    by: str = ""
    known: tuple[str, ...] = ()
    top: bool = False
    optional: bool = False

    def read(self, snapshot: object) -> Any:
        """This value of a `snapshot`: a number, or numbers by the names of their reasons; or None. Does not yield."""
        found = getattr(snapshot, self.attribute)
        return {_name(reason): number for reason, number in found.items()} if self.by and found is not None else found

    def merged(self, past: object, later: object) -> Any:
        """This value of two lives. Does not yield.

        :param past: the snapshot of the life that is over.
        :param later: the snapshot of the later life.
        """
        one, other = getattr(past, self.attribute), getattr(later, self.attribute)
        if self.kind is Kind.GAUGE or other is None:
            return other
        if one is None:
            return None
        return added(one, other) if self.by else one + other


def counter(unit: str, help: str, *, by: str = "", known: Iterable[str] = (), **described: Any) -> Any:
    """A field of a dataclass that holds a counter; it begins at 0, or at None if it is optional.

    :param unit: as in `Value`.
    :param help: as in `Value`.
    :param by: as in `Value`.
    :param known: as in `Value`.
    :param described: more of `Value`'s fields.
    """
    value = Value("", Kind.COUNTER, unit, help, by=by, known=tuple(known), **described)
    if value.optional:
        return dataclasses.field(kw_only=True, metadata={_KEY: value}, default=None)
    if by:
        return dataclasses.field(kw_only=True, metadata={_KEY: value}, default_factory=dict)
    return dataclasses.field(kw_only=True, metadata={_KEY: value}, default=0)


def gauge(unit: str, help: str, **described: Any) -> Any:
    """A field of a dataclass that holds what there is at the moment; it has no default unless it is optional: None.

    :param unit: as in `Value`.
    :param help: as in `Value`.
    :param described: more of `Value`'s fields.
    """
    value = Value("", Kind.GAUGE, unit, help, **described)
    default = None if value.optional else dataclasses.MISSING
    return dataclasses.field(kw_only=True, metadata={_KEY: value}, default=default)


@functools.cache
def values_of(cls: type[Any]) -> tuple[Value, ...]:
    """The values that the fields of a dataclass `cls` hold, in their order. Does not yield."""
    fields = (one for one in dataclasses.fields(cls) if _KEY in one.metadata)
    return tuple(dataclasses.replace(one.metadata[_KEY], attribute=one.name) for one in fields)


def frozen_copy(cls: type[_Snapshot], counters: Any, **more: object) -> _Snapshot:
    """A snapshot with the values that `counters` have now. Does not yield.

    It bypasses the checks of `Frozen`: with 200 devices, each answer takes a thousand snapshots.

    :param cls: the snapshot's class, which has the same values and extends `Frozen`.
    :param counters: a dataclass with values.
    :param more: the snapshot's other fields.
    """
    made, source = cls.__new__(cls), cast("Any", type(counters))
    for value in values_of(source):
        found = getattr(counters, value.attribute)
        _set(made, value.attribute, dict(found) if value.by else found)
    for name, one in more.items():
        _set(made, name, one)
    return made


def merged(past: _Snapshot, later: _Snapshot, **more: object) -> _Snapshot:
    """A snapshot with the values of two lives. Does not yield.

    :param past: the snapshot of the life that is over.
    :param later: the snapshot of the later life, of the same class.
    :param more: the snapshot's other fields.
    """
    cls = cast("Any", type(past))
    made: _Snapshot = cls.__new__(cls)
    for value in values_of(cls):
        _set(made, value.attribute, value.merged(past, later))
    for name, one in more.items():
        _set(made, name, one)
    return made


def summed(one: _Snapshot, other: _Snapshot, **more: object) -> _Snapshot:
    """A snapshot with the values of two things at one moment; what one of them does not count is the other's.

    Does not yield.

    :param one: a snapshot.
    :param other: another one of the same class.
    :param more: the snapshot's other fields.
    """
    cls = cast("Any", type(one))
    made: _Snapshot = cls.__new__(cls)
    for value in values_of(cls):
        found = [getattr(snapshot, value.attribute) for snapshot in (one, other)]
        there = [number for number in found if number is not None]
        total = (added(*there) if value.by else sum(there)) if len(there) == 2 else next(iter(there), None)
        _set(made, value.attribute, total)
    for name, number in more.items():
        _set(made, name, number)
    return made


def added(one: Mapping[Any, int], other: Mapping[Any, int]) -> dict[Any, int]:
    """The numbers of `one` and of the `other`, added for each reason. Does not yield."""
    return {reason: one.get(reason, 0) + other.get(reason, 0) for reason in dict.fromkeys((*one, *other))}


def as_json(values: Iterable[Value], snapshot: object) -> dict[str, Any]:
    """Those of a snapshot's values that are in the JSON, each at its path. Does not yield.

    :param values: the descriptions.
    :param snapshot: what has the values.
    """
    made: dict[str, Any] = {}
    for value in values:
        match value.path:
            case (key,):
                made[key] = value.read(snapshot)
            case (group, key):
                made.setdefault(group, {})[key] = value.read(snapshot)
    return made


def _name(reason: Any) -> str:
    return str(reason.value) if isinstance(reason, enum.Enum) else str(reason)


class Frozen:
    """Makes the attributes of a dataclass final once they are set.

    For the snapshot that extends a class of counters: a dataclass with ``frozen=True`` cannot extend one without.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        _set(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
