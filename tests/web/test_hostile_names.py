"""What comes from elsewhere is text on the page: no markup, nothing that hides or turns the direction of writing."""

from __future__ import annotations

import json
import time
from typing import Any

from support.stub_server import StubServer, backbone, device, forwarder, neighbour, peer, pump, queue, socket, topic

# Markup, an end of an attribute, and characters of each kind that is not seen.
NASTY = "\u202e<img src=/x onerror=\"document.title='owned'\">'\"&lt;\u2066\u200b\x07\x1b[31m\x85\u2028\U000e0001"
SHOWN = (
    "\\u202e<img src=/x onerror=\"document.title='owned'\">'\"&lt;\\u2066\\u200b\\x07\\x1b[31m\\x85\\u2028\\U000e0001"
)
HIDDEN = r"/(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u"

# Each text and each attribute of the page that has a character which is not seen.
FOUND = f"""
[...document.querySelectorAll("*")].filter((one) => !["SCRIPT", "STYLE"].includes(one.tagName)).flatMap((one) => [
  ...[...one.attributes].map((attribute) => attribute.value),
  ...[...one.childNodes].filter((child) => child.nodeType === Node.TEXT_NODE).map((child) => child.nodeValue),
]).filter((text) => {HIDDEN}.test(text))
"""
MARKUP = "document.querySelectorAll('main script, main img, main [onerror]').length"


def nasty_device(name: str) -> dict[str, Any]:
    """A device whose every text is nasty."""
    sockets = [
        socket("frontend", "XSUB", f"ipc:///tmp/{NASTY}", handshake_failures={NASTY: 3}, cut_off={NASTY: 1}),
        socket("backend", "XPUB", f"tcp://{NASTY}:1", connects=[f"tcp://{NASTY}:2"]),
        socket(NASTY, NASTY, NASTY),
    ]
    pumps = [pump("frontend", 9, backend={"dropped": {NASTY: 4, "full": 1}}), pump("backend", 1, frontend={})]
    about = {"version": NASTY, "server": NASTY, "peers": {NASTY: 1}}
    other = neighbour(1) | {"host": NASTY, "relay": NASTY}
    other["about"] |= about
    joined = backbone([other]) | {"server": NASTY, "host": NASTY, "dropped": {NASTY: 1}}
    return device(name, "forwarder", sockets, pumps, state="failed", failure=NASTY, restarts=1, backbone=joined)


def check(browser: Any) -> None:
    assert browser.evaluate(FOUND) == []
    assert browser.evaluate(MARKUP) == 0
    assert browser.evaluate("document.title") == "geventrelay"


def test_cards_and_their_details_show_every_name_address_and_topic_as_text(browser):
    with StubServer(lambda _: [nasty_device(NASTY)]) as stub:
        stub.peers = {"backend": [{"address": NASTY, "since": time.time(), "mechanism": NASTY, "certain": False}]}
        topics = (NASTY, NASTY[1:50])
        stub.subscriptions = [{"topic": topic, "hex": topic.encode().hex(), "count": 1} for topic in topics]
        browser.open(stub.url)
        browser.until(f"document.querySelector('h2')?.textContent === {json.dumps(SHOWN)}")
        browser.until("document.querySelector('.lane')")
        browser.until("document.querySelector('.mesh-other') && document.querySelector('[aria-label^=Other] tbody td')")
        check(browser)
        browser.click(".details > summary")
        for table in ("Peers", "Subscriptions"):
            browser.until(f"document.querySelector('[aria-label^={table}] tbody')?.innerText.includes('onerror')")
        shown = browser.evaluate("document.querySelector('.details').textContent")
        assert shown.count("\\u202e<img") >= 4
        check(browser)


def test_topics_subscribers_and_last_values_are_text_too(browser):
    with StubServer(lambda _: [forwarder(kept=1)], token="secret") as stub:
        lost = {"topic": NASTY, "hex": NASTY.encode().hex(), "lost": 3, "error": 1}
        counted = {"topics": [lost], "lost": {NASTY: 3}, "lost_topics": [lost]}
        one = {**peer(NASTY), "connected": False, "user": NASTY, **counted}
        left = {**one, "id": 18, "left_at": time.time()}
        head = {"total": 2, "gone_total": 1, "gone_lost": 3}
        sockets = {NASTY: {**head, "peers": [one], "gone": [left]}}
        stub.subscribers = {"version": 1, "device": NASTY, "by_topic": True, "sockets": sockets}
        # With control characters, it would be shown as bytes.
        name = "".join(char for char in NASTY if char > "\x9f" or char.isprintable())
        stub.topics = [topic(name, 5, lost=3), topic(NASTY, 1)]
        stub.last = [{"time": 1.0, "source": NASTY, "parts": [name, {"hex": NASTY.encode().hex()}]}]
        stub.subscriptions = []
        browser.open(stub.url)
        browser.evaluate("sessionStorage.setItem('geventrelay token', 'secret')")
        browser.open(stub.url)
        browser.click("summary")
        browser.click(".topics .row-open")
        browser.until("document.querySelectorAll('.below pre').length === 2")
        browser.until("document.querySelectorAll('.subscribers .row').length === 2")
        assert browser.evaluate("document.querySelector('.topics .row-open').textContent").startswith("\\u202e<img")
        check(browser)


def test_the_table_of_many_devices_and_an_opened_row_do_too(browser):
    devices = [nasty_device(f"{index}{NASTY}") for index in range(9)]
    with StubServer(lambda _: devices) as stub:
        browser.open(stub.url)
        browser.until(f"document.querySelector('.row-open')?.textContent === {json.dumps('0' + SHOWN)}")
        check(browser)
        browser.click(".row-open")
        browser.until("document.querySelector('.card .lane')")
        check(browser)


def test_what_the_server_says_of_itself_and_of_a_change_is_text(browser):
    with StubServer(lambda _: [queue()], token="secret") as stub:
        answer = stub.answer()
        answer["server"] |= {"geventrelay": NASTY, "burst": NASTY}
        stub.answer = lambda: answer
        browser.open(stub.url)
        browser.until("document.querySelector('#server').textContent.includes('onerror')")
        check(browser)
