"""The machine that a run took place on: what to write above the figures, and which cores run what."""

from __future__ import annotations

import os
import platform
from pathlib import Path

PINS = ("auto", "load", "split", "one", "none")


def cores(pin: str, steps: bool = False) -> tuple[str, str]:
    """The cores of the relay and those of the load, as ``limited.py`` takes them; ``steps``: one request in flight.

    Measured on 2 cores, 3 short rounds of 100 B, spread from least to most as a share of the median:

    ======  ============  ====================  =======================  =================
    pin     no relay      zmq.proxy, HWM 1000   zmq.proxy, HWM 100000    1 in flight, p50
    ======  ============  ====================  =======================  =================
    none    25 to 60 %    65 % at 2.5 M/s       4 %                      16 to 70 %
    load    1 %           47 % at 1.7 M/s       7 %                      1 to 70 %
    split   1 %           38 % at 0.4 M/s       22 %                     1 to 90 %
    one                                                                  7 %
    ======  ============  ====================  =======================  =================

    ``none``: the scheduler moves the clients about, and even the no-relay figure halves from one round to
    the next.
    ``split``: the relay has one core for itself, the clients the other.  Steady, but zmq.proxy spins while
    its backend is full and takes that core from its own io thread: a several-fold penalty that users with
    idle cores do not see, and so a comparison that flatters everyone else.
    ``load``: the clients are held on the last core, the relay may use any.  Its io thread and
    its own thread run side by side, as they would on a larger machine, and the clients' rate stays the same.
    On 4 cores and more the clients have two, and the relay all others.
    ``one``: relay and clients on the last core.
    ``auto`` (the default): ``load``, but ``one`` for one request in flight.  There nothing runs at the same
    time, and what further cores add is the time to wake a sleeping one, which on a virtual machine is
    anything: p50 of zmq.proxy was 32 µs in some rounds and 61 in others, and all contenders' went with it.
    On one core it is the length of the way through the relay, and stays within a few per cent.
    """
    if pin == "auto":
        pin = "one" if steps else "load"
    if pin == "none" or not hasattr(os, "sched_getaffinity"):
        return "all", "all"
    every = sorted(os.sched_getaffinity(0))
    if len(every) < 2:
        return "all", "all"
    if pin == "one":
        return _listed(every[-1:]), _listed(every[-1:])
    taken = max(1, min(2, len(every) // 2))
    relay, load = every[:-taken], every[-taken:]
    return ("all" if pin == "load" and len(every) < 4 else _listed(relay)), _listed(load)


def describe_pin(pin: str) -> str:
    relay, load = cores(pin)
    alone, with_it = cores(pin, steps=True)
    return f"{pin}: relay on {relay}, clients on {load}; with 1 in flight on {alone} and {with_it}"


def _listed(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def core_numbers(listed: str) -> set[int]:
    return set(range(os.cpu_count() or 1)) if listed == "all" else {int(core) for core in listed.split(",")}


def describe() -> dict[str, str]:
    import gevent
    import zmq

    return {
        "cpu": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}, gevent {gevent.__version__}",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
