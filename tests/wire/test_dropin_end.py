"""What a drop-in call leaves behind when it has ended, and how SIGINT ends it."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import gevent
import pytest
import zmq
import zmq.green

import geventrelay
from geventrelay.dropin.foreign_socket import ForeignSocket
from geventrelay.engine.native.choose import burst_name
from geventrelay.testing import eventually, let_run, within

CALLS = {
    "proxy": lambda front, back, capture, control: (geventrelay.proxy, front, back, capture),
    "proxy_steerable": lambda front, back, capture, control: (
        geventrelay.proxy_steerable, front, back, capture, control,
    ),
    "device": lambda front, back, capture, control: (geventrelay.device, zmq.QUEUE, front, back),
    "monitored_queue": lambda front, back, capture, control: (geventrelay.monitored_queue, front, back, capture),
}  # fmt: skip
CAPTURES = {"device": (False,), "monitored_queue": (True,)}
ENDS = ["killed", "closed", "timed out", "terminated"]
CASES = [
    (name, how, captured)
    for name in CALLS
    for how in ENDS
    for captured in (True, False)
    if (name == "proxy_steerable" or how != "terminated") and captured in CAPTURES.get(name, (True, False))
]


def bound(context: zmq.Context, name: str, type_: int) -> zmq.Socket:
    socket = context.socket(type_)
    socket.linger = 0
    socket.bind(f"inproc://{name}")
    return socket


def end_of(call: gevent.Greenlet, how: str, sockets: dict[str, zmq.Socket], steering: zmq.Socket) -> None:
    if how == "killed":
        call.kill()
    elif how == "closed":
        sockets["back"].close()
    elif how == "terminated":
        steering.send(b"TERMINATE")
    else:
        call.kill(gevent.Timeout(), block=False)
    with within("the call to end"):
        call.join()


@pytest.fixture
def no_collection():
    """Nothing is freed but what no reference is left of."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", ["plain", "green"])
@pytest.mark.parametrize(("name", "how", "captured"), CASES)
def test_a_call_that_has_ended_holds_no_socket_of_its_caller(no_collection, name, how, captured, kind):
    context = zmq.Context() if kind == "plain" else zmq.green.Context()
    types = {"front": zmq.PULL, "back": zmq.PUSH, "capture": zmq.PUB, "control": zmq.PAIR}
    sockets = {key: bound(context, key, type_) for key, type_ in types.items()}
    source, sink, steering = context.socket(zmq.PUSH), context.socket(zmq.PULL), context.socket(zmq.PAIR)
    for socket, key in ((source, "front"), (sink, "back"), (steering, "control")):
        socket.linger = 0
        socket.connect(f"inproc://{key}")
    given = {**sockets, "capture": sockets["capture"] if captured else None}
    call = gevent.spawn(*CALLS[name](**given))
    del given, socket
    let_run(2)
    source.send(b"one")
    eventually(lambda: sink.get(zmq.EVENTS) & zmq.POLLIN, "the message")
    end_of(call, how, sockets, steering)
    refs = {key: weakref.ref(one) for key, one in sockets.items()}
    for one in sockets.values():
        # A green socket that is open is in a circle of its own.
        one.close()
    del one
    sockets.clear()
    # The greenlet is still there, and with it the error that ended it.
    assert call.dead
    assert [key for key, ref in refs.items() if ref() is not None] == []
    for one in (source, sink, steering):
        one.close()
    gevent.get_hub().threadpool.apply(context.term)


INTERRUPTED = """
import random, signal, sys, threading
import gevent
import zmq.green as zmq
import geventrelay

TIMES = 100
# It may be ignored where tests are started from.
signal.signal(signal.SIGINT, signal.default_int_handler)
main, begun, random = threading.main_thread().ident, threading.Semaphore(0), random.Random(1)
context = zmq.Context()

def interrupt():
    for _ in range(TIMES):
        begun.acquire()
        waited = threading.Event()
        waited.wait(random.uniform(0, 0.004))
        signal.pthread_kill(main, signal.SIGINT)

def bound(kind, name):
    made = context.socket(kind)
    made.linger = 0
    made.bind(name)
    return made

def chatter(source, sink):
    while True:
        source.send(b"a")
        sink.recv()

calls = {
    "proxy": lambda front, back, capture: geventrelay.proxy(front, back),
    "captured": lambda front, back, capture: geventrelay.proxy(front, back, capture),
    "steerable": lambda front, back, capture: geventrelay.proxy_steerable(front, back, None, capture),
    "queue": lambda front, back, capture: geventrelay.monitored_queue(front, back, capture),
}
call = calls[sys.argv[1]]
# The first call imports, and Python loses what is raised in some places of an import.
first = [bound(kind, f"inproc://{kind}") for kind in (zmq.PULL, zmq.PUSH, zmq.PAIR)]
gevent.with_timeout(0.05, call, *first, timeout_value=None)
for one in first:
    one.close()
threading.Thread(target=interrupt, daemon=True).start()
ends = []
for number in range(TIMES):
    front = bound(zmq.PULL, f"inproc://front{number}")
    back = bound(zmq.PUSH, f"inproc://back{number}")
    capture = bound(zmq.PAIR if sys.argv[1] == "steerable" else zmq.PUB, f"inproc://capture{number}")
    source, sink = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    source.linger = 0
    source.connect(f"inproc://front{number}")
    sink.connect(f"inproc://back{number}")
    talk = gevent.spawn(chatter, source, sink) if number % 2 else None
    try:
        begun.release()
        call(front, back, capture)
        ends.append("returned")
    except BaseException as error:
        ends.append(repr(error))
    if talk is not None:
        talk.kill()
    for one in (front, back, capture, source, sink):
        one.close(0)
print({end: ends.count(end) for end in ends})
"""


@pytest.mark.skipif(
    type(gevent.get_hub().loop).__module__.startswith("gevent.libuv"),
    reason="on libuv, gevent's loop runs Python in which KeyboardInterrupt is lost or comes twice",
)
@pytest.mark.skipif(not hasattr(__import__("signal"), "pthread_kill"), reason="signals a thread")
@pytest.mark.parametrize("burst", ["native", "python"])
@pytest.mark.parametrize("name", ["proxy", "captured", "steerable", "queue"])
def test_sigint_ends_a_call_with_keyboard_interrupt_wherever_it_comes(name, burst, monkeypatch):
    if burst == "native" and burst_name() != "native":
        pytest.skip("the native burst is not built")
    monkeypatch.setenv("GEVENTRELAY_BURST", burst)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, name], capture_output=True, text=True, timeout=40, check=False
    )
    assert done.stdout.strip() == "{'KeyboardInterrupt()': 100}", done.stderr[-2000:]


class Interrupt(BaseException):
    """As a KeyboardInterrupt, which gevent would bring to the main greenlet."""


@pytest.mark.parametrize("kind", ["plain", "green"])
@pytest.mark.parametrize("step", ["watch", "give_back"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 3])
def test_an_interrupt_while_sockets_are_borrowed_or_given_back_leaves_no_watcher(monkeypatch, kind, step, when, nth):
    original, calls = getattr(ForeignSocket, step), []

    def interrupted(self: ForeignSocket) -> None:
        calls.append(self)
        is_it = len(calls) == nth
        if not (is_it and when == "before"):
            original(self)
        if is_it:
            raise Interrupt

    monkeypatch.setattr(ForeignSocket, step, interrupted)
    context = zmq.Context() if kind == "plain" else zmq.green.Context()
    sockets = [bound(context, key, type_) for key, type_ in (("in", zmq.PULL), ("out", zmq.PUSH), ("copy", zmq.PUB))]
    call = gevent.spawn(geventrelay.proxy, *sockets)
    let_run(2)
    call.kill(block=False)
    with within("the end of the call"), pytest.raises(Interrupt):
        call.get()
    assert all(one.readiness.watcher is None for one in calls)
    for one in sockets:
        one.close(0)
    gevent.get_hub().threadpool.apply(context.term)
