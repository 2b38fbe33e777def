"""The curves of the last 15 minutes, in a browser."""

from __future__ import annotations

import re

import pytest
from support.page import complaints, tab_to, text
from support.stub_server import StubServer, queue

pytestmark = pytest.mark.slow

RECEIVED = ".spark.received"
PLOT = f"{RECEIVED} .spark-plot"
VALUE, SCALE, TIME = (text(f"{RECEIVED} .spark-{part}") for part in ("value", "scale", "time:last-child"))


@pytest.fixture
def stub():
    """A device that receives nothing now, and has received 0, 1, 2 and so on a second before."""
    with StubServer(lambda _: [queue("orders")]) as server:
        none = [0] * 180
        server.history = {"orders": {"received": list(range(180)), "dropped": none, "lost": none, "held": none}}
        yield server


def seconds_ago(browser) -> float:
    """How long ago the moment is that the curve shows."""
    shown = browser.evaluate(TIME)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", shown)
    now = browser.evaluate("new Date().toTimeString().slice(0, 8)")
    shown_s, now_s = (
        sum(int(part) * unit for part, unit in zip(one.split(":"), (3600, 60, 1), strict=True)) for one in (shown, now)
    )
    return (now_s - shown_s) % 86400


def test_the_pointer_shows_the_value_and_the_time_of_a_moment(browser, stub):
    browser.open(stub.url)
    browser.until(f"{SCALE} === '200/s' && {VALUE} === '0/s' && {TIME} === 'now'")
    assert browser.evaluate(text(f"{RECEIVED} .spark-time")) == "15 min ago"
    browser.point_at(PLOT, 0.5)
    browser.until(f"/^(89|90)\\/s$/.test({VALUE})")
    assert 440 <= seconds_ago(browser) <= 500
    browser.point_at("h1", 0.5)
    browser.until(f"{VALUE} === '0/s' && {TIME} === 'now'")
    assert complaints(browser, stub) == []


def test_the_keyboard_shows_it_too(browser, stub):
    browser.open(stub.url)
    browser.until(f"{SCALE} === '200/s'")
    tab_to(browser, f"document.activeElement === document.querySelector('{PLOT}')")
    for key, shown in (("Home", "0/s"), ("ArrowRight", "1.0/s"), ("ArrowRight", "2.0/s"), ("ArrowLeft", "1.0/s")):
        browser.press(key)
        browser.until(f"{VALUE} === '{shown}' && {TIME} !== 'now'")
        assert browser.evaluate("document.activeElement.ariaValueText").startswith(f"{shown}, ")
    assert 880 <= seconds_ago(browser) <= 920
    browser.press("Escape")
    browser.until(f"{TIME} === 'now'")
    # Curves without a value are passed over.
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Details of orders"


def test_a_moment_stays_what_it_is_while_time_goes_on(browser, stub):
    # As many points as 15 minutes have, a second apart: the next comes soon.
    stub.history["orders"]["received"] = [7] * 899 + [170]
    stub.interval_s = 1
    browser.open(stub.url)
    browser.until(f"{SCALE} === '200/s'")
    tab_to(browser, f"document.activeElement === document.querySelector('{PLOT}')")
    browser.press("ArrowRight")
    browser.until(f"{VALUE} === '170/s'")
    line = "document.querySelector('.spark.received .spark-line').getAttribute('d')"
    before = browser.evaluate(line)
    browser.until(f"{line} !== {before!r}")
    browser.until(f"document.activeElement.ariaValueNow < 899 && {VALUE} === '170/s'")


def test_there_are_links_to_metrics_api_and_documentation(browser, stub):
    browser.open(stub.url)
    links = "[...document.querySelectorAll('footer a')].map((one) => one.getAttribute('href'))"
    assert browser.evaluate(links) == ["metrics", "api/devices", "docs.html"]
    browser.open(f"{stub.url}docs.html")
    browser.click(".docs header a")
    browser.until("document.querySelectorAll('.card').length === 1")
    assert complaints(browser, stub) == []


def test_a_condition_is_waited_for_over_a_page_that_is_left(browser, stub):
    browser.open(stub.url)
    browser.evaluate("void setTimeout(() => location.assign('docs.html'), 50)")
    browser.until("document.querySelector('.docs') !== null")
