"""A headless Chromium, steered by its DevTools protocol through two pipes: no port, no driver, no package.

Whoever waits, waits for a condition inside the page.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMIT_S = 20.0

# Chromium reads commands from descriptor 3 and writes to 4. Not a preexec_fn, see support/process.py. The descriptors
# are moved out of the way first, for one that is at its place already would be closed.
LAUNCHER = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(commands, 3), os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-extensions", "--disable-sync", "--mute-audio", "--hide-scrollbars",
    "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--force-color-profile=srgb",
)  # fmt: skip

# Resolves once the condition is true, or with what was true instead.
UNTIL = """
new Promise((resolve) => {
  const deadline = performance.now() + %d;
  const look = () => {
    let found = null;
    try { found = (() => (%s))(); } catch (error) { found = null; }
    if (found) resolve({ found });
    else if (performance.now() > deadline) resolve({ text: document.body.innerText });
    else setTimeout(look, 20);
  };
  look();
})
"""

# Where to click, once the element is there, enabled, and not behind something else.
MIDDLE = """
(() => {
  const element = document.querySelector(%s);
  element.scrollIntoView({ block: "center", behavior: "instant" });
  const box = element.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  return !element.disabled && element.contains(document.elementFromPoint(x, y)) && [x, y];
})()
"""

TWO_FRAMES = "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true))))"


def find_chromium() -> str | None:
    """The first Chromium on PATH that runs, or None."""
    return next((path for name in NAMES if (path := shutil.which(name)) and _runs(path)), None)


def _runs(path: str) -> bool:
    # Where browsers come as snaps, there is a program of that name that only says so.
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and b"Chrom" in answer.stdout


# What a browser answers when the page that an expression waits in makes way for another one.
_LEFT = ("Inspected target navigated or closed", "Execution context was destroyed.")


class BrowserError(AssertionError):
    """The browser did not do what it was told, or a condition did not come true in time."""


class LeftError(BrowserError):
    """The page made way for another one before the answer was there."""


class Browser:
    """One Chromium with one page, for a ``with`` block.

    :param binary: the program. :param folder: an empty folder for its profile.
    :ivar requests: the URL of every request so far. :ivar complaints: every error on the console, and every exception.
    """

    def __init__(self, binary: str, folder: Path) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._binary, self._folder = binary, folder
        self._number = 0
        self._session: str | None = None
        self._context: str | None = None
        self._buffer = b""
        self._loaded = False

    def __enter__(self) -> Browser:
        for_commands, self._commands = os.pipe()
        self._answers, for_answers = os.pipe()
        command = [self._binary, *FLAGS, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(for_commands), str(for_answers), *command],
            pass_fds=(for_commands, for_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(for_commands)
        os.close(for_answers)
        try:
            self.new_page()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and all of its processes."""
        with contextlib.suppress(BrowserError, OSError):
            self._session = None
            self.call("Browser.close")
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)
        os.close(self._commands)
        os.close(self._answers)

    def new_page(self) -> None:
        """Leave the page for a new one, which knows nothing of what the old one has stored."""
        self._session, before = None, self._context
        self._context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=self._context)["targetId"]
        if before is not None:
            self.call("Target.disposeBrowserContext", browserContextId=before)
        self.requests.clear()
        self.complaints.clear()
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def leave(self) -> None:
        """Leave the page for an empty one, which knows nothing of what this one has stored.

        The process of the page stays, and so takes the next one at once. Each server of a test has a port of its own,
        thus an origin and a store of its own; what belongs to a tab is cleared for ports that are used again.
        """
        with contextlib.suppress(BrowserError):
            self.evaluate("sessionStorage.clear(), localStorage.clear()")
        # A row under the pointer stays where it is.
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=0, y=0)
        self.open("about:blank")
        self.evaluate("0")
        self.requests.clear()
        self.complaints.clear()

    def open(self, url: str) -> None:
        """Go to `url`, and return when all that belongs to it is there."""
        self._loaded = False
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        while not self._loaded:
            self._note(self._read(f"load event of {url}"))

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, condition: str, *, limit_s: float = LIMIT_S) -> Any:
        """Wait in the page until a JavaScript expression is true, and return its value.

        :param condition: the expression; one that raises is not true yet. :param limit_s: how long, in seconds.
        """
        ends = time.monotonic() + limit_s
        while True:
            left_s = max(0.0, ends - time.monotonic())
            try:
                answer = self.evaluate(UNTIL % (left_s * 1000, condition))
                break
            except LeftError:
                # A link was followed: the condition is to come true in the page that is there then.
                if not left_s:
                    raise
        if "found" not in answer:
            raise BrowserError(f"not within {limit_s:g} s: {condition}\nconsole: {self.complaints}\n{answer['text']}")
        return answer["found"]

    def click(self, selector: str) -> None:
        """Click in the middle of the element, as a mouse does."""
        middle, before = MIDDLE % json.dumps(selector), None
        while (found := self.until(middle)) != before:
            # It is not clicked at while it moves.
            before = found
            self.evaluate(TWO_FRAMES)
        x, y = found
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press ``Tab``, ``Enter``, ``Escape``, ``Space``, ``Home`` or an arrow, such as ``ArrowLeft``."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        code = codes[key]
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        common = {"code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        common["key"] = " " if key == "Space" else key
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def point_at(self, selector: str, part: float) -> None:
        """Move the pointer into an element: `part` of its width from the left, in the middle of its height."""
        self.until(MIDDLE % json.dumps(selector))
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.evaluate(f"((box) => [box.x + {part} * box.width, box.y + box.height / 2])({box})")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def show_as(self, width: int, height: int, *, dark: bool = False, still: bool = False, scale: float = 1) -> None:
        """Give the page a size in pixels and a reader's preferences.

        :param width: its width; up to 480 is a phone. :param height: its height. :param dark: a dark scheme.
        :param still: reduced motion. :param scale: device pixels for each.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width <= 480,
        )  # fmt: skip
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, *, whole: bool = False, clip: Sequence[float] | None = None) -> None:
        """Write what can be seen to a PNG.

        :param path: the file. :param whole: take the page to its end, rather than what is on the screen.
        :param clip: take only this: x, y, width and height, in pixels.
        """
        more = (
            {} if clip is None else {"clip": dict(zip(("x", "y", "width", "height", "scale"), (*clip, 1), strict=True))}
        )
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **more)
        path.write_bytes(base64.b64decode(answer["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol and its answer."""
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read(f"answer to {method}")
            if message.get("id") == self._number:
                if "error" in message:
                    error = message["error"]["message"]
                    raise (LeftError if error in _LEFT else BrowserError)(f"{method}: {error}")
                answer: dict[str, Any] = message["result"]
                return answer
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self.complaints.append(str(parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))

    def _read(self, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT_S + 10
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._answers, 1 << 20) if ready else b""
            if not data:
                raise BrowserError(f"{what}: the browser {'ended' if ready else 'said nothing'}")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded
