"""A headless browser for the tests of the page, or a reason to skip them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.browser import NAMES, Browser, find_chromium
from support.process import folder, start

__all__ = ["folder", "start"]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = find_chromium()
    if binary is None:
        pytest.skip(f"none of {', '.join(NAMES)} is on PATH; on Debian: apt-get install chromium")
    with Browser(binary, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """An empty page, 1000 pixels wide, of a reader who wants no motion."""
    chromium.show_as(1000, 800, still=True)
    yield chromium
    # The page would go on asking for events.
    chromium.leave()
