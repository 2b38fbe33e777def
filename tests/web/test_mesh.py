"""The mesh on the page: which other relays there are, what goes to and fro, and what is wrong."""

from __future__ import annotations

import json

import pytest
from support.page import complaints, tab_to, text
from support.stub_server import StubServer, backbone, neighbour, pump, queue, relay, storing, working

from geventrelay.backbone.values import LinkState, StoreState

pytestmark = pytest.mark.slow


def other(number: int, rest: str = "") -> str:
    return f"[data-relay='{number:016x}'] {rest}".strip()


def way(number: int, what: str) -> str:
    """JavaScript for the arrow to another relay, or from it."""
    box = f"document.querySelector({json.dumps(other(number))})"
    return f"{box}.parentNode.querySelector('[data-way={what}]')"


def joined(*neighbours, **changes):
    return relay("prices", received=5000) | {"backbone": backbone(neighbours, **changes)}


TABLE = "[aria-label='Other relays of prices']"
ROWS = f"[...document.querySelectorAll({json.dumps(TABLE + ' tbody tr')})].map((row) => row.cells[0].textContent)"
COLUMN = """
((heading) => {
  const table = document.querySelector(%s);
  const place = [...table.querySelectorAll("th")].findIndex((one) => one.textContent === heading);
  return place < 0 ? null : [...table.querySelectorAll("tbody tr")].map((row) => row.cells[place].textContent);
})(%s)
"""


def column(heading: str) -> str:
    return COLUMN % (json.dumps(TABLE), json.dumps(heading))


def test_each_other_relay_is_on_the_map_and_in_the_table_with_what_goes_to_and_fro(browser):
    def devices(seconds):
        quick = neighbour(1, sent=1000 + int(300 * seconds), received=9, round_trip_s=0.0123)
        work = neighbour(2, received=7) | {"work_sent": int(2000 * seconds), "credit": 64, "hungry": True}
        return [working(joined(quick, work))]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.until(f"/^[23][0-9][0-9]\\/s$/.test({way(1, 'sent')}.textContent.match(/[0-9]+\\/s$/)?.[0])")
        browser.until(f"{way(1, 'sent')}.classList.contains('moving')")
        assert not browser.evaluate(f"{way(1, 'received')}.classList.contains('moving')")
        # What goes to workers counts as well.
        browser.until(f"{way(2, 'sent')}.textContent.includes('k/s')")
        assert "42 programs" in browser.evaluate(text(other(1)))
        assert "12\u00a0ms away" in browser.evaluate(text(other(1)))
        assert browser.evaluate(ROWS) == ["site-1.example.net", "site-2.example.net"]
        assert browser.evaluate(column("peers")) == ["sub 2, pub 40"] * 2
        assert browser.evaluate(column("credit")) == ["0", "64"]
        assert browser.evaluate(column("hungry")) == ["no", "yes"]
        # Its own diagram has where work comes from.
        assert browser.evaluate(text("[data-device=prices] [data-lane='backbone_work_in push'] .tag")) == "others"
        assert complaints(browser, stub) == []


LAYOUT = """
(() => {
  const box = (one) => one.getBBox();
  const boxes = [...document.querySelectorAll("[data-device=%s] .diagram-frame .box:not(.tag)")];
  return boxes.map((one) => [box(one.querySelector("rect")), [...one.querySelectorAll("text")].map(box)]).every(
    ([around, texts]) => texts.every((text) => text.y >= around.y && text.y + text.height <= around.y + around.height));
})()
"""


@pytest.mark.parametrize("width", [400, 1180])
@pytest.mark.parametrize("pattern", ["streamer", "queue", "relay"])
def test_work_that_goes_to_others_and_comes_from_them_is_in_the_diagram(browser, pattern, width):
    def devices(seconds):
        moved = {"elsewhere": int(300 * seconds)}
        if pattern == "relay":
            one = relay("tasks", received=int(500 * seconds))
            one["pumps"][0]["outlets"][1] |= moved
            return [working(one) | {"backbone": backbone([neighbour(1)])}]
        one = queue("tasks", received=int(500 * seconds))
        one["pumps"][0]["outlets"][0] |= moved
        if pattern == "streamer":
            del one["pumps"][1]
            one["sockets"][0]["type"], one["sockets"][1]["type"], one["pattern"] = "PULL", "PUSH", "streamer"
            return [working(one) | {"backbone": backbone([neighbour(1)])}]
        working(one)["pumps"].append(pump("backbone_work_out", int(70 * seconds), frontend={}))
        return [one | {"backbone": backbone([neighbour(1)])}]

    front, back = ("sub", "push") if pattern == "relay" else ("frontend", "backend")
    with StubServer(devices) as stub:
        browser.show_as(width, 900, still=True)
        browser.open(stub.url)
        lane = f"[data-device=tasks] [data-lane='{front} {back} elsewhere']"
        if width == 400 and pattern != "streamer":
            # There is no room for so many lines.
            browser.until(f"document.querySelector(\"[data-lane='{front} {back}']\").classList.contains('moving')")
            assert browser.evaluate("document.querySelectorAll('.diagram-frame .lane').length") == 2
            assert browser.evaluate(LAYOUT % "tasks")
            return
        browser.until(f"document.querySelector({json.dumps(lane)}).classList.contains('moving')")
        assert "elsewhere" in browser.evaluate(text(f"{lane} .caption"))
        browser.until(f"/^[123][0-9][0-9]\\/s$/.test({text(f'{lane} .rate')})")
        assert browser.evaluate(text(f"[data-lane='backbone_work_in {back}'] .tag")) == "others"
        if pattern == "queue":
            assert browser.evaluate(text("[data-lane='backbone_work_in backend'] .caption")).startswith("requests")
            assert browser.evaluate(text("[data-lane='backbone_work_out frontend'] .caption")).startswith("replies")
            assert browser.evaluate("document.querySelector(\"[data-lane='backbone_work_out frontend'] .tag\")") is None
            assert "to others" not in browser.evaluate(text(".diagram"))
        else:
            assert "to others" in browser.evaluate(text(".diagram"))
        assert browser.evaluate(LAYOUT % "tasks")
        assert complaints(browser, stub) == []


def test_one_that_is_silent_and_messages_that_wait_are_seen(browser):
    late = neighbour(1, silent_s=3.4)
    busy = neighbour(2, about={"waiting": 1200})
    with StubServer(lambda _: [joined(late, busy, waiting=12)]) as stub:
        browser.open(stub.url)
        browser.until(f"document.querySelector({json.dumps(other(1) + '.late')})")
        assert "silent for 3 s" in browser.evaluate(text(other(1)))
        assert "1.2\u00a0k waiting" in browser.evaluate(text(other(2, ".box-peers")))
        assert browser.evaluate(f"document.querySelectorAll({json.dumps(other(2) + '.busy')}).length") == 1
        assert "12 messages wait for others" in browser.evaluate(text(".mesh-summary"))
        assert "12 waiting" in browser.evaluate(text(".mesh-own.busy"))
        assert complaints(browser, stub) == []


def test_without_nats_it_says_so_and_why(browser):
    other_one = neighbour(1, round_trip_s=None)
    away = joined(other_one, state=LinkState.CONNECTING, server="", reason="Connection refused", round_trip_s=None)
    with StubServer(lambda _: [away]) as stub:
        browser.open(stub.url)
        browser.until("document.querySelector('.mesh-own.apart')")
        assert browser.evaluate(text(".mesh-summary")).startswith("no connection to NATS: Connection refused; trying")
        # What was heard before is old.
        assert browser.evaluate(text(other(1, ".box-peers:last-of-type"))) == "not known now"
        assert browser.evaluate(column("away")) == ["?"]
        assert browser.evaluate(f"document.querySelector({json.dumps(other(1))}).classList.contains('late')")
        assert complaints(browser, stub) == []


def test_how_work_stands_that_nats_keeps_is_told_in_a_line(browser):
    refused = storing(store=StoreState.REFUSED, store_reason="no JetStream", store_packs=None, store_bytes=None)

    def devices(seconds):
        return [working(joined(neighbour(1), **storing())), relay("local") | {"backbone": backbone([], **refused)}]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.until("document.querySelectorAll('.mesh-own').length === 2")
        assert browser.evaluate(text("[data-device=prices] .mesh-store")) == (
            "NATS keeps its work on 3 servers · it holds 12 packs, 31.0\u00a0kB · 1,200 stored from here · "
            "3 on the way there · 900 fetched · 64 redelivered · 10 returned"
        )
        # It is not shared by credit.
        assert browser.evaluate(column("credit")) is None
        told = browser.evaluate(text("[data-device=local] .mesh-store.refused"))
        assert told.startswith("NATS does not keep its work: no JetStream; trying again · 1,200 stored")
        assert browser.evaluate(text("[data-device=local] .mesh-own.apart .box-peers")) == "work not kept"
        assert complaints(browser, stub) == []


def test_of_very_many_the_first_are_drawn_and_the_table_has_more(browser):
    many = [neighbour(number) for number in range(1, 200)]
    with StubServer(lambda _: [joined(*many)]) as stub:
        browser.open(stub.url)
        browser.until("document.querySelectorAll('.mesh-other').length === 12")
        assert "and 187 more" in browser.evaluate(text(".mesh-map"))
        assert browser.evaluate(f"{ROWS}.length") == 100
        assert complaints(browser, stub) == []


def test_a_relay_that_is_alone_and_a_device_without_a_backbone_say_nothing_wrong(browser):
    with StubServer(lambda _: [joined(), relay("local")]) as stub:
        browser.open(stub.url)
        browser.until("document.querySelector('.mesh-own')")
        assert "There is no other relay" in browser.evaluate(text(TABLE))
        browser.until("document.querySelector('[data-device=local] .lane')")
        assert browser.evaluate("document.querySelector('[data-device=prices] .mesh-store').hidden")
        assert browser.evaluate("document.querySelector('[data-device=local] .mesh')") is None
        assert complaints(browser, stub) == []


def test_an_older_server_that_says_less_is_shown_as_far_as_it_goes(browser):
    old = {
        "relay": "1" * 16, "host": "old", "silent_s": 0.5, "wants": 1, "served": True, "serves": True, "received": 5,
        "lost": 0,
    }  # fmt: skip
    with StubServer(lambda _: [joined(old, neighbour(2) | {"about": None})]) as stub:
        browser.open(stub.url)
        browser.until("document.querySelectorAll('.mesh-other').length === 2")
        assert browser.evaluate(column("host")) == ["old", "site-2.example.net"]
        assert browser.evaluate(column("peers")) is None
        # The device has no work.
        assert browser.evaluate(column("credit")) is None
        assert complaints(browser, stub) == []


@pytest.mark.parametrize("width", [320, 400, 700, 1400])
def test_it_fits_the_width_that_there_is(browser, width):
    some = [neighbour(number, host="x" * 200) for number in range(1, 6)]
    with StubServer(lambda _: [joined(*some)]) as stub:
        browser.show_as(width, 900, still=True)
        browser.open(stub.url)
        browser.until("document.querySelectorAll('.mesh-other').length === 5")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        outside = """
        [...document.querySelectorAll('.mesh-map text, .mesh-map rect')].filter((one) => {
          const [box, map] = [one.getBoundingClientRect(), one.closest('.card').getBoundingClientRect()];
          return box.right > map.right + 1 || box.left < map.left - 1;
        }).map((one) => one.textContent)
        """
        assert browser.evaluate(outside) == []
        overlapping = """
        [...document.querySelectorAll('.mesh-map .box > rect')].map((one) => one.getBoundingClientRect()).some(
          (a, index, all) => all.slice(index + 1).some(
            (b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom))
        """
        assert browser.evaluate(overlapping) is False
        assert complaints(browser, stub) == []


def test_the_keyboard_closes_it_and_gets_into_the_table(browser):
    with StubServer(lambda _: [joined(neighbour(1))]) as stub:
        browser.open(stub.url)
        browser.until("document.querySelector('.mesh-other')")
        tab_to(browser, "document.activeElement.matches('.mesh > summary')")
        browser.press("Enter")
        browser.until("!document.querySelector('.mesh').open")
        browser.press("Enter")
        browser.until("document.querySelector('.mesh').open")
        tab_to(browser, f"document.activeElement.matches({json.dumps(TABLE)})")
        assert complaints(browser, stub) == []
