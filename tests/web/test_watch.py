"""The messages of a device on the page, in a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.browser import Browser
from support.page import complaints, enter_token, tab_to, text
from support.stub_server import StubServer, queue, socket

pytestmark = pytest.mark.slow

TOKEN = "correct-horse"
NAME = "<script>document.title='owned'</script>"
SUMMARY = "[data-device=orders] .watch summary"
TEXTS = "[...document.querySelectorAll('.watch-list pre')].map((one) => one.textContent)"
STATE, COUNT = text(".watch-state"), text(".watch-live .muted")
DIRECTION, VIEW = (f".watch-fields label:nth-of-type({number}) select" for number in (1, 4))
TOPIC, SAMPLE = (f".watch-fields label:nth-of-type({number}) input" for number in (2, 3))


def tapped(_seconds: float) -> list[dict[str, Any]]:
    one = queue("orders")
    one["sockets"].append(socket("tap", "XPUB", "tcp://127.0.0.1:5560"))
    return [one, queue("without")]


def line(*parts: Any, source: str = "frontend") -> str:
    return json.dumps({"time": 1700000000.25, "source": source, "parts": list(parts)})


def watch(browser: Browser, stub: StubServer, token: str = TOKEN) -> None:
    browser.open(stub.url)
    enter_token(browser, token)
    browser.click(SUMMARY)


def choose(browser: Browser, selector: str, value: str) -> None:
    """Set a field, as its user would."""
    event = "input" if "input" in selector else "change"
    found = f"document.querySelector({json.dumps(selector)})"
    browser.evaluate(f"{found}.value = {json.dumps(value)}; {found}.dispatchEvent(new Event('{event}'))")


def until_watched(browser: Browser, stub: StubServer, query: dict[str, str]) -> None:
    """Wait until the page has asked for this, and has an answer."""
    for _ in range(500):
        if stub.watched[-1:] == [query]:
            browser.until(f"{STATE} === 'Every message from now on.'")
            return
        browser.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")
    raise AssertionError(f"asked for {stub.watched}, not for {query}")


def test_messages_are_shown_as_text_hexadecimal_and_json(browser):
    with StubServer(tapped, token=TOKEN) as stub:
        stub.tapped = [line("first"), line("a\u202eb", '{"n":12345678901234567890,"list":[1,{}]}', {"hex": "00ff41"})]
        watch(browser, stub)
        shown = ["a\\u202eb", '{"n":12345678901234567890,"list":[1,{}]}', "\\x00\\xffA", "first"]
        assert browser.until(f"({TEXTS}).length === 4 && {TEXTS}") == shown
        head = text(".watch-list li:first-child .watch-head")
        assert browser.evaluate(head).endswith(".250frontend48\u00a0B in 3 parts")
        choose(browser, VIEW, "hex")
        assert browser.until(f"{TEXTS}[2] === '00 ff 41' && {TEXTS}[3]") == "66 69 72 73 74"
        choose(browser, VIEW, "json")
        assert browser.until(f"{TEXTS}[1].includes('\\n') && {TEXTS}[1]") == (
            '{\n  "n": 12345678901234567890,\n  "list": [\n    1,\n    {}\n  ]\n}'
        )
        assert complaints(browser, stub) == []


def test_what_is_in_messages_is_text(browser):
    with StubServer(tapped, token=TOKEN) as stub:
        stub.tapped = [line(NAME, source=NAME)]
        watch(browser, stub)
        for view in ("json", "text"):
            choose(browser, VIEW, view)
            assert browser.until(f"({TEXTS}).length === 1 && {TEXTS}") == [NAME]
        assert browser.evaluate("document.querySelectorAll('main script').length") == 0
        assert browser.evaluate("document.title") == "geventrelay"


def test_direction_topic_and_sample_are_asked_for(browser):
    with StubServer(tapped, token=TOKEN) as stub:
        watch(browser, stub)
        until_watched(browser, stub, {"sample": "1"})
        choose(browser, DIRECTION, "backend")
        until_watched(browser, stub, {"direction": "backend", "sample": "1"})
        choose(browser, TOPIC, "prices & more")
        choose(browser, SAMPLE, "10")
        until_watched(browser, stub, {"direction": "backend", "topic": "prices & more", "sample": "10"})
        stub.overrides["/api/devices/orders/tap"] = (400, {"error": "sample: expected a number >= 1, got 0"})
        choose(browser, SAMPLE, "0")
        browser.until(f"{STATE} === 'sample: expected a number >= 1, got 0'")


def test_only_the_newest_are_kept_and_of_long_ones_the_beginning(browser):
    with StubServer(tapped, token=TOKEN) as stub:
        stub.tapped = [line("x" * 50_000) for _ in range(150)] + [line(str(number)) for number in range(30_000)]
        stub.tapped += [json.dumps({"lost": 17}), line(*"ab" * 50)]
        watch(browser, stub)
        browser.until(f"{COUNT}.startsWith('30.2\\u00a0k messages \u00b7 17 lost')")
        assert browser.evaluate("document.querySelectorAll('.watch-list li').length") == 100
        assert browser.evaluate("document.querySelectorAll('.watch-list li:first-child pre').length") == 32
        assert browser.evaluate(f"{TEXTS}[32]") == "29999"
        stub.tapped = [line("y" * 50_000)] * 150
        choose(browser, SAMPLE, "2")
        browser.until(f"{COUNT} === '150 messages'")
        assert browser.evaluate(f"{TEXTS}.join('').length") < 100 * 1100
        assert browser.evaluate(f"{TEXTS}[0].endsWith(' \u2026 (50,000 bytes)')")
        assert complaints(browser, stub) == []


def test_a_pause_shows_nothing_and_keeps_nothing(browser):
    with StubServer(tapped, token=TOKEN) as stub:
        stub.tapped = [line("before")]
        watch(browser, stub)
        browser.until(f"({TEXTS}).length === 1")
        tab_to(browser, "document.activeElement.textContent === 'Pause watching orders'")
        browser.press("Space")
        stub.tapped = [line("meanwhile")] * 3
        stub.tap_over.set()
        browser.until(f"{STATE}.startsWith('The device has stopped')")
        stub.tap_over.clear()
        browser.until(f"{COUNT}.endsWith('paused, 3 not shown')")
        assert browser.evaluate(TEXTS) == ["before"]
        assert browser.evaluate("document.activeElement.ariaPressed") == "true"
        browser.press("Space")
        browser.until(f"!{COUNT}.includes('paused')")


def test_there_is_a_panel_only_where_there_is_a_tap_and_messages_only_with_the_token(browser):
    with StubServer(tapped) as stub:
        browser.open(stub.url)
        browser.click(SUMMARY)
        browser.until(f"{text('.watch-closed')}.includes('geventrelay tap tcp://127.0.0.1:5560')")
        assert browser.evaluate("document.querySelector('[data-device=without] .watch').hidden") is True
    with StubServer(tapped, token=TOKEN) as stub:
        stub.tapped = [line("one")]
        browser.open(stub.url)
        browser.click(SUMMARY)
        browser.click(".watch-closed button:not([hidden])")
        browser.until("document.activeElement.id === 'token-input'")
        browser.type(TOKEN)
        browser.press("Enter")
        browser.until(f"({TEXTS}).length === 1")
        stub.token, stub.overrides = "another", {}
        choose(browser, SAMPLE, "3")
        browser.until("document.querySelector('#token-dialog').open && sessionStorage.length === 0")


def test_a_panel_that_is_closed_watches_no_more(browser):
    with StubServer(tapped, token=TOKEN) as stub:
        watch(browser, stub)
        browser.until(f"{STATE} === 'Every message from now on.'")
        browser.click(SUMMARY)
        stub.tap_over.set()
        browser.click(SUMMARY)
        browser.until(f"{STATE}.startsWith('The device has stopped')")
        assert len(stub.watched) == 2
