"""What users may do: publish, subscribe, request and work; and what that is at one socket.

Rights are written in a file of their own, which `read_rights` reads as TOML gives it::

    [user.alice]
    publish = ["prices.", "users.${user}."]
    subscribe = [""]
    request = true

    [others]
    subscribe = ["public."]

What is not written there is not allowed. ``[others]`` is for each user without a table of its own, and for peers that
were let in without a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine.grant import Grant, Prefixes, allows, needed
from ..errors import SettingsError, raise_all

_USER = "${user}"

Services = bool | tuple[str, ...]
"""Names of devices; True for every device, False for none."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What one user may do. By default that is nothing.

    :ivar publish: what its messages may begin with, those to a SUB, XSUB or PULL; ``b""`` is every message.
    :ivar subscribe: what the topics that it subscribes to may begin with, at a PUB or XPUB.
    :ivar request: at which devices it may send requests, to a ROUTER or REP.
    :ivar work: at which devices it may take messages of a PUSH, DEALER, REQ or PAIR, and answer them.
    """

    publish: Prefixes = ()
    subscribe: Prefixes = ()
    request: Services = False
    work: Services = False

    def may_publish(self, message: bytes) -> bool:
        """Whether it may send a message that begins with the part `message`. Does not yield."""
        return allows(self.publish, message)

    def may_subscribe(self, topic: bytes) -> bool:
        """Whether it may subscribe to `topic`. Does not yield."""
        return allows(self.subscribe, topic)

    def may_request(self, device: str) -> bool:
        """Whether it may send requests to the device of this name. Does not yield."""
        return _covers(self.request, device)

    def may_work(self, device: str) -> bool:
        """Whether it may take messages of the device of this name. Does not yield."""
        return _covers(self.work, device)

    def grant(self, socket_type: str, device: str) -> Grant | None:
        """What it may do at one socket; None if it must not connect there. Does not yield.

        A socket that shares its messages out would give some of them to it, and so lose them: there it must not
        connect without `work`.

        :param socket_type: the type of the device's socket, e.g. ``"XPUB"``.
        :param device: the name of the device.
        """
        if socket_type in ("PUSH", "DEALER", "REQ", "PAIR"):
            return Grant() if self.may_work(device) else None
        if socket_type in ("ROUTER", "REP"):
            return Grant(send=None if self.may_request(device) else ())
        subscribe = needed(self.subscribe) if socket_type in ("PUB", "XPUB") else None
        return Grant(needed(self.publish), subscribe)


def _covers(services: Services, device: str) -> bool:
    return services if isinstance(services, bool) else device in services


@dataclass(frozen=True, slots=True)
class Template:
    """Text in which ``${user}`` stands for the user's name.

    :ivar pieces: what stands before, between and after these.
    """

    pieces: tuple[str, ...]

    def __str__(self) -> str:
        return _USER.join(self.pieces)

    def fill(self, user: str) -> str | None:
        """The text for `user`; None if it has none. Does not yield.

        The character behind the name says where the name ends. A name with this character could pass for another
        user's, and one that cannot be printed for anything: there is no text for those, nor for peers without a name.
        """
        names, behind = len(self.pieces) > 1, [piece[0] for piece in self.pieces[1:] if piece]
        if names and (not user.isprintable() or not user or any(one in user for one in behind)):
            return None
        return user.join(self.pieces)


@dataclass(frozen=True, slots=True)
class Entry:
    """The rights of one table of the file, as they are written; the attributes are those of `Rights`."""

    publish: tuple[Template, ...] = ()
    subscribe: tuple[Template, ...] = ()
    request: bool | tuple[Template, ...] = False
    work: bool | tuple[Template, ...] = False

    def rights(self, user: str) -> Rights:
        """What they are for `user`. Does not yield."""
        return Rights(
            tuple(text.encode() for text in _filled(self.publish, user)),
            tuple(text.encode() for text in _filled(self.subscribe, user)),
            self.request if isinstance(self.request, bool) else tuple(_filled(self.request, user)),
            self.work if isinstance(self.work, bool) else tuple(_filled(self.work, user)),
        )


def _filled(templates: tuple[Template, ...], user: str) -> Iterator[str]:
    return (text for one in templates if (text := one.fill(user)) is not None)


@dataclass(frozen=True, slots=True)
class RightsTable:
    """The rights of all users.

    :ivar users: by the name of the user.
    :ivar others: of each other user, and of peers without a name.
    """

    users: Mapping[str, Entry] = field(default_factory=dict)
    others: Entry = field(default_factory=Entry)

    def of(self, user: str) -> Rights:
        """What `user` may do; an empty name is a peer without one. Does not yield."""
        return self.users.get(user, self.others).rights(user)

    @property
    def narrowed(self) -> tuple[str, list[str]] | None:
        """A table whose users must not subscribe to every topic: its name, and what they may subscribe to.

        Does not yield. None where there is no such table.
        """
        tables = {**{f"user.{name}": one for name, one in self.users.items()}, "others": self.others}
        found = ((name, one.subscribe) for name, one in tables.items() if Template(("",)) not in one.subscribe)
        return next(((name, list(map(str, may))) for name, may in found), None)


# What is written -----------------------------------------------------------------------------------------------------


def read_rights(tables: Mapping[str, Any]) -> RightsTable:
    """The rights that a file asks for. Does not yield.

    :param tables: what the TOML reader gave.
    :raises SettingsError: with one line for each thing that is wrong.
    """
    errors: list[SettingsError] = []
    users: dict[str, Entry] = {}
    others = Entry()
    for key, value in tables.items():
        if key == "others":
            others = _entry(key, value, errors)
        elif key != "user":
            errors.append(SettingsError(key, "tables [user.NAME] and [others]", key))
        elif not isinstance(value, Mapping):
            errors.append(SettingsError(key, "tables [user.NAME]", value))
        else:
            users = {user: _entry(f"user.{user}", one, errors) for user, one in value.items()}
    errors += (SettingsError("user", "a name of printable characters", user) for user in users if not _is_name(user))
    raise_all(errors)
    return RightsTable(users, others)


def _is_name(user: str) -> bool:
    return bool(user) and user.isprintable()


def _entry(name: str, table: Any, errors: list[SettingsError]) -> Entry:
    if not isinstance(table, Mapping):
        errors.append(SettingsError(name, f"a table [{name}]", table))
        return Entry()
    kept: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _READERS:
            errors.append(SettingsError(f"{name}.{key}", f"one of {', '.join(_READERS)}", key))
            continue
        try:
            kept[key] = _READERS[key](f"{name}.{key}", value)
        except SettingsError as error:
            errors.append(error)
    return Entry(**kept)


def _prefixes(name: str, value: Any) -> tuple[Template, ...]:
    return _templates(name, "a list of prefixes, as text", value, _prefix)


def _services(name: str, value: Any) -> bool | tuple[Template, ...]:
    if isinstance(value, bool):
        return value
    return _templates(name, "true, false or a list of devices' names", value, _template)


def _templates(name: str, rule: str, value: Any, read: Callable[[str, str], Template]) -> tuple[Template, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise SettingsError(name, rule, value)
    return tuple(read(name, one) for one in value)


def _template(name: str, text: str) -> Template:
    pieces = tuple(text.split(_USER))
    if any("${" in piece for piece in pieces):
        raise SettingsError(name, "no other ${ than ${user}", text)
    return Template(pieces)


def _prefix(name: str, text: str) -> Template:
    made = _template(name, text)
    if not all(made.pieces[1:]):
        # "a" would have what is "ab"'s.
        raise SettingsError(name, "a character such as '.' right behind ${user}, which ends the name", text)
    return made


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "publish": _prefixes,
    "subscribe": _prefixes,
    "request": _services,
    "work": _services,
}
