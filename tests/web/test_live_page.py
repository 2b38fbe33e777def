"""The page of a real server with real traffic."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator

import pytest
import zmq
from support.page import enter_token, text
from support.process import LIMIT_S, Server

pytestmark = pytest.mark.slow

TOKEN = "correct-horse"


class Traffic:
    """Publishes at one end and reads at the other, in a thread of its own, until it is told to stop."""

    def __init__(self, publish_to: str, read_from: str) -> None:
        self._ends = (publish_to, read_from)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join(LIMIT_S)

    def _run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.PUB) as publisher, context.socket(zmq.SUB) as subscriber:
            publisher.linger = subscriber.linger = 0
            publisher.connect(self._ends[0])
            subscriber.connect(self._ends[1])
            subscriber.subscribe(b"")
            while not self._over.wait(0.002):
                publisher.send(b"prices 1")
                while subscriber.poll(0):
                    subscriber.recv()


@pytest.fixture
def relay(start, folder) -> Iterator[Server]:
    """A relay with publishers and a subscriber, and nobody at its push port, that answers HTTP."""
    token_file = folder / "token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    server = start(
        "relay", "--name", "prices", "--sub-port", "0", "--pub-port", "0", "--push-port", "0",
        "--tap", "0", "--http", "127.0.0.1:0", "--http-token-file", str(token_file),
    )  # fmt: skip
    with Traffic(server["sub"], server["pub"]):
        yield server


def url_of(server: Server) -> str:
    found = server.until(lambda: re.search(r"\burl=(http://127\.0\.0\.1:\d+)", server.errors), "the URL in the log")
    return f"{found[1]}/"


RATE = text("[data-device=prices] [data-lane='sub pub'] .rate")
MOVING = f"document.querySelector('[data-device=prices] .lane.moving') && /^[1-9]/.test({RATE})"
STATE = text("[data-device=prices] .state")


def test_traffic_is_seen_to_move_to_stop_when_paused_and_to_move_again(relay, browser):
    browser.open(url_of(relay))
    browser.until(MOVING)
    browser.until(f"/^dropping [1-9]/.test({text('.drop-label')}) && /^no peer/.test({text('.drop-reason')})")
    for shown in ("1 publisher", "1 subscriber", "no pullers"):
        browser.until(f"{text('.diagram')}.includes({json.dumps(shown)})")
    browser.click("#token")
    browser.until("document.activeElement.id === 'token-input'")
    browser.type(TOKEN)
    browser.press("Enter")
    browser.click("[aria-label='Pause prices']")
    browser.until(f"{STATE} === 'paused' && {RATE} === '0/s'")
    assert "prices is paused" in browser.evaluate(text("#announcer"))
    browser.click("[aria-label='Resume prices']")
    browser.until(f"{STATE} === 'running' && {MOVING}")
    assert browser.complaints == []
    assert {url for url in browser.requests if not url.startswith((url_of(relay), "about:"))} == set()


def test_peers_are_listed_when_details_are_opened(relay, browser):
    browser.open(url_of(relay))
    browser.until(MOVING)
    browser.click("summary")
    rows = "[...document.querySelectorAll('[aria-label^=Peers] tbody tr')].map((row) => row.cells[0].textContent)"
    assert sorted(browser.until(f"({rows}).length === 2 && {rows}")) == ["pub", "sub"]
    browser.until("document.querySelectorAll('[aria-label^=Messages] tbody tr').length === 2")
    assert browser.complaints == []


def test_messages_are_watched_with_the_token(relay, browser):
    browser.open(url_of(relay))
    enter_token(browser, TOKEN)
    browser.click(".watch summary")
    browser.until("document.querySelectorAll('.watch-list li').length > 20")
    assert browser.evaluate(text(".watch-list pre")) == "prices 1"
    assert browser.evaluate("[...document.querySelectorAll('.watch-fields option')].map((one) => one.value)")[:2] == [
        "",
        "sub",
    ]
    field = "document.querySelector('.watch-fields input')"
    browser.evaluate(f"{field}.value = 'orders'; {field}.dispatchEvent(new Event('input'))")
    browser.until(
        f"{text('.watch-state')} === 'Every message from now on.' && {text('.watch-live .muted')} === '0 messages'"
    )
    assert browser.complaints == []


def test_every_link_leads_somewhere(relay, browser):
    answers = "Promise.all([...document.querySelectorAll('a')].map((one) => "
    answers += "fetch(one.href).then((answer) => [one.href, answer.status])))"
    for path in ("", "docs.html"):
        browser.open(url_of(relay) + path)
        found = dict(browser.evaluate(answers))
        # Without prometheus_client, too, there are metrics.
        assert len(found) >= 4
        assert set(found.values()) == {200}


def test_a_server_that_ends_is_missed(relay, browser):
    browser.open(url_of(relay))
    browser.until(MOVING)
    relay.stop()
    browser.until("document.body.classList.contains('stale')")
    assert "no answer" in browser.evaluate(text("#connection-text"))
