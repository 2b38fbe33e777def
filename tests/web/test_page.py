"""The page in a browser, with devices that are made up; test_live_page.py has real ones."""

from __future__ import annotations

import json
import time

import pytest
from support.page import complaints, enter_token, tab_to, text
from support.stub_server import StubServer, backbone, device, neighbour, peer, pump, queue, relay, socket

from geventrelay import Drop
from geventrelay.web import report

pytestmark = pytest.mark.slow

TOKEN = "correct-horse"
NAME = "<script>document.title='owned'</script>"
FAILURE = "<img src=/nowhere onerror=\"document.title='owned'\"> Address already in use"


def growing(rate: float = 100.0):
    return lambda seconds: [queue("orders", received=1000 + int(rate * seconds))]


def card(name: str, rest: str = "") -> str:
    return f"[data-device={json.dumps(name)}] {rest}".strip()


def test_a_device_is_shown_with_its_rates_peers_and_losses(browser):
    def devices(seconds):
        return [relay("prices", received=5000 + int(500 * seconds), dropped=1000 + int(50 * seconds))]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        figure = card("prices", "[data-lane='sub pub'] .rate")
        browser.until(f"/^[1-9][0-9]+\\/s$/.test({text(figure)})")
        browser.until(f"/^dropping [1-9][0-9.]*\\/s$/.test({text(card('prices', '.drop-label'))})")
        assert browser.evaluate(text(card("prices", ".drop-reason"))).startswith("no peer 1.")
        shown = browser.evaluate(text(card("prices", ".diagram")))
        assert "3 publishers" in shown
        assert "12 subscribers" in shown
        assert "no pullers" in shown
        assert browser.evaluate("document.querySelector('#server').textContent").startswith("Version0.1.0, native")
        assert complaints(browser, stub) == []


def test_where_messages_go_to_other_devices_of_the_name_is_drawn_without_addresses(browser):
    def devices(_seconds):
        one = relay("prices", received=5000)
        (first,) = one["pumps"]
        first["outlets"].append(first["outlets"][0] | {"socket": "backbone_out"})
        for source, destination in (("pub", "backbone_news"), ("backbone_in", "pub")):
            one["pumps"].append(first | {"source": source, "outlets": [first["outlets"][0] | {"socket": destination}]})
        return [one | {"backbone": backbone([neighbour(1), neighbour(2)])}]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.until(f"{text(card('prices', '.diagram'))}.includes('to others')")
        shown = browser.evaluate(text(card("prices", ".diagram")))
        assert shown.count("2 devices") == 1
        tagged = card("prices", "[data-lane='backbone_in pub'] .tag")
        assert browser.evaluate(text(tagged)) == "others"
        assert "12 subscribers" in shown
        assert complaints(browser, stub) == []


def test_what_single_peers_lost_is_told_as_what_is_dropped_is(browser):
    def devices(seconds):
        outlet = {"delivered": 5, "lost": {"slow": 1000 + int(50 * seconds)}, "waiting": 2, "matched": 9}
        some = queue("orders", received=9) | {"engine": "zmtp"}
        some["pumps"][0]["outlets"][0] |= outlet
        return [some]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.until(f"/^losing [1-9][0-9.]*\\/s$/.test({text(card('orders', '.drop-label'))})")
        assert browser.evaluate(text(card("orders", ".drop-reason"))).startswith("slow subscriber 1.")
        assert "lost" in browser.evaluate(text(".tile.dropped .tile-total"))
        browser.until(f"/^[1-9][0-9.]*\\/s$/.test({text('.spark.dropped .spark-value')})")
        assert "queue · zmtp" in browser.evaluate(text(card("orders")))
        assert complaints(browser, stub) == []


def test_what_was_dropped_is_red_only_as_long_as_there_is_more(browser):
    lost = {"dropped": 1000, "each": 50}

    def devices(_seconds):
        lost["dropped"] += lost["each"]
        return [relay("prices", received=5000 + lost["dropped"], dropped=lost["dropped"])]

    def look(selector: str) -> str:
        return f"(({{ color, fill }}) => [color, fill] + '')(getComputedStyle(document.querySelector('{selector}')))"

    shown = ".tile.dropped .tile-now", ".drop-label", ".drop-reason"
    quiet = ".tile.held .tile-now", ".caption", ".caption"
    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.until(f"/^dropping/.test({text('.drop-label')})")
        for one, other in zip(shown, quiet, strict=True):
            assert browser.evaluate(f"{look(one)} !== {look(other)}"), one
        lost["each"] = 0
        browser.until(f"/^dropped/.test({text('.drop-label')})")
        for one, other in zip(shown, quiet, strict=True):
            assert browser.evaluate(f"{look(one)} === {look(other)}"), one


def test_denied_peers_are_told_on_the_card_in_red_as_long_as_there_are_more(browser):
    denied = {"number": 1000, "each": 0}

    def devices(_seconds):
        denied["number"] += denied["each"]
        one = relay("prices", received=5000)
        one["sockets"][0]["denied"] = {"unknown_key": denied["number"]}
        return [one]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        browser.until(f"{text('.denied')} === 'denied at sub: 1,000 unknown key'")
        quiet = browser.evaluate("getComputedStyle(document.querySelector('.denied')).color")
        denied["each"] = 1
        browser.until("document.querySelector('.denied.now') !== null")
        assert browser.evaluate("getComputedStyle(document.querySelector('.denied')).color") != quiet
        assert complaints(browser, stub) == []


def test_a_short_card_beside_a_long_one_has_no_hole_and_a_table_shows_that_it_goes_on(browser):
    with StubServer(lambda _: [relay(received=9, dropped=3), queue()]) as stub:
        stub.peers = {"sub": [{"address": "127.0.0.1:40100", "since": time.time() - 90, "mechanism": "NULL"}]}
        browser.open(stub.url)
        browser.until("document.querySelectorAll('.lane').length === 4")
        gaps = (
            "[...document.querySelectorAll('.card')].map((one) => one.querySelector('.curves').getBoundingClientRect()"
        )
        gaps += ".top - one.querySelector('.addresses').getBoundingClientRect().bottom)"
        assert max(browser.evaluate(gaps)) < 20
        tall = "[...document.querySelectorAll('.spark.received svg')].map((one) => one.getBoundingClientRect().height)"
        short_card, long_card = browser.evaluate(tall)[::-1]
        assert short_card > long_card > 30
        browser.show_as(400, 800, still=True)
        browser.evaluate("document.querySelector('details').open = true")
        table = "document.querySelector('[aria-label^=Sockets]:not([hidden])')"
        browser.until(f"{table}.scrollWidth > {table}.clientWidth")
        # What covers the shade scrolls along with the table.
        assert browser.evaluate(f"getComputedStyle({table}).backgroundAttachment") == "local, local, scroll, scroll"


def test_names_and_failures_are_text_whatever_is_in_them(browser):
    def devices(seconds):
        return [queue(NAME, received=int(100 * seconds), failure=FAILURE, restarts=2, state="failed")]

    with StubServer(devices, token=TOKEN) as stub:
        stub.peers = {NAME: [{"address": NAME, "since": time.time(), "mechanism": NAME}]}
        browser.open(stub.url)
        browser.until(f"{text('h2')} === {json.dumps(NAME)}")
        assert FAILURE in browser.evaluate(text(".failure"))
        browser.until("document.querySelector('.lane')")
        browser.click("summary")
        browser.until(f"document.querySelector('[aria-label^=Peers] td')?.textContent === {json.dumps(NAME)}")
        stub.overrides["/api/reload"] = (422, {"error": NAME, "problems": [FAILURE]})
        enter_token(browser, TOKEN)
        browser.click("#reload")
        browser.until(f"{text('#notice-text li')} === {json.dumps(FAILURE)}")
        assert browser.evaluate("document.querySelectorAll('main script, main img').length") == 0
        assert browser.evaluate("document.title") == "geventrelay"
        assert [one for one in browser.complaints if "422" not in one] == []


def test_nothing_can_be_changed_without_a_token(browser):
    with StubServer(growing()) as stub:
        browser.open(stub.url)
        browser.until("document.querySelectorAll('.moving').length")
        assert browser.evaluate("document.querySelector('#read-only').hidden") is False
        for selector in ("#token", "#reload", ".actions"):
            assert browser.evaluate(f"document.querySelector('{selector}').hidden") is True


def test_a_wrong_token_is_refused_when_it_is_typed(browser):
    with StubServer(growing(), token=TOKEN) as stub:
        browser.open(stub.url)
        enter_token(browser, "wrong")
        browser.until("document.querySelector('#token-dialog').open && !document.querySelector('#token-error').hidden")
        assert "does not know" in browser.evaluate(text("#token-error"))
        assert browser.evaluate("sessionStorage.length") == 0
        browser.type(TOKEN)
        browser.press("Enter")
        browser.click(card("orders", ".actions button"))
        browser.until(f"{text(card('orders', '.state'))} === 'paused'")
        assert stub.posted == ["/api/devices/orders/pause"]
        assert browser.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_a_token_that_the_server_no_longer_knows_is_forgotten_and_asked_for_again(browser):
    with StubServer(growing(), token=TOKEN) as stub:
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        browser.until("!document.querySelector('#token-dialog').open")
        stub.token = "another"
        browser.click(card("orders", ".actions button"))
        browser.until("document.querySelector('#token-dialog').open && !document.querySelector('#token-error').hidden")
        assert browser.evaluate("sessionStorage.length") == 0
        assert stub.posted == []


def test_what_a_reload_changed_is_said(browser):
    with StubServer(growing(), token=TOKEN) as stub:
        answer = {"version": 1, "unchanged": ["orders"], "added": ["prices"], "removed": [], "changed": []}
        stub.overrides["/api/reload"] = (200, {**answer, "adjusted": []})
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        browser.click("#reload")
        browser.until(f"{text('#notice-text')}.includes('added: prices')")
        assert complaints(browser, stub) == []


def test_draining_is_asked_about_first(browser):
    with StubServer(growing(), token=TOKEN) as stub:
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        drain = card("orders", "[aria-label='Drain orders']")
        browser.click(drain)
        browser.until("document.querySelector('#confirm-dialog').open")
        browser.press("Escape")
        browser.until("!document.querySelector('#confirm-dialog').open")
        browser.click(drain)
        browser.click("#confirm-yes")
        browser.until(f"{text(card('orders', '.state'))} === 'stopped'")
        assert stub.posted == ["/api/devices/orders/drain"]
        assert complaints(browser, stub) == []


def test_the_keyboard_alone_gets_to_pause_and_sees_where_it_is(browser):
    with StubServer(growing(), token=TOKEN) as stub:
        browser.open(stub.url)
        browser.until("document.querySelector('.actions') && !document.querySelector('#token').hidden")
        tab_to(browser, "document.activeElement.id === 'token'")
        browser.press("Enter")
        browser.until("document.activeElement.id === 'token-input'")
        browser.type(TOKEN)
        browser.press("Enter")
        tab_to(browser, "document.activeElement.getAttribute('aria-label') === 'Pause orders'")
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        browser.press("Space")
        browser.until(f"{text(card('orders', '.state'))} === 'paused'")
        assert "orders is paused" in browser.evaluate(text("#announcer"))
        assert browser.evaluate("document.activeElement.textContent") == "Resume"
        assert complaints(browser, stub) == []


def test_a_server_that_goes_is_missed_and_one_that_comes_back_is_found(browser):
    with StubServer(growing()) as stub:
        browser.open(stub.url)
        browser.until("document.querySelector('#connection').dataset.connection === 'live'")
        port = stub.port
        stub.stop()
        browser.until("document.body.classList.contains('stale')")
        assert "no answer" in browser.evaluate(text("#connection-text"))
        assert "The figures are old" in browser.evaluate(text("#announcer"))
        stub.start(port)
        browser.until("!document.body.classList.contains('stale') && document.querySelectorAll('.moving').length")
        assert browser.evaluate(text("#announcer")) == "The server is back."


def test_what_is_behind_details_is_fetched_when_they_are_opened(browser):
    sockets = [socket("frontend", "XSUB", "tcp://127.0.0.1:1"), socket("backend", "XPUB", "tcp://127.0.0.1:2")]
    pumps = [pump("frontend", 12345, backend={"dropped": {"full": 1234}}), pump("backend", 2, frontend={})]
    with StubServer(lambda _: [device("telemetry", "forwarder", sockets, pumps)]) as stub:
        stub.peers = {"backend": [{"address": "127.0.0.1:40100", "since": time.time() - 90, "mechanism": "NULL"}]}
        stub.subscriptions = [
            {"topic": "prices", "hex": b"prices".hex(), "count": 2},
            {"topic": "", "hex": "", "count": 1},
            {"topic": "\ufffd", "hex": "ff", "count": 1},
        ]
        browser.open(stub.url)
        browser.until("document.querySelector('.lane')")
        assert not [url for url in browser.requests if url.endswith("peers")]
        browser.click("summary")
        browser.until("document.querySelectorAll('[aria-label^=Subscriptions] tbody tr').length === 3")
        shown = browser.evaluate("document.querySelector('.details').innerText")
        for wanted in ("12,345", "1,234 full", "127.0.0.1:40100", "prices", "(everything)", "0xff", "2 subscribers"):
            assert wanted in shown
        assert complaints(browser, stub) == []


def test_a_peer_of_engine_zmtp_is_told_exactly_and_is_disconnected_after_a_question(browser):
    row = "document.querySelector('[aria-label^=Peers] tbody tr')"
    with StubServer(growing(), token=TOKEN) as stub:
        slow = peer("127.0.0.1:40100", lost={Drop.SLOW: 31}, waiting=7, waiting_bytes=900, oldest_s=0.25, matched=1238)
        stub.peers = {"backend": [slow]}
        browser.open(stub.url)
        browser.click("summary")
        browser.until(f"{row}?.innerText.includes('31 slow')")
        shown = browser.evaluate(f"{row}.innerText").replace("\u00a0", " ")
        for wanted in ("127.0.0.1:40100", "SUB, 3.1", "211/s, 1,200", "7 messages, 900 B, 250 ms", "1,238", "prices"):
            assert wanted in shown
        assert browser.evaluate(f"{row}.querySelector('button')") is None
        enter_token(browser, TOKEN)
        browser.until(f"{row}.querySelector('button')")
        tab_to(browser, "document.activeElement.getAttribute('aria-label') === 'Disconnect 127.0.0.1:40100'")
        browser.press("Enter")
        browser.until("document.querySelector('#confirm-dialog').open")
        assert "7 messages for it will be lost" in browser.evaluate(text("#confirm-text"))
        assert stub.posted == []
        browser.click("#confirm-yes")
        browser.until(f"{row} === null")
        assert stub.posted == ["/api/devices/orders/peers/17/disconnect"]
        assert complaints(browser, stub) == []


def test_a_card_says_why_an_endpoint_is_not_connected(browser):
    def devices(_seconds):
        one = queue("orders")
        one["sockets"][1]["connecting"] = [{
            "endpoint": "tcp://far:1", "connected": False, "tries": 3, "failure": "Connection refused",
            "failed_at": time.time(), "waiting": 2,
        }]  # fmt: skip
        return [one]

    with StubServer(devices) as stub:
        browser.open(stub.url)
        wanted = "backend is not connected to tcp://far:1: Connection refused (tried 3 times)"
        browser.until(f"{text('.note')} === {json.dumps(wanted)}")
        browser.click("summary")
        browser.until("document.querySelector('[aria-label^=Connections] tbody')?.innerText.includes('2 messages')")
        assert complaints(browser, stub) == []


def test_a_number_that_is_described_needs_no_change_of_the_page(browser):
    def devices(_):
        one = queue("orders", received=7)
        one["pumps"][0]["outlets"][0]["sent"]["late"] = 4321
        return [one]

    with StubServer(devices) as stub:
        described = report.values()
        described["values"].append(
            {**described["values"][-1], "of": "outlet", "path": ["sent", "late"], "help": "What was late."}
        )
        stub.overrides["/api/values"] = (200, described)
        browser.open(stub.url)
        browser.until("document.querySelector('.lane')")
        browser.click("summary")
        browser.until("document.querySelector('[aria-label^=Messages] th[title=\"What was late.\"]')")
        heads = "[...document.querySelectorAll('[aria-label^=Messages] th')].map((one) => one.textContent)"
        found = browser.evaluate(heads)
        assert (found[:3], found[-1]) == (["way", "received", "sent"], "late sent")
        cells = (
            "[...document.querySelectorAll('[aria-label^=Messages] tbody tr')].map((row) => row.lastChild.textContent)"
        )
        assert browser.evaluate(cells) == ["4,321", "\u2013"]
        assert complaints(browser, stub) == []


def every_kind(seconds):
    some = queue("a-device-whose-name-is-so-long-that-it-has-to-be-broken-somewhere", received=int(9e9 + 1e6 * seconds))
    some["sockets"][0]["bound"] = ["ipc:///var/run/a/path/that/is/longer/than/any/phone/is/wide/frontend.sock"]
    some["pumps"][0]["outlets"][0]["dropped"] = {"full": 10**9, "no_peer": int(1e6 * seconds), "never_seen": 3}
    stuck = queue("stuck", received=5)
    stuck["pumps"][0]["outlets"][0]["held"] = 1
    inproc = queue("inproc", received=5)
    inproc["sockets"].append(socket("control", "REP", "tcp://127.0.0.1:5559", 1))
    inproc["sockets"][0]["peers"] = None
    return [
        some, stuck, inproc,
        relay("prices", received=int(1e5 * seconds), dropped=int(1e5 * seconds)),
        queue("paused", state="paused"),
        queue("failed", state="failed", failure="x" * 300, restarts=12, next_start_in_s=12.5, started_at=None),
    ]  # fmt: skip


WIDE = """
[...document.querySelectorAll('.diagram text, .diagram rect')].filter((one) =>
  one.getBoundingClientRect().right > one.closest('.card').getBoundingClientRect().right + 1
).map((one) => one.textContent)
"""
# Once the shape of the diagram is that of its frame, where this has any width.
DRAWN = """
((card) => {
  card.scrollIntoView();
  const frame = card.querySelector('.diagram-frame').clientWidth;
  const drawn = card.querySelector('.diagram').viewBox.baseVal;
  return drawn && drawn.width === Math.max(200, frame) && card.querySelector('.box');
})(document.querySelectorAll('.card')[%d]) !== null
"""


def test_nothing_is_wider_than_the_screen(browser):
    with StubServer(every_kind, token=TOKEN) as stub:
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        browser.until("document.querySelectorAll('.moving').length")
        browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.until("document.querySelectorAll('[aria-label^=Peers]:not([hidden])').length === 6")
        for width in (320, 480, 1000, 1920):
            browser.show_as(width, 700, still=True)
            for index in range(6):
                # What is not on the screen is not laid out; what stands above may still grow, and move it away again.
                browser.until(DRAWN % index)
                assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate(WIDE) == []
        assert complaints(browser, stub) == []


def addressed(_seconds):
    some = queue("orders")
    some["sockets"][0]["bound"] = [LONG, "tcp://127.0.0.1:6666"]
    some["sockets"][1] |= {"bound": [], "connects": ["tcp://upstream.example.org:7777"]}
    some["sockets"].append(socket("tap", "XPUB", "tcp://0.0.0.0:5560"))
    return [some]


LONG = "ipc:///var/run/a/path/that/is/longer/than/any/phone/is/wide/frontend.sock"
COPIED = """
window.copied = [];
navigator.clipboard.writeText = (text) => { window.copied.push(text); return Promise.resolve(); };
"""


@pytest.mark.parametrize("width", [400, 1000])
def test_each_socket_has_its_whole_address_and_a_button_that_copies_it(browser, width):
    with StubServer(addressed) as stub:
        browser.show_as(width, 800, still=True)
        browser.open(stub.url)
        browser.evaluate(COPIED)
        shown = "[...document.querySelectorAll('.addresses code')].map((one) => one.textContent)"
        expected = [LONG, "tcp://127.0.0.1:6666", "tcp://upstream.example.org:7777", "tcp://127.0.0.1:5560"]
        assert browser.until(f"({shown}).length === 4 && {shown}") == expected
        for index in range(4):
            button = f".addresses li:nth-child({index + 1}) .copy"
            browser.click(button)
            browser.until(f"{text(button)}.startsWith('Copied')")
        assert browser.evaluate("window.copied") == expected
        assert browser.evaluate(text("#announcer")) == "Copied tcp://127.0.0.1:5560."
        # Of a socket that listens everywhere, an address that can be reached, and where it listens.
        assert browser.evaluate(text(".addresses li:last-child")).startswith(
            "taptcp://127.0.0.1:5560 listens at tcp://0.0"
        )
        browser.click("summary")
        cut = "[...document.querySelectorAll('.addresses code, [aria-label^=Sockets] .whole')].filter((one) => "
        cut += "one.getBoundingClientRect().right > one.closest('ul, .table').getBoundingClientRect().right + 1)"
        browser.until("document.querySelectorAll('[aria-label^=Sockets] .whole').length === 3")
        assert browser.evaluate(f"{cut}.map((one) => one.textContent)") == []
        assert complaints(browser, stub) == []


def test_an_address_is_copied_where_the_browser_gives_the_page_no_clipboard(browser):
    with StubServer(addressed) as stub:
        browser.open(stub.url)
        browser.until("document.querySelector('.copy')")
        refused = "navigator.clipboard.writeText = () => Promise.reject(new Error('refused'));"
        browser.evaluate(refused + "document.addEventListener('copy', () => { window.copied = getSelection() + ''; });")
        browser.click(".copy")
        browser.until(f"{text('.copy')}.startsWith('Copied')")
        assert browser.evaluate("window.copied") == LONG


def test_one_held_message_is_one_message(browser):
    one = queue("orders", received=5)
    outlet = one["pumps"][0]["outlets"][0]
    with StubServer(lambda _: [one]) as stub:
        outlet["held"] = one["held"] = 1
        browser.open(stub.url)
        caption, tile = text(".lane.stuck .caption"), text(".tile.held .tile-total")
        browser.until(f"{caption} === '1 message held' && {tile} === 'message now'")
        outlet["held"] = one["held"] = 2
        browser.until(f"{caption} === '2 messages held' && {tile} === 'messages now'")


def test_in_a_narrow_frame_nothing_has_a_negative_width(browser):
    with StubServer(every_kind) as stub:
        browser.open(stub.url)
        browser.until("document.querySelectorAll('.moving').length")
        browser.evaluate(COUNT_DRAWINGS)
        for width in (0, 1, 40, 150):
            browser.evaluate(f"window.drawings = 0; document.querySelector('#devices').style.width = '{width}px'")
            browser.until("document.querySelector('.card').clientWidth < 200")
            # What has no width is not drawn; the rest is, at the next event at the latest.
            browser.until("document.querySelector('.diagram-frame').clientWidth === 0 || window.drawings > 0")
        assert complaints(browser, stub) == []


COUNT_DRAWINGS = """
window.drawings = 0;
new MutationObserver(() => { window.drawings += 1; }).observe(
  document.querySelector(".diagram"), { childList: true, characterData: true, subtree: true });
"""


def test_no_two_regions_have_one_name(browser):
    with StubServer(every_kind, token=TOKEN) as stub:
        browser.open(stub.url)
        enter_token(browser, TOKEN)
        browser.until("document.querySelectorAll('.lane').length > 5")
        browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.until("document.querySelectorAll('[aria-label^=Peers]:not([hidden])').length === 6")
        named = "section, nav, [role=region], [role=search], [role=group], [role=slider], ul"
        labels = f"[...document.querySelectorAll('{named}')].map((one) => one.ariaLabel).filter(Boolean)"
        names = browser.evaluate(labels)
        assert len(names) > 40
        assert sorted(names) == sorted(set(names))
