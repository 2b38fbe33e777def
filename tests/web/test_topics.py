"""The topics and the subscribers of a device on the page, in a browser."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from support.browser import Browser
from support.page import complaints, text
from support.stub_server import StubServer, forwarder, peer, topic

pytestmark = pytest.mark.slow

TOKEN = "correct-horse"
SUMMARY = "[data-device=weather] .details summary"
TOPICS = "[...document.querySelectorAll('.topics .row .cell-topic')].map((one) => one.textContent)"
NASTY = "\u202e<img src=/x onerror=\"document.title='owned'\">"
SHOWN = NASTY.replace("\u202e", "\\u202e")


def opened(browser: Browser, stub: StubServer) -> None:
    stub.subscriptions = []
    browser.open(stub.url)
    browser.click(SUMMARY)


def cells(row: int, table: str = "topics") -> str:
    """JavaScript for the texts of a row, by the heading of each."""
    rows = f"document.querySelectorAll('.{table} .sorted .row')"
    return f"Object.fromEntries([...{rows}[{row}].cells].map((one) => [one.dataset.heading, one.textContent]))"


def subscriber(address: str, lost: dict[str, int], lost_topics: list[Any], **more: Any) -> dict[str, Any]:
    number = int(address.rpartition(":")[2])
    return {**peer(address, id=number), "connected": True, "lost": lost, "lost_topics": lost_topics, **more}


def lost_topic(name: str, lost: int, error: int = 0) -> dict[str, Any]:
    return {"topic": name, "hex": name.encode().hex(), "lost": lost, "error": error}


def subscribers(peers: list[Any], gone: list[Any] | None = None, *, by_topic: bool = True) -> dict[str, Any]:
    head = {"total": len(peers), "gone_total": len(gone or []), "gone_lost": 50 * len(gone or [])}
    sockets = {"backend": {**head, "peers": peers, "gone": gone or []}}
    return {"version": 1, "device": "weather", "by_topic": by_topic, "sockets": sockets}


def test_topics_are_shown_and_sorted_by_their_headings(browser):
    with StubServer(lambda _: [forwarder()]) as stub:
        stub.topics = [
            topic("quiet", 10, lost=130, messages_per_s=0.02),
            topic("busy", 9000, error=7),
            topic(b"\xff\x00", 500),
            topic("gone", 0, lost=3, lost_error=1, last_seen=None, messages_per_s=0),
        ]
        opened(browser, stub)
        shown = browser.until(f"({TOPICS}).length === 4 && {TOPICS}")
        assert shown == ["busy", "0xff00", "quiet", "gone"]
        busy, gone = (browser.evaluate(cells(row)) for row in (0, 3))
        assert (busy["Messages"], busy["Rate"], busy["Lost"]) == ("≤ 9.0\u00a0k", "150/s", "0")
        assert (gone["Messages"], gone["Rate"], gone["Last"], gone["Lost"]) == ("0", "\u2013", "\u2013", "≤ 3")
        browser.click(".topics .cell-lost .sort")
        assert browser.until(f"{TOPICS}[0] === 'quiet' && {TOPICS}") == ["quiet", "gone", "busy", "0xff00"]
        assert browser.evaluate("document.querySelector('.topics th.cell-lost').ariaSort") == "descending"
        assert "sort=lost" in stub.asked[-1]
        assert browser.evaluate(text(".topics-summary")) == (
            "4 topics · 140 deliveries lost in all · ≤ is at most 7 too high"
        )
        assert complaints(browser, stub) == []


def test_a_row_that_a_reader_is_at_stays_until_a_heading_is_pressed(browser):
    with StubServer(lambda _: [forwarder(kept=2)]) as stub:
        stub.topics = [topic("one", 10), topic("two", 20)]
        opened(browser, stub)
        browser.until(f"({TOPICS}).join() === 'two,one'")
        browser.evaluate("document.querySelector('.topics .row-open').focus({ preventScroll: true })")
        stub.topics = [topic("one", 30), topic("two", 20)]
        browser.until(f"({cells(1)}).Messages === '30'")
        assert browser.evaluate(f"({TOPICS}).join()") == "two,one"
        # A script that presses it leaves the focus where it is.
        browser.evaluate("document.querySelector('.topics .cell-bytes .sort').click()")
        browser.until(f"({TOPICS}).join() === 'one,two'")


def test_of_ten_thousand_topics_few_are_asked_for_until_more_are_wanted(browser):
    with StubServer(lambda _: [forwarder()]) as stub:
        stub.topics = [topic(f"t{number:04}", 10_000 - number) for number in range(10_000)]
        opened(browser, stub)
        browser.until(f"({TOPICS}).length === 100")
        assert "limit=100" in stub.asked[-1]
        assert browser.evaluate(text(".topics-summary")).startswith("100 of 10,000 topics")
        browser.click(".topics > button")
        browser.until(f"({TOPICS}).length === 1000 && document.querySelector('.topics > button').hidden")
        browser.click(".topics-prefix input")
        browser.type("t777")
        assert browser.until(f"({TOPICS}).length === 10 && {TOPICS}[0]") == "t7770"


def test_a_device_is_asked_only_while_its_details_are_open(browser):
    with StubServer(lambda _: [forwarder()]) as stub:
        stub.topics = [topic("one", 1)]
        browser.open(stub.url)
        browser.until("document.querySelector('.lane')")
        assert stub.asked == []
        browser.click(SUMMARY)
        browser.until(f"({TOPICS}).length === 1")
        browser.click(SUMMARY)
        browser.until("!document.querySelector('.details').open")
        before = len(stub.asked)
        # Longer than the time after which it would ask again.
        browser.evaluate("new Promise((resolve) => setTimeout(resolve, 2500))")
        assert len(stub.asked) == before


def test_a_device_that_counts_none_is_not_asked_for_topics(browser):
    with StubServer(lambda _: [forwarder(topics=0)]) as stub:
        stub.subscribers = subscribers([subscriber("127.0.0.1:1", {"slow": 3}, [])], by_topic=False)
        opened(browser, stub)
        browser.until("document.querySelectorAll('.subscribers .row').length === 1")
        assert browser.evaluate(cells(0, "subscribers"))["Lost by topic"] == "not counted"
        assert "topics" in browser.evaluate(text(".subscribers > .muted"))
        assert browser.evaluate("document.querySelector('.topics').hidden")
        assert [path for path in stub.asked if "/topics" in path] == []


def test_a_topic_opens_to_its_last_value_for_those_who_have_the_token(browser):
    with StubServer(lambda _: [forwarder(kept=2)], token=TOKEN) as stub:
        stub.topics = [topic("news", 5), topic(b"\xff\x00", 3)]
        news = {"time": 1700000000.25, "source": "backend", "parts": [f'news {{"n":12345678901234567890}} {NASTY}']}
        stub.last = [
            {"time": 1700000000.0, "source": "backend", "parts": ["n", "another"]},
            {**news, "topic": "news"},
            {"time": 1700000000.0, "source": "backend", "parts": [{"hex": "ff00"}, "21"]},
        ]
        opened(browser, stub)
        browser.until("document.querySelector('.kept').textContent === 'Kept: 2 last values, 80\\u00a0B'")
        browser.click(".topics .row-open")
        browser.until("document.querySelector('.below').textContent.includes('confidential')")
        browser.click(".below button")
        browser.until("document.activeElement.id === 'token-input'")
        browser.type(TOKEN)
        browser.press("Enter")
        shown = browser.until("document.querySelector('.below pre')?.textContent")
        assert shown == 'news {"n":12345678901234567890} ' + SHOWN
        assert "prefix=%6e%65%77%73" in stub.asked[-1] or "prefix=%6e%65%77%73" in "".join(stub.asked)
        browser.click(".topics tbody:nth-of-type(2) .row-open")
        browser.until("document.querySelectorAll('.below').length === 2")
        parts = "[...document.querySelectorAll('tbody:nth-of-type(2) .below pre')].map((one) => one.textContent)"
        assert browser.until(f"({parts}).length === 2 && {parts}") == ["\\xff\\x00", "21"]
        assert any("prefix=%ff%00" in path for path in stub.asked)
        browser.click(".topics .row-open")
        browser.until("document.querySelectorAll('.below').length === 1")
        assert browser.evaluate("document.querySelectorAll('main img').length") == 0


def test_each_subscriber_is_there_with_what_it_lost_and_why(browser):
    with StubServer(lambda _: [forwarder()]) as stub:
        many = [lost_topic(f"t{number}", 1) for number in range(9)]
        stub.subscribers = subscribers(
            [
                subscriber(
                    "127.0.0.1:1", {"slow": 90, "left": 0}, [lost_topic("prices", 80), lost_topic("news", 10, 2)]
                ),
                subscriber("127.0.0.1:2", {}, [], delivered=5_000_000),
                subscriber("127.0.0.1:3", {"too_old": 9}, many),
            ],
            [subscriber("127.0.0.1:9", {"left": 50}, [lost_topic(NASTY, 50)], connected=False, left_at=time.time())],
        )
        opened(browser, stub)
        browser.until("document.querySelectorAll('.subscribers .row').length === 4")
        first, third = (browser.evaluate(cells(row, "subscribers")) for row in (0, 1))
        assert (first["Subscriber"], first["Lost"], first["Wants"]) == ("127.0.0.1:1", "90", "prices")
        assert first["Lost by topic"] == "prices 80, news ≤ 10"
        assert third["Lost by topic"] == "t0 1, t1 1, t2 1, t3 1 and 5 topics more"
        assert browser.evaluate(cells(3, "subscribers"))["Lost by topic"] == f"{SHOWN} 50"
        assert "1 subscriber has left that had lost something: 50 deliveries" in browser.evaluate(
            text(".subscribers > .muted")
        )
        browser.click(".subscribers .cell-delivered .sort")
        browser.until(f"({cells(0, 'subscribers')}).Subscriber === '127.0.0.1:2'")
        assert complaints(browser, stub) == []


@pytest.mark.parametrize("width", [390, 1000, 1300])
def test_everything_fits_the_width_that_there_is(browser, width):
    # At 1000, a card has half of that.
    others = [forwarder("other", topics=0), forwarder("third", topics=0)] if width == 1000 else []
    with StubServer(lambda _: [forwarder(kept=3), *others]) as stub:
        stub.topics = [topic("x" * 255, 9000, error=7), topic("news", 5, lost=4)]
        gone = subscriber(
            "127.0.0.1:9", {"left": 50}, [lost_topic("y" * 255, 50)], connected=False, left_at=time.time()
        )
        stub.subscribers = subscribers(
            [subscriber("[2001:db8::1234:5678]:49152", {"slow": 9}, [lost_topic("z" * 255, 9)])], [gone]
        )
        browser.show_as(width, 800, still=True)
        opened(browser, stub)
        browser.until(f"({TOPICS}).length === 2 && document.querySelectorAll('.subscribers .row').length === 2")
        too_wide = "[...document.querySelectorAll('.sorted')].filter((one) => one.scrollWidth > one.clientWidth).length"
        assert browser.evaluate(too_wide) == 0
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_goes_wrong_is_said(browser):
    with StubServer(lambda _: [forwarder()]) as stub:
        stub.overrides["/api/devices/weather/topics"] = (503, {"error": f"too much {NASTY}"})
        opened(browser, stub)
        browser.until(f"{text('.topics-summary')} === {json.dumps('too much ' + SHOWN)}")
        stub.overrides.clear()
        stub.topics = [topic("news", 5)]
        browser.until(f"({TOPICS}).length === 1")
