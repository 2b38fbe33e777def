"""docs/configuration.rst is complete: every key and every socket option stands in it, and nothing else does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geventrelay.settings import PATTERNS, ServerSettings
from geventrelay.settings.file.keys import keys_of
from geventrelay.settings.socket_options import OPTIONS, REFUSED

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "configuration.rst").read_text(encoding="utf-8")
KEYS = sorted({key for cls in (ServerSettings, *PATTERNS.values()) for key in keys_of(cls)} - {"name"})


def rows(heading: str, until: str) -> set[str]:
    """The keys in the first column of the tables between two headings."""
    part = TEXT.partition(f"\n{heading}\n---")[2].partition(f"\n{until}\n---")[0]
    cells = re.findall(r"^(``[a-z0-9_-]+``(?:, ``[a-z0-9_-]+``)*)  ", part, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"``([a-z0-9_-]+)``", cell)}


def test_every_key_has_a_row():
    assert rows("The process", "Devices") == set(keys_of(ServerSettings))
    # The page may be ahead of the code by what watches a device.
    assert rows("Devices", "Sockets") - {"tap"} == set(KEYS) - set(keys_of(ServerSettings)) - {"tap"} | {"pattern"}


def test_every_socket_option_has_a_row():
    assert rows("Sockets", "Environment variables") == set(OPTIONS)


@pytest.mark.parametrize("name", REFUSED)
def test_every_option_that_is_refused_is_named(name):
    assert f"``{name}``" in TEXT.partition("\nRefused, each")[2].partition("\nEnvironment variables")[0]
