"""The table that more than a handful of devices have, in a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.browser import Browser
from support.page import complaints, enter_token, tab_to, text
from support.stub_server import StubServer, queue, relay

pytestmark = pytest.mark.slow

TOKEN = "correct-horse"
NAME = "<script>document.title='owned'</script>"
ROWS = "[...document.querySelectorAll('tbody[data-device]')].filter((one) => !one.hidden)"
NAMES = f"{ROWS}.map((one) => one.dataset.device)"
ANY_CARD = "document.querySelector('.card') !== null"


def several(number: int) -> list[dict[str, Any]]:
    """Queues that have received the more the higher their number is, all at the same rate: none."""
    return [queue(f"queue-{index}", port=10000 + 2 * index, received=100 * index) for index in range(number)]


def row(name: str, rest: str = "") -> str:
    return f"tbody[data-device={json.dumps(name)}] {rest}".strip()


def heading(key: str) -> str:
    return f"thead .cell-{key} .sort"


def until_names(browser: Browser, first: str, last: str, number: int = 8) -> None:
    browser.until(f"(({NAMES}).length === {number}) && {NAMES}[0] === '{first}' && {NAMES}.at(-1) === '{last}'")


def order(browser: Browser, key: str) -> str:
    found: str = browser.evaluate(f"document.querySelector('thead .cell-{key}').ariaSort")
    return found


@pytest.mark.parametrize(("number", "shown"), [(6, "article.card"), (7, "tbody[data-device]")])
def test_a_handful_of_devices_are_cards_and_more_are_a_table(browser, number, shown):
    devices = several(number)
    with StubServer(lambda _: devices) as stub:
        browser.open(stub.url)
        browser.until(f"document.querySelectorAll('#devices {shown}').length === {number}")
        devices.append(queue("one-more"))
        browser.until(f"({NAMES}).length === {number + 1}")
        del devices[2:]
        browser.until(f"document.querySelectorAll('article.card .lane').length === 4 && !{NAMES}.length")
        assert complaints(browser, stub) == []


def test_a_press_on_a_heading_sorts_another_turns_it_and_a_third_gives_the_first_order_back(browser):
    devices = several(8)
    devices[3]["held"], devices[4]["state"], devices[6]["pattern"] = 9, "failed", "a"
    devices[5]["sockets"][0]["peers"] = 77
    devices[2]["pumps"][0]["outlets"][0]["dropped"] = {"full": 1}
    firsts = {"held": 3, "state": 4, "pattern": 6, "peers": 5, "dropped": 2}
    with StubServer(lambda _: devices) as stub:
        browser.open(stub.url)
        until_names(browser, "queue-0", "queue-7")
        for key, first in firsts.items():
            falling = key not in ("state", "pattern")
            browser.click(heading(key))
            browser.until(f"{NAMES}[0] === 'queue-{first}'")
            assert order(browser, key) == ("descending" if falling else "ascending")
        browser.click(heading("dropped"))
        browser.until(f"{NAMES}.at(-1) === 'queue-2'")
        assert order(browser, "dropped") == "ascending"
        browser.click(heading("dropped"))
        until_names(browser, "queue-0", "queue-7")
        assert browser.evaluate("document.querySelectorAll('thead [aria-sort=none]').length") == 8
        assert complaints(browser, stub) == []


def test_the_keyboard_sorts_and_opens(browser):
    with StubServer(lambda _: several(12)) as stub:
        browser.open(stub.url)
        until_names(browser, "queue-0", "queue-11", 12)
        tab_to(browser, "document.activeElement.textContent === 'Name'")
        browser.press("Enter")
        browser.press("Enter")
        # By the numbers in them: queue-11 is behind queue-9.
        until_names(browser, "queue-11", "queue-0", 12)
        assert browser.evaluate(text("#announcer")) == "By name, descending."
        tab_to(browser, "document.activeElement.textContent === 'queue-11'")
        # A text that is marked elsewhere is not in the way.
        browser.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        browser.press("Space")
        browser.until(f"document.querySelector({json.dumps(row('queue-11', '.card .lane'))})")
        assert browser.evaluate("document.activeElement.ariaExpanded") == "true"
        browser.press("Space")
        browser.until(f"!({ANY_CARD}) && document.activeElement.ariaExpanded === 'false'")
        assert complaints(browser, stub) == []


def test_an_opened_row_has_what_a_card_has_and_a_closed_one_fetches_nothing(browser):
    with StubServer(lambda _: several(30), token=TOKEN) as stub:
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        browser.click(row("queue-4", ".cell-state"))
        browser.until(f"document.querySelector({json.dumps(row('queue-4', '.card .lane'))})")
        browser.click(row("queue-4", ".actions button"))
        browser.until(f"{text(row('queue-4', '.row .state'))} === 'paused'")
        browser.click(row("queue-4", "summary"))
        browser.until(f"document.querySelector({json.dumps(row('queue-4', '.details tbody tr'))})")
        browser.click(row("queue-4", ".row-open"))
        browser.until(f"!({ANY_CARD})")
        assert stub.posted == ["/api/devices/queue-4/pause"]
        assert complaints(browser, stub) == []


def test_rows_follow_a_rate_but_not_away_from_under_the_reader(browser):
    totals = {f"queue-{index}": 100 for index in range(8)}
    growing = {"name": "queue-1"}

    def devices(_seconds):
        totals[growing["name"]] += 1000
        return [queue(name, received=total) for name, total in totals.items()]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.click(heading("in"))
        browser.until(f"{NAMES}[0] === 'queue-1'")
        browser.evaluate(f"document.querySelector({json.dumps(row('queue-1', '.row-open'))}).focus()")
        growing["name"] = "queue-5"
        browser.until(f"/^[1-9]/.test({text(row('queue-5', '.cell-in'))})")
        browser.until(f"/^0/.test({text(row('queue-1', '.cell-in'))})")
        assert browser.evaluate(f"{NAMES}[0]") == "queue-1"
        browser.evaluate("document.activeElement.blur()")
        browser.until(f"{NAMES}[0] === 'queue-5'")


def test_names_and_failures_are_text_in_the_table_too(browser):
    devices = [queue(f"{NAME}{index}", state="failed", failure=NAME) for index in range(9)]
    with StubServer(lambda _: devices) as stub:
        browser.open(stub.url)
        browser.until(f"{text('.row-open')} === {json.dumps(NAME + '0')}")
        assert browser.evaluate(text(".row-failure")) == NAME
        assert browser.evaluate("document.querySelectorAll('main script').length") == 0
        assert browser.evaluate("document.title") == "geventrelay"


def test_counts_that_are_not_certain_say_so(browser):
    few, many = several(3), several(9)
    for one in (few[1], many[1]):
        one["sockets"][0]["certain"] = False
    many[2]["sockets"] = [{**one, "peers": None} for one in many[2]["sockets"]]
    devices = few
    with StubServer(lambda _: devices) as stub:
        browser.open(stub.url)
        browser.until(f"{text('[data-device=queue-1] .box-peers')} === 'about 2 clients'")
        assert browser.evaluate(text("[data-device=queue-0] .box-peers")) == "2 clients"
        devices = many
        browser.until(f"{text(row('queue-1', '.cell-peers'))} === 'about 3'")
        assert browser.evaluate(text(row("queue-0", ".cell-peers"))) == "3"
        assert browser.evaluate(text(row("queue-2", ".cell-peers"))) == "not seen"


def test_payloads_that_went_whole_are_noticed(browser):
    one = relay(received=9)
    one["pumps"][0]["outlets"][1]["uncut"] = 1
    with StubServer(lambda _: [one]) as stub:
        browser.open(stub.url)
        browser.until(f"{text('.note')}.startsWith('1 message went whole to push: no topic stands before')")
        assert "--push-payload space" in browser.evaluate(text(".note"))
        one["pumps"][0]["outlets"][1]["uncut"] = 1234
        browser.until(f"{text('.note')}.startsWith('1.2\\u00a0k messages went')")


def test_a_table_with_open_rows_is_as_wide_as_the_screen(browser):
    devices = several(8)
    devices[0]["name"] = "a-device-whose-name-is-so-long-that-it-has-to-be-broken-somewhere"
    devices[1] |= {"state": "failed", "failure": "x" * 300}
    devices[2]["pumps"][0]["outlets"][0]["dropped"] = {"full": 10**9}
    with StubServer(lambda _: devices) as stub:
        browser.open(stub.url)
        browser.until(f"({NAMES}).length === 8")
        for index in range(3):
            browser.click(f"tbody:nth-of-type({index + 1}) .row-open")
            browser.until(f"document.querySelectorAll('.card .lane').length === {2 * index + 2}")
        for width in (320, 400, 1000, 1920):
            browser.show_as(width, 700, still=True)
            drawn, frame = (
                "querySelector('.diagram').viewBox.baseVal.width",
                "querySelector('.diagram-frame').clientWidth",
            )
            fits = f"one.{drawn} === one.{frame}"
            browser.until(f"[...document.querySelectorAll('.card')].every((one) => one.scrollIntoView() || {fits})")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            wide = "[...document.querySelectorAll('.list :is(td, th, button, p, rect)')].filter((one) => "
            wide += f"one.getBoundingClientRect().right > {width})"
            assert browser.evaluate(f"{wide}.map((one) => one.outerHTML)") == []
        assert complaints(browser, stub) == []


# Into `rounds`: how many nodes came or went while a hundred texts were changed.
COUNT_CHANGES = """
window.rounds = [];
let [nodes, texts] = [0, 0];
new MutationObserver((some) => {
  for (const one of some) one.type === "childList" ? nodes += 1 : texts += 1;
  if (texts < 100) return;
  window.rounds.push(nodes);
  [nodes, texts] = [0, 0];
}).observe(document.querySelector("#devices"), { childList: true, characterData: true, subtree: true });
"""


def test_two_hundred_devices_are_filtered_and_change_in_place(browser):
    def devices(seconds):
        some = [queue(f"queue-{number}", port=10000 + 2 * number, received=int(99 * seconds)) for number in range(200)]
        some[17]["state"] = "failed"
        return some

    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.until(f"({NAMES}).length === 200")
        browser.click(row("queue-199", ".row-open"))
        browser.until(f"document.querySelector({json.dumps(row('queue-199', '.card .moving'))})")
        browser.click(heading("in"))
        browser.until(f"/^[1-9]/.test({text(row('queue-3', '.cell-in'))})")
        browser.evaluate(COUNT_CHANGES)
        # What comes to the screen is drawn once; after that, nothing is.
        browser.until("window.rounds.includes(0)")
        browser.click(".kind.failed")
        assert browser.until(f"(({NAMES}).length === 1) && {NAMES}") == ["queue-17"]
        browser.click(".kind.all")
        browser.click("#filter")
        browser.type(":10398")
        assert browser.until(f"(({NAMES}).length === 1) && {NAMES}") == ["queue-199"]
        assert complaints(browser, stub) == []
