"""Listening sockets that systemd has bound for us, and which device each is for (sd_listen_fds(3))."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..components.listeners import listening_address
from ..endpoints import Endpoint
from ..log import event
from ..settings import DeviceSettings

log = logging.getLogger("geventrelay")

_FIRST = 3
# A unit has some. Any larger number was not written by systemd.
_MOST = 4096
_COUNT = re.compile("0*[0-9]{1,4}")
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
    text = environment.get("LISTEN_FDS", "")
    if not text or environment.get("LISTEN_PID") != str(os.getpid()):
        return ()
    count = int(text) if _COUNT.fullmatch(text) else _MOST + 1
    if count > _MOST:
        log.error(event("listen-fds-ignored", LISTEN_FDS=text[:40], reason=f"it is no number from 0 to {_MOST}"))
        return ()
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    return tuple(map(_passed, range(_FIRST, _FIRST + count), names))


def _passed(descriptor: int, name: str) -> Listener:
    try:
        # The children of this process must not keep it open.
        os.set_inheritable(descriptor, False)
    except OSError:
        # It is not open at all.
        return Listener(descriptor, name, "")
    return Listener(descriptor, name, listening_address(descriptor))


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

    def open_to_all(self, devices: Iterable[DeviceSettings]) -> Iterator[str]:
        """Each passed socket of `devices` beyond loopback that lets every peer in, as text.

        A name counts more than an address, so it may listen elsewhere than the settings say.
        """
        addresses = {one.descriptor: one.address for one in self._listeners}
        for settings in devices:
            for (key, _), descriptor in self(settings).items():
                if Endpoint(addresses[descriptor]).is_beyond_loopback and settings.lets_all_in(key):
                    yield f"{settings.name} {key} at {addresses[descriptor]}"

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
