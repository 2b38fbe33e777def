"""The table of bounds in docs/operating.rst has every option that is a bound, with its default and its unit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gevent import pywsgi

from geventrelay.backbone import interest, terms
from geventrelay.backbone.store import fetching, storing
from geventrelay.backbone.words import codec
from geventrelay.components import control, replay
from geventrelay.components import tap as tap_component
from geventrelay.retention.dialect import MOST_WAITING, MOST_WAITING_BYTES
from geventrelay.settings import PATTERNS, ServerSettings
from geventrelay.settings.option import options_of
from geventrelay.web import events, report, tap
from geventrelay.web.http import listener

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.rst"
OPTIONS = {option.name: option for cls in (ServerSettings, *PATTERNS.values()) for option in options_of(cls)}
BOUNDS = sorted(name for name, option in OPTIONS.items() if option.bound)

FIXED = {
    "listeners to events over HTTP": (events.MAX_LISTENERS, "listeners"),
    "watchers over HTTP": (tap.MAX_WATCHERS, "watchers"),
    "messages for a watcher": (tap_component.WATCH_HWM, "messages"),
    "a message over HTTP": (tap.MAX_MESSAGE_BYTES, "bytes"),
    "parts of a message over HTTP": (tap.MAX_MESSAGE_PARTS, "parts"),
    "topics in an answer": (report.MAX_TOPICS, "topics"),
    "the line of a request": (pywsgi.MAX_REQUEST_LINE, "bytes"),
    "the head of a request": (listener.MAX_HEADER_BYTES, "bytes"),
    "the body of a request": (listener.MAX_BODY_BYTES, "bytes"),
    "the time of a request": (int(listener.REQUEST_S), "seconds"),
    "the time of an answer": (int(listener.SEND_S), "seconds"),
    "a part of a control message": (control.MOST_PART_BYTES, "bytes"),
    "control messages that wait": (control.MOST_WAITING, "messages"),
    "parts of a control message": (control.MOST_PARTS, "parts"),
    "prefixes that a device asks others for": (interest.MOST_PREFIXES, "prefixes"),
    "packs of work on their way to NATS, with ``durable``": (storing.MOST_PACKS, "packs"),
    "work that was fetched from NATS, with ``durable``": (fetching.ENOUGH_BYTES, "bytes"),
    "other devices of one name": (terms.MOST_RELAYS, "devices"),
    "a word of another device": (codec.MOST_WORD_BYTES, "bytes"),
    "a request to a replay port": (replay.MOST_REQUEST_BYTES, "bytes"),
    "requests that wait at a replay port": (MOST_WAITING, "requests"),
    "bytes of requests that wait at a replay port": (MOST_WAITING_BYTES, "bytes"),
    "answers that wait at a replay port": (replay.MOST_QUEUED_BYTES, "bytes"),
}


def table() -> dict[str, list[str]]:
    """The rows of the table: what the other cells say, by the first cell."""
    section = PAGE.read_text(encoding="utf-8").partition("\nBounds\n------\n")[2]
    section = re.split(r"\n[^\n]+\n-+\n", section)[0]
    rows = re.split(r"^   \* - ", section, flags=re.MULTILINE)[2:]
    cells = [[" ".join(cell.split()) for cell in re.split(r"^     - ", row, flags=re.MULTILINE)] for row in rows]
    return {first: others for first, *others in cells}


def test_every_option_that_is_a_bound_is_there_and_no_other_option_is():
    named = {first.strip("`") for first in table() if first.startswith("``")}
    assert named == set(BOUNDS)


def test_every_cell_says_something():
    assert all(len(others) == 5 and all(others) for others in table().values())


@pytest.mark.parametrize("name", BOUNDS)
def test_the_default_and_the_unit_are_the_real_ones(name):
    default, unit, *_ = table()[f"``{name}``"]
    assert (default, unit) == (OPTIONS[name].default_text, OPTIONS[name].unit)


def test_every_fixed_bound_is_there_with_its_real_value_and_no_other_is():
    rows = {
        first.removesuffix(" (fixed)"): (default, unit)
        for first, (default, unit, *_) in table().items()
        if first.endswith(" (fixed)")
    }
    assert rows == {name: (str(value), unit) for name, (value, unit) in FIXED.items()}
    assert len(rows) + len(BOUNDS) == len(table())
