"""The process with the devices of the leg ``churn``: endpoints out, a line in to stop, the accounting out."""

from __future__ import annotations

import json
import sys

import gevent.fileobject

from geventrelay import Device, Queue, SettingsError, Streamer

LOCAL = "tcp://127.0.0.1:0"
HWM = 1000


def main() -> None:
    streamer_settings = Streamer(frontend=LOCAL, backend=LOCAL, sndhwm=HWM, rcvhwm=HWM)
    queue_settings = Queue(frontend=LOCAL, backend=LOCAL, sndhwm=HWM, rcvhwm=HWM)
    with Device(streamer_settings) as streamer, Device(queue_settings) as queue:
        print(json.dumps([streamer.endpoints, queue.endpoints]), flush=True)
        gevent.fileobject.FileObjectThread(sys.stdin.fileno(), "r", closefd=False).readline()
    pump = streamer.snapshot().pumps[0]
    print(json.dumps({"received": pump.received, "sent": pump.outlets[0].sent, "held": pump.held}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"soak churn: {error}")
