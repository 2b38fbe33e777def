"""``geventrelay top``: what the devices of a server do, in a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import StartError
from ...settings.checks import flag, seconds
from ...settings.option import Group, option, read_group
from ..api_client import DEFAULT_URL, Remote
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..output import print_stdout, unwritable
from . import subscribers, topics
from .keys import Keyboard
from .mesh import RelayRates
from .rates import DeviceRates, rates
from .subscribers import SubscriberLosses, losses_of
from .topics import TopicRates, topics_of
from .view import QUIT, Shows

if TYPE_CHECKING:
    from .screen import Screen

_PERIOD_S = 1.0


class Reading(NamedTuple):
    """What a server sends at one moment.

    :ivar server: what it says of itself.
    :ivar devices: its devices, by name.
    :ivar topics: their busiest topics; None if they were not asked for.
    :ivar subscribers: their subscribers that have lost something, likewise.
    :ivar mesh: the relays of each of them that is part of a mesh, likewise.
    """

    server: dict[str, Any]
    devices: dict[str, DeviceRates]
    topics: list[TopicRates] | None
    subscribers: list[SubscriberLosses] | None
    mesh: list[RelayRates] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOptions(Group):
    """The options of ``geventrelay top``."""

    timeout_s: float = option(seconds, "how long to wait for an answer", default=5.0)
    json: bool = option(flag, "print one JSON object for each second", default=False)
    once: bool = option(flag, "print the devices once, with the rates of one second", default=False)
    topics: bool = option(flag, "show the busiest topics too; on a screen, first (engine zmtp)", default=False)
    subscribers: bool = option(flag, "show what subscribers lost too; on a screen, first (engine zmtp)", default=False)

    mesh: bool = option(flag, "show the relays of a backbone too; on a screen, first", default=False)

    @property
    def asked(self) -> frozenset[Shows]:
        """What is to be shown besides the devices."""
        chosen = {Shows.TOPICS: self.topics, Shows.SUBSCRIBERS: self.subscribers, Shows.MESH: self.mesh}
        return frozenset(what for what, is_asked in chosen.items() if is_asked)


def execute(options: Options) -> int:
    """Show the server of `options` until q or Ctrl-C, or once; the exit code. Blocks the hub.

    :param options: the options of the command.
    :raises SettingsError: if the URL is not valid.
    :raises StartError: if the server does not answer.
    """
    chosen = read_group(TopOptions, given_options(options))
    remote = Remote(options["URL"] or DEFAULT_URL, chosen.timeout_s)
    try:
        if chosen.json:
            return _print_json(remote, chosen)
        # Without a terminal, a screen would have no end.
        once = chosen.once or not sys.stdout.isatty()
        return _print_once(remote, chosen.asked) if once else _watch(remote, chosen)
    except (KeyboardInterrupt, _Quit):
        return 0
    except OSError as error:
        # Of rich, which writes by itself.
        raise unwritable(error) from None


class _Quit(Exception):
    """The key that ends it was pressed."""


def _readings(
    remote: Remote, asked: Callable[[], Collection[Shows]], wait: Callable[[float], None] = time.sleep
) -> Iterator[Reading]:
    """One reading after another, a second apart, the first with the rates of a second.

    :param asked: what the next one is to have besides the devices.
    """
    answer, before_s = remote.devices(), time.monotonic()
    before = rates(answer, {}, 0)
    while True:
        wait(_PERIOD_S)
        answer, now_s = remote.devices(), time.monotonic()
        before = rates(answer, before, now_s - before_s)
        before_s = now_s
        wanted = asked()
        yield Reading(
            answer["server"],
            before,
            _topics(remote, before) if Shows.TOPICS in wanted else None,
            _losses(remote, before) if Shows.SUBSCRIBERS in wanted else None,
            [relay for one in before.values() for relay in one.mesh] if Shows.MESH in wanted else None,
        )


def _topics(remote: Remote, devices: Mapping[str, DeviceRates]) -> list[TopicRates]:
    """The busiest topics of the `devices` that count some."""
    # One may have gone meanwhile, or count none any more.
    answers = ((name, remote.topics(name, topics.MOST_TOPICS)) for name in topics.to_ask(devices.values()))
    return [one for name, answer in answers if answer is not None for one in topics_of(name, answer)]


def _losses(remote: Remote, devices: Mapping[str, DeviceRates]) -> list[SubscriberLosses]:
    """The subscribers of the `devices` that have lost something."""
    asked = subscribers.to_ask(devices.values())
    answers = ((name, remote.subscribers(name, subscribers.MOST_SUBSCRIBERS)) for name in asked)
    return [one for name, answer in answers if answer is not None for one in losses_of(name, answer)]


# What each device has in the JSON where it was asked for, and the field of a reading.
_IN_JSON = (("busiest", "topics"), ("losing", "subscribers"), ("mesh", "mesh"))


def _print_json(remote: Remote, chosen: TopOptions) -> int:
    for reading in _readings(remote, lambda: chosen.asked):
        told = [one.as_json() for one in reading.devices.values()]
        for one in told:
            for key, field in _IN_JSON:
                some = getattr(reading, field)
                if some is not None:
                    one[key] = [row.as_json() for row in some if row.device == one["name"]]
        print_stdout(json.dumps({"version": 1, "server": reading.server, "devices": told}))
        if chosen.once:
            break
    return 0


def _print_once(remote: Remote, asked: Collection[Shows]) -> int:
    screen = _screen(remote)
    print_stdout(screen.text(*next(_readings(remote, lambda: asked))))
    return 0


def _watch(remote: Remote, chosen: TopOptions) -> int:
    screen = _screen(remote)
    screen.turn_to(next((what for what in Shows if what in chosen.asked), Shows.DEVICES))
    # Without a first answer this is an error. Later, the server may be restarted.
    screen.begin(remote.devices()["server"])
    with Keyboard() as keyboard:
        screen.takes_keys = keyboard.works

        def wait(seconds: float) -> None:
            _take_keys(keyboard, screen, seconds)

        readings: Iterator[Reading] | None = None
        with screen:
            while True:
                try:
                    readings = _readings(remote, lambda: {screen.shows}, wait) if readings is None else readings
                    screen.show(*next(readings))
                except StartError as error:
                    readings = None
                    screen.complain(str(error))
                    wait(_PERIOD_S)


def _take_keys(keyboard: Keyboard, screen: Screen, seconds: float) -> None:
    """Do what keys ask for, for some time."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        key = keyboard.read(left_s)
        if key == QUIT:
            raise _Quit
        if key is not None:
            screen.press(key)


def _screen(remote: Remote) -> Screen:
    try:
        from .screen import Screen
    except ImportError:
        raise StartError("geventrelay top needs rich: pip install rich (or give --json)") from None
    return Screen(remote.url)


TOP = Command(
    "top",
    "[URL]",
    f"""\
Shows what the devices of a server do, until q or Ctrl-C: rates, drops, peers, and what has failed. The server needs
--http; URL is {DEFAULT_URL} unless it is given. The key v shows the busiest topics, what subscribers lost,
what is kept for later, and the relays of a backbone; the key ? shows the keys that sort and scroll.

Exit codes: 0 ended by q or Ctrl-C, 1 the server does not answer, 2 wrong usage.""",
    execute,
    sections_of(TopOptions),
)
