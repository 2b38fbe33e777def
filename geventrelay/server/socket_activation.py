"""Listening sockets that systemd has bound for us, and which device each is for (sd_listen_fds(3))."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..components.listeners import listening_address
from ..endpoints import Endpoint
from ..settings import DeviceSettings

_FIRST = 3
_EVERY_HOST = frozenset({"*", "0.0.0.0", "[::]", "::"})
_LOCALHOST = frozenset({"127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket that was passed to this process.

    :ivar descriptor: its number.
    :ivar name: its ``FileDescriptorName``; empty for none.
    :ivar address: where it listens, as an endpoint; empty if ZeroMQ cannot use it.
    """

    descriptor: int
    name: str
    address: str

    @property
    def is_named(self) -> bool:
        """Whether its unit sets the name: by default, systemd uses the name of the socket unit."""
        return self.name not in ("", "unknown", "stored") and not self.name.endswith(".socket")


def passed_listeners(environment: Mapping[str, str]) -> tuple[Listener, ...]:
    """The sockets that were passed to this process.

    :param environment: has ``LISTEN_FDS``, ``LISTEN_PID`` and ``LISTEN_FDNAMES``.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return ()
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (int(count) - len(names))
    listeners = []
    for descriptor, name in zip(range(_FIRST, _FIRST + int(count)), names, strict=False):
        # The children of this process must not keep them open.
        os.set_inheritable(descriptor, False)
        listeners.append(Listener(descriptor, name, listening_address(descriptor)))
    return tuple(listeners)


class Activation:
    """Finds the passed sockets of a device: those named ``DEVICE.SOCKET``, else by address.

    :param listeners: the sockets that were passed.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(one for one in listeners if one.address)
        self._useless = tuple(one for one in listeners if not one.address)

    def __call__(self, settings: DeviceSettings) -> dict[tuple[str, int], int]:
        """The descriptors for a device of `settings`, by socket key and position among the socket's endpoints."""
        found: dict[tuple[str, int], int] = {}
        for key, endpoints in settings.endpoints.items():
            places = {position: endpoint for position, endpoint in enumerate(endpoints) if endpoint.binds}
            named = [one for one in self._listeners if one.is_named and one.name == f"{settings.name}.{key}"]
            unnamed = [one for one in self._listeners if not one.is_named]
            taken = _by_address(places, [*named, *unnamed])
            rest = [one for one in named if one not in taken.values()]
            free = [position for position in places if position not in taken]
            # A name counts more than an address.
            taken.update(zip(free, rest, strict=False))
            found.update({(key, position): one.descriptor for position, one in taken.items()})
        return found

    def unused(self, devices: Iterable[DeviceSettings]) -> tuple[Listener, ...]:
        """The passed sockets that none of `devices` uses."""
        used = {descriptor for settings in devices for descriptor in self(settings).values()}
        return (*(one for one in self._listeners if one.descriptor not in used), *self._useless)


def _by_address(places: Mapping[int, Endpoint], listeners: list[Listener]) -> dict[int, Listener]:
    taken: dict[int, Listener] = {}
    for position, endpoint in places.items():
        fits = (one for one in listeners if one not in taken.values() and _is_there(one, endpoint))
        listener = next(fits, None)
        if listener is not None:
            taken[position] = listener
    return taken


def _is_there(listener: Listener, endpoint: Endpoint) -> bool:
    """Whether `listener` listens where `endpoint` would be bound."""
    if endpoint.address == listener.address:
        return True
    bound = Endpoint(listener.address)
    if bound.transport != "tcp" or endpoint.transport != "tcp" or bound.port != endpoint.port:
        return False
    if endpoint.host == "localhost":
        return bound.host in _LOCALHOST
    return bound.host in _EVERY_HOST and endpoint.host in _EVERY_HOST
