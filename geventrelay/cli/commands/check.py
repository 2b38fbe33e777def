"""``geventrelay check``: what a configuration file would run, and what servers of NATS say to its devices."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...printable import printable
from ...settings import DeviceSettings, ServerSettings
from ...settings.checks import flag
from ...settings.option import Group, option, read_group
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..output import print_stdout
from .run import settings

if TYPE_CHECKING:
    from ...backbone.nats.asked import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions(Group):
    """The options of ``geventrelay check``."""

    no_connect: bool = option(flag, "only read the file: connect to no server of NATS", default=False)


def execute(options: Options) -> int:
    """Print what the file of `options` would run; the exit code. Its problems are raised, as for ``run``. Yields.

    :raises StartError: if a device could not join others: the library for NATS is missing, or a file that it needs.
    """
    chosen = read_group(CheckOptions, given_options(options))
    configured = settings(options)
    print_stdout("\n".join(_summary(Path(options["FILE"]), configured)))
    if not chosen.no_connect:
        for device in configured.devices:
            if getattr(device, "backbone", None) is not None:
                # Not before: asyncio and gevent take a while to load, which most files need not wait.
                from ...backbone.nats.asked import ask

                durable = getattr(device, "durable", False)
                print_stdout("\n".join(backbone_lines(device.name, ask(device), durable=durable)))
    return 0


def _summary(path: Path, settings: ServerSettings) -> Iterator[str]:
    http = "no http" if settings.http is None else f"http on {settings.http}"
    count = len(settings.devices)
    yield f"{path}: {count} device{'s' if count > 1 else ''}, {http}"
    for device in settings.devices:
        yield from _device(device)


def _device(device: DeviceSettings) -> Iterator[str]:
    yield f"{device.name}: {device.pattern}"
    width = max(map(len, device.endpoints))
    for key, endpoints in device.endpoints.items():
        kind = device.socket_types[key]
        for endpoint in endpoints:
            verb = "binds" if endpoint.binds else "connects to"
            yield f"  {key:<{width}}  {kind:<6}  {verb} {endpoint.address}"
    servers: Any = getattr(device, "backbone", None)
    if servers is not None:
        yield f"  joins the devices called {device.name} over NATS at {', '.join(map(str, servers))}"


def backbone_lines(name: str, answers: Sequence[Answer], *, durable: bool = False) -> Iterator[str]:
    """What the servers of NATS have answered to the device `name`, and what its user must know. Does not yield.

    :param answers: of each of them.
    :param durable: whether they are to keep its work.
    """
    yield f"{name} at NATS:"
    for one in answers:
        yield f"  {one.server}  {_answer(one)}"
        for note in _notes(one, durable):
            yield f"    note: {note}"
    there = [one for one in answers if not one.reason]
    if not there:
        yield "    note: it starts all the same, and connects as soon as it can"
    elif len({one.id for one in there}) > 1 and (len({one.cluster for one in there}) > 1 or not there[0].cluster):
        yield "    note: these are not of one cluster: devices at different ones may not reach each other"


def _answer(one: Answer) -> str:
    if one.reason:
        return f"no connection: {printable(one.reason)}"
    found = [f"nats-server {printable(one.version)}"]
    if one.name and one.name != one.id:
        found.append(f"called {printable(one.name)}")
    if one.cluster:
        found.append(f"cluster {printable(one.cluster)}")
    found.append(printable(one.tls) if one.tls else "no TLS")
    if one.round_trip_s is not None:
        found.append(f"{one.round_trip_s * 1000:.1f} ms away")
    found.append(f"max_payload {one.max_payload:,} bytes")
    return ", ".join(found)


def _notes(one: Answer, durable: bool) -> Iterator[str]:
    if one.reason:
        return
    if one.refused:
        yield f"it does not let this device do what it needs: {printable(one.refused)}"
    if not one.tls and not _is_loopback(one.server.host):
        yield "without TLS, others on the way can read and change messages, and read the login"
    if not one.asks_login:
        yield "it asks for no login: any program that reaches it can send messages as other devices do"
    if durable and not one.jetstream:
        yield "it has no JetStream, and so keeps no work"
    elif durable:
        # nats-server#7564
        yield "it says that work is stored before it is on a disk, unless its jetstream has sync_interval: always"
    yield f"larger messages than {one.max_payload:,} bytes reach no other device"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


CHECK = Command(
    "check",
    "FILE",
    """\
Prints everything that is wrong with a configuration file, one problem in a line, or the devices that it would run. It
opens none of their sockets. For a device with a backbone, it asks each server of NATS whether it would let it in, and
says what the server is like; other devices see none of that.

Exit codes: 0 the file is right, also where NATS is away; 1 a device could not join others, since the library for NATS
is missing or a file that it needs; 2 the file is wrong.""",
    execute,
    sections_of(CheckOptions),
)
