"""Starts and stops that are interrupted wherever they yield, and greenlets that others kill: what is left behind."""

from __future__ import annotations

import contextlib
import gc
import logging
import re
import socket
import subprocess
import sys
from pathlib import Path

import gevent
import greenlet
import pytest
import zmq
from support.engines import is_held_back

from geventrelay import Device, DeviceFailed, Queue, State, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, within

# More often than this nothing here yields.
MOST_YIELDS = 60
INTERRUPTIONS = {"kill": gevent.GreenletExit, "time-out": gevent.Timeout, "interrupt": KeyboardInterrupt}


class Interrupter:
    """Runs a function in a greenlet and throws an exception into it where it yields for the n-th time.

    :ivar thrown: how often that was done.
    """

    def __init__(self, function, at: int, exception: type[BaseException], times: int = 1) -> None:
        self._at, self._exception, self._times = at, exception, times
        self._yields = self.thrown = 0
        self._target = gevent.Greenlet(self._run, function)
        self.outcome: BaseException | None = None

    def _run(self, function) -> None:
        try:
            function()
        except BaseException as error:
            self.outcome = error

    def _trace(self, what: str, where: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        if where[0] is self._target and not self._target.dead:
            self._yields += 1
            if self._yields >= self._at and self.thrown < self._times:
                self.thrown += 1
                self._target.kill(self._exception, block=False)

    def run(self) -> None:
        before = greenlet.settrace(self._trace)
        try:
            self._target.start()
            with within("the interrupted call to end"):
                self._target.join()
        finally:
            greenlet.settrace(before)


def is_free(endpoint: str) -> bool:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with contextlib.closing(socket.socket()) as one, contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, int(port)))
        one.listen()
        return True
    return False


@pytest.fixture
def settings(tmp_path):
    """Of a device that has everything: names to resolve, files, a control socket and a tap."""
    with socket.socket() as front, socket.socket() as back:
        for one in (front, back):
            # While it does not listen, the device can bind the port, and no other program is given it.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        yield Queue(
            frontend=[f"tcp://localhost:{front.getsockname()[1]}", f"ipc://{tmp_path}/front"],
            backend=[f"tcp://127.0.0.1:{back.getsockname()[1]}", f"ipc://{tmp_path}/back", ">tcp://localhost:9"],
            control=LOCAL, tap=LOCAL, linger_ms=20, drain_s=0.01,
        )  # fmt: skip


def assert_nothing_is_left(device: Device, folder: Path) -> None:
    assert device.state in (State.STOPPED, State.FAILED)
    assert device.endpoints == {}
    assert list(folder.iterdir()) == []
    bound = [one for key in ("frontend", "backend") for one in device.settings.endpoints[key] if one.binds]
    for endpoint in bound:
        if endpoint.transport == "tcp":
            assert is_free(endpoint.address.replace("localhost", "127.0.0.1")), endpoint


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("exception", INTERRUPTIONS.values(), ids=list(INTERRUPTIONS))
def test_a_start_that_is_interrupted_wherever_it_yields_leaves_nothing(settings, tmp_path, exception, times):
    device = Device(settings, watch_peers=True)
    for at in range(1, MOST_YIELDS):
        start = Interrupter(device.start, at, exception, times)
        start.run()
        if not start.thrown:
            assert device.state is State.RUNNING
            device.stop(0)
            break
        assert isinstance(start.outcome, exception)
        assert_nothing_is_left(device, tmp_path)
    assert 2 < at < MOST_YIELDS - 1


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("exception", INTERRUPTIONS.values(), ids=list(INTERRUPTIONS))
def test_a_stop_that_is_interrupted_wherever_it_yields_comes_to_its_end_first(settings, tmp_path, exception, times):
    device = Device(settings, watch_peers=True)
    for at in range(1, MOST_YIELDS):
        device.start()
        reader = device.watch()
        stop = Interrupter(device.stop, at, exception, times)
        stop.run()
        reader.close()
        assert_nothing_is_left(device, tmp_path)
        if not stop.thrown:
            break
        assert isinstance(stop.outcome, exception)
    assert 3 < at < MOST_YIELDS - 1


def test_a_stop_with_a_time_out_ends_its_drain_with_it(run, peers: Peers):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, drain_s=60, linger_ms=0))
    peers.connect(zmq.PUSH, *device.endpoints["frontend"]).send(b"task")
    eventually(lambda: is_held_back(device), "the task to be in hand")
    with within("the stop"), pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.05) as limit:
        device.stop()
    assert raised.value is limit
    assert device.state is State.STOPPED


def kill_every_greenlet() -> None:
    """What programs do at their end, and between tests."""
    gevent.killall([one for one in gc.get_objects() if isinstance(one, gevent.Greenlet) and not one.dead])


@pytest.mark.parametrize("begun", [True, False], ids=["after they began", "before they began"])
def test_a_device_whose_greenlets_are_all_killed_has_failed_and_can_be_started_again(settings, tmp_path, caplog, begun):
    device = Device(settings, watch_peers=True)
    device.start()
    if begun:
        gevent.sleep(0)
    with caplog.at_level(logging.ERROR, "geventrelay"):
        kill_every_greenlet()
        with within("the end of the device"):
            device.join()
    assert device.state is State.FAILED
    assert "was killed" in str(device.failure)
    # Which of its greenlets is told of first, is the order in which they were killed.
    assert re.search(r"failed device=queue socket=(frontend|backend|control|tap|switch) ", caplog.text)
    assert_nothing_is_left(device, tmp_path)
    device.start()
    assert device.state is State.RUNNING
    device.stop(0)


def test_serve_forever_raises_when_the_greenlets_of_its_device_are_killed(settings, caplog):
    device = Device(settings)
    serving = gevent.spawn(device.serve_forever)
    eventually(lambda: device.started, "the device to be up")
    gevent.killall(list(device._assembly._greenlets))
    with (
        within("the end of the device"),
        pytest.raises(DeviceFailed, match=r"the greenlet of (frontend|switch) was killed"),
    ):
        serving.get()


def test_a_device_that_is_killed_while_it_fails_ends_all_the_same(settings, tmp_path, caplog):
    device = Device(settings)
    device.start()
    device._life.fail("frontend", RuntimeError("no more"))
    kill_every_greenlet()
    with within("the end of the device"):
        device.join()
    assert device.state is State.FAILED
    assert str(device.failure) == "no more"
    assert_nothing_is_left(device, tmp_path)


DESCRIPTORS = """
import os, resource, sys
import gevent
from geventrelay import Device, Queue, StartError, State

folder = sys.argv[1]
made = Queue(
    frontend=["tcp://127.0.0.1:0", f"ipc://{folder}/front"], backend=f"ipc://{folder}/back",
    control="tcp://127.0.0.1:0", tap="tcp://127.0.0.1:0", linger_ms=10, drain_s=0.1,
)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
# The hub has descriptors of its own.
gevent.get_hub().threadpool.apply(int)

def take_all_but(count):
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        for _ in range(count):
            os.close(taken.pop())
    return taken

def descriptors():
    return len(os.listdir("/proc/self/fd"))

before, failures = descriptors(), 0
for free in range(100):
    device, taken = Device(made, watch_peers=True), take_all_but(free)
    try:
        device.start()
    except StartError as error:
        assert str(error).endswith("Too many open files"), error
        failures += 1
    else:
        taken += take_all_but(0)
        device.stop()
    for one in taken:
        os.close(one)
    assert device.state is State.STOPPED, device
    assert os.listdir(folder) == []
    if failures == free:
        break
    # Monitors of closed sockets end by themselves.
    gevent.sleep(0.01)
    assert descriptors() == before, (free, descriptors(), before)
print(failures)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_without_enough_descriptors_a_start_says_so_and_a_stop_needs_none(tmp_path):
    program = subprocess.run(
        [sys.executable, "-c", DESCRIPTORS, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (program.returncode, program.stderr) == (0, "")
    assert int(program.stdout) > 10
