"""The process with the devices of the leg ``endurance``: one of each pattern, and one that each reload changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO, Any

import _client

from .strangers import STOP_S

READY_S = 30.0
PATTERNS = {"relay": ("sub", "pub", "push"), "forwarder": ("frontend", "backend"), "queue": ("frontend", "backend"),
            "streamer": ("frontend", "backend")}  # fmt: skip
Endpoints = dict[str, dict[str, list[str]]]


class Server:
    """The process with the devices; its files are in ``folder``."""

    def __init__(self, folder: Path, log: IO[bytes]) -> None:
        self.file, ready = folder / "relay.toml", folder / "ready"
        self.reloads = 0
        self.write()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "geventrelay", "run", str(self.file), "--http", "127.0.0.1:0",
             "--ready-file", str(ready)],
            cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
        end_s = time.monotonic() + READY_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > end_s:
                raise _client.GaveUp("endurance: the server did not come up")
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        self.url: str = told["http"]
        self.endpoints: Endpoints = told["devices"]

    def write(self) -> None:
        """The file of this reload: the device ``other`` is another one each time, and the others take a live change."""
        lines: list[str] = []
        for name, keys in PATTERNS.items():
            lines += [f"[device.{name}]", f'pattern = "{name}"', 'engine = "zmtp"', "sndhwm = 5000"]
            lines += [f"linger = {1 + self.reloads % 3}"]
            named = [f"{key}-port" if name == "relay" else key for key in keys]
            lines += [f'{key} = "tcp://127.0.0.1:0"' for key in (*named, "control")]
        lines += ["[device.other]", 'pattern = "streamer"', 'engine = "zmtp"', f"sndhwm = {10 + self.reloads % 2}"]
        lines += [f'{key} = "tcp://127.0.0.1:0"' for key in ("frontend", "backend")]
        self.file.write_text("\n".join(lines) + "\n")

    def reload(self) -> None:
        """Have it read its file, in which something has changed."""
        self.reloads += 1
        self.write()
        self.process.send_signal(signal.SIGHUP)

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def pumps(self) -> dict[str, list[dict[str, Any]]]:
        """The pumps of each device, as HTTP has them."""
        with urllib.request.urlopen(f"{self.url}/api/devices", timeout=10) as answer:
            told = json.load(answer)
        return {one["name"]: one["pumps"] for one in told["devices"]}

    def stop(self) -> int | None:
        """Its exit code after SIGTERM; None if it does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return None
