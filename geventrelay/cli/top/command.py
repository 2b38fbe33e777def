"""``geventrelay top``: what the devices of a server do, in a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import StartError
from ...settings.checks import flag, seconds
from ...settings.option import Group, option, read_group
from ..api_client import DEFAULT_URL, Remote
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..output import print_stdout, unwritable
from .keys import Keyboard
from .rates import DeviceRates, rates
from .topics import MOST_TOPICS, TopicRates, to_ask, topics_of
from .view import QUIT, Shows

if TYPE_CHECKING:
    from .screen import Screen

_PERIOD_S = 1.0


class Reading(NamedTuple):
    """What a server sends at one moment.

    :ivar server: what it says of itself.
    :ivar devices: its devices, by name.
    :ivar topics: their busiest topics; None if they were not asked for.
    """

    server: dict[str, Any]
    devices: dict[str, DeviceRates]
    topics: list[TopicRates] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOptions(Group):
    """The options of ``geventrelay top``."""

    timeout_s: float = option(seconds, "how long to wait for an answer", default=5.0)
    json: bool = option(flag, "print one JSON object for each second", default=False)
    once: bool = option(flag, "print the devices once, with the rates of one second", default=False)
    topics: bool = option(flag, "show the busiest topics too; on a screen, first (engine zmtp)", default=False)


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
        return _print_once(remote, chosen.topics) if once else _watch(remote, chosen.topics)
    except (KeyboardInterrupt, _Quit):
        return 0
    except OSError as error:
        # Of rich, which writes by itself.
        raise unwritable(error) from None


class _Quit(Exception):
    """The key that ends it was pressed."""


def _readings(
    remote: Remote, with_topics: Callable[[], bool], wait: Callable[[float], None] = time.sleep
) -> Iterator[Reading]:
    """One reading after another, a second apart, the first with the rates of a second.

    :param with_topics: whether the next one is to have topics.
    """
    answer, before_s = remote.devices(), time.monotonic()
    before = rates(answer, {}, 0)
    while True:
        wait(_PERIOD_S)
        answer, now_s = remote.devices(), time.monotonic()
        before = rates(answer, before, now_s - before_s)
        before_s = now_s
        yield Reading(answer["server"], before, _topics(remote, before) if with_topics() else None)


def _topics(remote: Remote, devices: Mapping[str, DeviceRates]) -> list[TopicRates]:
    """The busiest topics of the `devices` that count some."""
    # One may have gone meanwhile, or count none any more.
    answers = ((name, remote.topics(name, MOST_TOPICS)) for name in to_ask(devices.values()))
    return [one for name, answer in answers if answer is not None for one in topics_of(name, answer)]


def _print_json(remote: Remote, chosen: TopOptions) -> int:
    for server, devices, topics in _readings(remote, lambda: chosen.topics):
        told: dict[str, Any] = {name: one.as_json() for name, one in devices.items()}
        if topics is not None:
            for one in told.values():
                one["busiest"] = [topic.as_json() for topic in topics if topic.device == one["name"]]
        print_stdout(json.dumps({"version": 1, "server": server, "devices": list(told.values())}))
        if chosen.once:
            break
    return 0


def _print_once(remote: Remote, with_topics: bool) -> int:
    screen = _screen(remote)
    print_stdout(screen.text(*next(_readings(remote, lambda: with_topics))))
    return 0


def _watch(remote: Remote, with_topics: bool) -> int:
    screen = _screen(remote)
    if with_topics:
        screen.turn_to(Shows.TOPICS)
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
                    readings = (
                        _readings(remote, lambda: screen.shows is Shows.TOPICS, wait) if readings is None else readings
                    )
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
--http; URL is {DEFAULT_URL} unless it is given. The key v shows the busiest topics, and what is kept for
later; the key ? shows the keys that sort and scroll.

Exit codes: 0 ended by q or Ctrl-C, 1 the server does not answer, 2 wrong usage.""",
    execute,
    sections_of(TopOptions),
)
