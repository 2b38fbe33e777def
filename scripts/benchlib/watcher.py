"""Watches a server the way that people do: a scrape every second, and a page that is open.

``python -m benchlib.watcher READY_FILE`` goes on until it is ended.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from pathlib import Path

EVERY_S = 1.0


def main() -> None:
    address = json.loads(Path(sys.argv[1]).read_text())["http"]
    threading.Thread(target=follow, args=(f"{address}/api/events",), daemon=True).start()
    while True:
        began_s = time.monotonic()
        with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
            answer.read()
        time.sleep(max(0.0, began_s + EVERY_S - time.monotonic()))


def follow(address: str) -> None:
    with urllib.request.urlopen(address) as events:
        while events.readline():
            pass


if __name__ == "__main__":
    main()
