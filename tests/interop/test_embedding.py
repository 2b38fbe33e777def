"""Devices in somebody else's process: patched, threaded, serving HTTP, forking."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import urllib.request

import gevent
import pytest
import zmq
import zmq.green
from gevent import pywsgi
from support.process import without_deliveries

from geventrelay import Device, Forwarder, Queue, Relay, State, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, within


def output_of(program: str, *, limit_s: float = 40) -> list[str]:
    """Run a program of its own, which must end well, and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=limit_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


# Patched and not

PATCH = "from gevent import monkey; monkey.patch_all()"
PROGRAM = """
    {first}
    import threading, time
    import gevent
    import zmq.green as zmq
    from geventrelay import Device, Queue

    device = Device(Queue(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0"))
    device.start()
    context = zmq.Context()

    def work():
        with context.socket(zmq.REP) as worker:
            worker.linger = 1000
            worker.connect(device.endpoints["backend"][0])
            for _ in range(100):
                worker.send(worker.recv() + b"!")

    # In a patched program a thread is a greenlet; otherwise it is a native one, with a hub of its own.
    thread = threading.Thread(target=work)
    thread.start()
    with gevent.Timeout(20), context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(device.endpoints["frontend"][0])
        for number in range(100):
            client.send(b"%d" % number)
            assert client.recv() == b"%d!" % number
    while thread.is_alive():
        gevent.sleep(0.001)
    device.stop()
    print(device.snapshot().accounting())
    print(threading.active_count(), isinstance(threading.current_thread(), threading.Thread))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    ["", PATCH, f"import geventrelay; {PATCH}"],
    ids=["not patched", "patched first", "patched after the import"],
)  # fmt: skip
def test_a_device_works_the_same_whether_or_not_the_process_is_patched(first):
    accounting, _ = output_of(PROGRAM.format(first=first))
    assert without_deliveries(accounting) == (
        "device=queue frontend.received=100 backend.sent=100 backend.received=100 frontend.sent=100 held=0"
    )


@pytest.mark.slow
def test_importing_it_patches_nothing():
    assert output_of("""
        import geventrelay, geventrelay.devices.background, geventrelay.cli
        from gevent import monkey
        print([name for name in ("socket", "threading", "time", "os") if monkey.is_module_patched(name)])
    """) == ["[]"]


# Beside others


def test_beside_a_wsgi_server_in_the_same_hub(run, peers: Peers):
    device = run(Queue(frontend=LOCAL, backend=LOCAL))

    def app(_environ, start_response):
        with peers.context.socket(zmq.REQ) as client:
            client.linger = 0
            client.connect(device.endpoints["frontend"][0])
            client.send(b"from the web")
            answer = client.recv()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [answer]

    web = pywsgi.WSGIServer(("127.0.0.1", 0), app, log=None)
    web.start()
    worker = peers.connect(zmq.REP, *device.endpoints["backend"])

    def fetch():
        with urllib.request.urlopen(f"http://127.0.0.1:{web.server_port}/", timeout=10) as response:
            return response.read()

    try:
        # urllib blocks: it is in a thread, as a browser would be in another process.
        fetching = [gevent.get_hub().threadpool.spawn(fetch) for _ in range(5)]
        for _ in fetching:
            (request,) = worker.recv()
            worker.send(request + b", answered")
        with within("the answers"):
            assert [one.get() for one in fetching] == [b"from the web, answered"] * 5
    finally:
        web.stop()


def test_many_devices_of_every_pattern_at_once(run, peers: Peers):
    sides = {"frontend": LOCAL, "backend": LOCAL}
    devices = [run(pattern(**sides)) for pattern in (Streamer, Queue, Forwarder) for _ in range(5)]
    devices += [run(Relay(sub=LOCAL, pub=LOCAL, push=LOCAL)) for _ in range(5)]
    for device in devices[:5]:
        source = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
        sink = peers.connect(zmq.PULL, *device.endpoints["backend"])
        source.send(b"task")
        assert sink.recv() == [b"task"]
    devices[0].stop(0)
    assert [device.state for device in devices] == [State.STOPPED] + [State.RUNNING] * 19


def test_a_second_hub_in_a_native_thread_runs_a_device_of_its_own(run, peers: Peers):
    mine, said = run(Streamer(frontend=LOCAL, backend=LOCAL)), {}
    up, finish = threading.Event(), threading.Event()

    def other_hub():
        with Device(Streamer(frontend=LOCAL, backend=LOCAL)) as device:
            said.update(device.endpoints)
            up.set()
            while not finish.is_set():
                gevent.sleep(0.002)
        said["accounting"] = device.snapshot().accounting()
        gevent.get_hub().destroy()

    thread = threading.Thread(target=other_hub)
    thread.start()
    try:
        eventually(up.is_set, "the other hub's device")
        ways = [
            (peers.connect(zmq.PUSH, *one["frontend"]), peers.connect(zmq.PULL, *one["backend"]))
            for one in (mine.endpoints, said)
        ]
        for source, _ in ways:
            for number in range(500):
                source.send(b"%d" % number)
        for _, sink in ways:
            assert sink.recv_all(500) == [[b"%d" % number] for number in range(500)]
    finally:
        finish.set()
        thread.join(10)
    assert without_deliveries(said["accounting"]) == "device=streamer frontend.received=500 backend.sent=500 held=0"


@pytest.mark.parametrize("act", ["start", "stop", "pause", "resume"])
def test_another_greenlet_may_call_it(run, act):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL))
    if act == "resume":
        device.pause()
    with within(act):
        gevent.spawn(getattr(device, act)).get()
    assert device.state is {"stop": State.STOPPED, "pause": State.PAUSED}.get(act, State.RUNNING)


def test_a_context_that_somebody_terminates_fails_the_device_and_no_more(spawned_context, caplog, capsys):
    context, thread = spawned_context
    device = Device(Streamer(frontend=LOCAL, backend=LOCAL), context=context)
    device.start()
    thread.start()
    eventually(lambda: device.state is State.FAILED, "the device to fail")
    thread.join(10)
    assert isinstance(device.failure, zmq.ContextTerminated)
    assert "Traceback" not in capsys.readouterr().err, "its end was to be orderly"


@pytest.fixture
def spawned_context():
    context = zmq.green.Context()
    yield context, threading.Thread(target=context.term)
    context.term()


# Forks. Each program goes on with its traffic while it fork, and compares it in the end.

METHODS = ("start", "stop", "serve_forever", "pause", "resume", "snapshot", "terminate", "statistics")
FORKING = """
    import gevent, gevent.os, multiprocessing, os, resource, sys, threading, time
    import zmq
    import geventrelay
    from geventrelay import Device, ForkedError, Streamer

    # Plain, not green: in a forked child, a zmq.green socket whose hub runs spins in a call that libzmq refuses there.
    context = zmq.Context()
    METHODS = {METHODS}

    def socket(kind):
        made = context.socket(kind)
        made.linger = 0
        return made

    {start}

    # Around it, native threads: a child has none of them.
    got = []
    finish = threading.Event()

    def send():
        with socket(zmq.PUSH) as source:
            source.connect(frontend)
            source.linger = 10000
            number = 0
            while not finish.is_set():
                source.send(b"%d" % number)
                number += 1
            source.send(b"")

    def receive():
        with socket(zmq.PULL) as sink:
            sink.connect(backend)
            while task := sink.recv():
                got.append(int(task))

    threads = [threading.Thread(target=send), threading.Thread(target=receive)]
    for thread in threads:
        thread.start()

    def in_child():
        # The hub of the child runs, and with it the copies of all greenlets.
        gevent.sleep(0.1)
        {child}
        used = resource.getrusage(resource.RUSAGE_SELF)
        assert used.ru_utime + used.ru_stime < 0.15, used
        sys.stdout.flush()

    for number in range(3):
        want = len(got) + 1000
        while len(got) < want:
            gevent.sleep(0.0001)
        {fork}
    finish.set()
    while any(thread.is_alive() for thread in threads):
        gevent.sleep(0.001)
    print(got == list(range(len(got))))
    {end}
"""

DEVICE = {
    "start": """device = Device(Streamer(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0", name="mine"))
    device.start()
    (frontend,), (backend,) = device.endpoints["frontend"], device.endpoints["backend"]""",
    "child": """for name in METHODS:
            try:
                getattr(device, name)()
            except ForkedError as error:
                print(name, error)""",
    "end": """device.stop()
    said = "device=mine frontend.received={0} backend.sent={0} ".format(len(got) + 1)
    print(device.snapshot().accounting().startswith(said))""",
}
FUNCTION = {
    "start": """front, back = socket(zmq.PULL), socket(zmq.PUSH)
    frontend, backend = (("tcp://127.0.0.1:%d" % one.bind_to_random_port("tcp://127.0.0.1")) for one in (front, back))

    def join():
        try:
            geventrelay.proxy(front, back)
        except ForkedError as error:
            return error

    running = gevent.spawn(join)""",
    "child": "print(running.get(timeout=2))",
    "end": "running.kill()\n    front.close()\n    back.close()",
}
FORKS = {
    "gevent": """pid = gevent.os.fork_and_watch()
        if pid == 0:
            in_child()
            os._exit(0)
        assert gevent.os.waitpid(pid, 0)[1] == 0""",
    "raw": """pid = os.fork()
        if pid == 0:
            in_child()
            os._exit(0)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            gevent.sleep(0.001)""",
    "multiprocessing": """child = multiprocessing.get_context("fork").Process(target=in_child)
        child.start()
        while child.is_alive():
            gevent.sleep(0.001)
        assert child.exitcode == 0, child.exitcode""",
    "only to exit": """pid = os.fork()
        if pid == 0:
            os._exit(0)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            gevent.sleep(0.001)""",
}


@pytest.mark.slow
@pytest.mark.parametrize("fork", FORKS)
def test_a_fork_is_refused_in_the_child_and_does_the_parent_no_harm(fork):
    lines = output_of(FORKING.format(fork=FORKS[fork], METHODS=METHODS, **DEVICE))
    *refusals, same, accounted_for = lines
    assert (same, accounted_for) == ("True", "True"), "the parent's traffic was to go on"
    if fork == "only to exit":
        assert refusals == []
        return
    reason = (
        "device mine was started before this process was forked and belongs to its parent; "
        "make a new Device in the child"
    )
    assert refusals == [f"{name} {reason}" for name in METHODS] * 3


@pytest.mark.slow
@pytest.mark.parametrize("fork", ["gevent", "raw", "multiprocessing"])
def test_a_fork_under_a_proxy_is_refused_in_the_child_and_does_the_parent_no_harm(fork):
    *refusals, same = output_of(FORKING.format(fork=FORKS[fork], METHODS=METHODS, **FUNCTION))
    assert same == "True", "the parent's traffic was to go on"
    assert refusals == ["this proxy runs in the process that this one was forked from; start another here"] * 3


@pytest.mark.slow
def test_a_child_can_run_a_device_of_its_own():
    assert output_of("""
        import gevent, gevent.os, os, zmq.green as zmq
        from geventrelay import Device, Streamer

        def works():
            with Device(Streamer(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0")) as device:
                context = zmq.Context()
                source, sink = context.socket(zmq.PUSH), context.socket(zmq.PULL)
                source.connect(device.endpoints["frontend"][0])
                sink.connect(device.endpoints["backend"][0])
                source.send(b"task")
                with gevent.Timeout(10):
                    print(sink.recv(), flush=True)
                context.destroy(linger=0)

        parent = Device(Streamer(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0"))
        parent.start()
        pid = gevent.os.fork_and_watch()
        if pid == 0:
            works()
            os._exit(0)
        assert gevent.os.waitpid(pid, 0)[1] == 0
        works()
        parent.stop()
    """) == ["b'task'", "b'task'"]


@pytest.mark.slow
def test_a_child_leaves_the_endpoints_alone_that_its_parent_is_to_connect_again():
    assert output_of("""
        import gevent, gevent.os, logging, os, zmq.green as zmq
        from geventrelay import Device, Streamer

        class Told(logging.Handler):
            def emit(self, record):
                if "connecting-again" in record.getMessage():
                    given_up.set()

        given_up = gevent.event.Event()
        logging.getLogger("geventrelay").addHandler(Told())
        context = zmq.Context()
        wrong, right = context.socket(zmq.PUB), context.socket(zmq.PULL)
        port = wrong.bind_to_random_port("tcp://127.0.0.1")
        parent = Device(Streamer(frontend="tcp://127.0.0.1:0", backend=f">tcp://127.0.0.1:{port}"))
        parent.start()
        assert given_up.wait(10)
        pid = gevent.os.fork_and_watch()
        if pid == 0:
            # Its delay is at most 0.1 s.
            gevent.sleep(0.5)
            print("child", flush=True)
            os._exit(0)
        with gevent.Timeout(20):
            assert gevent.os.waitpid(pid, 0)[1] == 0
            wrong.close(0)
            while True:
                try:
                    right.bind(f"tcp://127.0.0.1:{port}")
                    break
                except zmq.ZMQError:
                    gevent.sleep(0.01)
            source = context.socket(zmq.PUSH)
            source.connect(parent.endpoints["frontend"][0])
            while not right.poll(0):
                source.send(b"task")
                gevent.sleep(0.01)
        print(right.recv(), flush=True)
        parent.stop()
        context.destroy(linger=0)
    """) == ["child", "b'task'"]
