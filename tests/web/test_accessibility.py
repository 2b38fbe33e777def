"""axe finds nothing to complain of, with everything open, in light and dark, on a wide and on a narrow screen."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.browser import Browser
from support.page import complaints, enter_token
from support.stub_server import StubServer, backbone, neighbour, peer, queue, relay, socket

from geventrelay import Drop
from geventrelay.backbone.values import LinkState

pytestmark = pytest.mark.slow

TOKEN = "correct-horse"
RUN = """
axe.run({ include: [document], exclude: [[%s]] }, { resultTypes: ["violations"] }).then(
  ({ violations }) => violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html).join(" ")}`))
"""
LOOKS = [(1180, False), (1180, True), (400, False), (400, True)]
# Of a table, whose rows all look alike, and of plain text.
TWO_LOOKS = [(1180, False), (400, True)]
# The rows of which axe sees none, for the sake of time: it takes seconds for each hundred.
LIKE_OTHERS = "tbody:nth-of-type(n+7):not(:has(.card))"


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which a package brings along."""
    spec = importlib.util.find_spec("axe_core_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-core-python is not installed")
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(browser: Browser, axe: str) -> list[str]:
    """What axe says against the page as it is now."""
    if not browser.evaluate("'axe' in window"):
        browser.evaluate(f"{axe}; 0")
    found: list[str] = browser.evaluate(RUN % json.dumps(LIKE_OTHERS))
    return found


def varied(number: int) -> list[dict[str, Any]]:
    """Devices in every state, with all that a card can show."""
    some = [
        relay(f"relay-{index}", received=9, dropped=3) if index % 2 else queue(f"queue-{index}", received=9)
        for index in range(number)
    ]
    some[0]["pumps"][0]["outlets"][0]["held"] = some[0]["held"] = 1
    some[0]["sockets"][0]["certain"] = False
    some[1]["pumps"][0]["outlets"][1]["uncut"] = 7
    some[1]["sockets"].append(socket("tap", "XPUB", "tcp://0.0.0.0:6004"))
    some[2] |= {"state": "failed", "failure": "cannot bind tcp://127.0.0.1:1", "next_start_in_s": 4.0}
    some[3]["state"] = "paused"
    some[1]["backbone"] = backbone([neighbour(1), neighbour(2, silent_s=4.0), neighbour(3, about={"waiting": 9})])
    some[3]["backbone"] = backbone([], state=LinkState.CONNECTING, waiting=7)
    some[0]["sockets"][0]["connecting"] = [
        {
            "endpoint": "tcp://upstream.example.org:7777", "connected": False, "tries": 3, "waiting": 2,
            "failure": "Connection refused", "failed_at": time.time(),
        }
    ]  # fmt: skip
    return some


def prepared(number: int) -> StubServer:
    devices = varied(number)
    stub = StubServer(lambda _: devices, token=TOKEN)
    stub.history = {
        one["name"]: {what: [0, 5, 9] for what in ("received", "dropped", "lost", "held")} for one in devices
    }
    stub.peers = {
        "sub": [
            {"address": "127.0.0.1:40100", "since": time.time() - 90, "mechanism": "NULL"},
            peer("127.0.0.1:40101", topics=(b"a" * 200,), lost={Drop.SLOW: 3}, waiting=4, oldest_s=0.5),
        ]
    }
    stub.tapped = [json.dumps({"time": 1.5, "source": "sub", "parts": ["text", {"hex": "00ff"}]})]
    return stub


def open_everything(browser: Browser, cards: int) -> None:
    browser.until(f"document.querySelectorAll('.card').length === {cards}")
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.until(f"document.querySelectorAll('[aria-label^=Peers]:not([hidden])').length === {cards}")
    browser.until("document.querySelectorAll('.watch-list pre').length === 2")
    browser.until("document.querySelector('.note:not([hidden])') !== null")


def test_cards_with_everything_open(browser, axe):
    with prepared(4) as stub:
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        open_everything(browser, 4)
        for width, dark in LOOKS:
            browser.show_as(width, 900, dark=dark, still=True)
            assert violations(browser, axe) == []
        browser.click("#token")
        browser.click("#token")
        browser.until("document.querySelector('#token-dialog').open")
        for dark in (True, False):
            browser.show_as(400, 900, dark=dark, still=True)
            assert violations(browser, axe) == []
        assert complaints(browser, stub) == []


def test_two_hundred_devices_with_rows_open(browser, axe):
    with prepared(200) as stub:
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        browser.click("thead .cell-name .sort")
        for index in range(4):
            browser.click(f"[data-device$='-{index}'] .row-open")
        open_everything(browser, 4)
        for width, dark in TWO_LOOKS:
            browser.show_as(width, 900, dark=dark, still=True)
            browser.click(".copy")
            browser.until("document.querySelector('.copy').textContent.startsWith('Copied')")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert violations(browser, axe) == []
        assert complaints(browser, stub) == []


def test_the_documentation(browser, axe):
    with prepared(4) as stub:
        browser.open(f"{stub.url}docs.html")
        for width, dark in TWO_LOOKS:
            browser.show_as(width, 900, dark=dark, still=True)
            assert violations(browser, axe) == []
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
