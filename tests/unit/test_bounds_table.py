"""The table of bounds in docs/operating.rst has every option that is a bound, with its default and its unit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geventrelay.settings import PATTERNS, ServerSettings
from geventrelay.settings.option import options_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.rst"
OPTIONS = {option.name: option for cls in (ServerSettings, *PATTERNS.values()) for option in options_of(cls)}
BOUNDS = sorted(name for name, option in OPTIONS.items() if option.bound)


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
