"""What the tests of the page share."""

from __future__ import annotations

import json

from .browser import Browser
from .stub_server import StubServer


def text(selector: str) -> str:
    """JavaScript for the text of the element of a selector."""
    return f"document.querySelector({json.dumps(selector)}).textContent"


def enter_token(browser: Browser, token: str) -> None:
    """Type the token into its dialog."""
    browser.click("#token")
    browser.until("document.activeElement.id === 'token-input'")
    browser.type(token)
    browser.press("Enter")


def tab_to(browser: Browser, condition: str) -> None:
    """Press Tab until what has the focus fulfils a condition in JavaScript."""
    for _ in range(40):
        browser.press("Tab")
        if browser.evaluate(condition):
            return
    raise AssertionError(f"no Tab leads to {condition}")


def complaints(browser: Browser, stub: StubServer) -> list[str]:
    """What the browser complained of, and every request to another server."""
    elsewhere = {url for url in browser.requests if not url.startswith((stub.url, "about:"))}
    return [*browser.complaints, *sorted(elsewhere)]
