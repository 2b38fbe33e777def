"""pyzmq's device classes and functions, held against pyzmq's own: the same program text runs through both.

Each program runs twice as a process of its own. Only its imports differ, and both have to print the same.
"""

from __future__ import annotations

import inspect
import subprocess
import sys

import gevent
import pytest
import zmq
import zmq.devices
import zmq.green

from geventrelay.devices import background
from geventrelay.testing import Peers, eventually, within

PYZMQ = "import zmq\nfrom zmq.devices import *\nfrom zmq import device, proxy, proxy_steerable\n"
OURS = "import zmq.green as zmq\nfrom geventrelay.devices.background import *\n"

# What every program begins with: two threads, one with the device and one with the peers around it.
# On libuv, two threads that make their first hub at the same moment get in each other's way, with or without us
# (UVFuncallError: EEXIST), so the main thread's is made before there is another.
COMMON = """
import threading
import gevent

gevent.get_hub()

def socket(kind, address):
    made = context.socket(kind)
    made.linger, made.rcvtimeo = 0, 10000
    made.connect(address)
    return made

def ask(front, back, said=None):
    client, worker = socket(zmq.REQ, front), socket(zmq.REP, back)
    for parts in ([b"a"], [b"", b"b", b""], [b"c" * 100_000, b"d"]):
        client.send_multipart(parts)
        request = worker.recv_multipart()
        worker.send_multipart([b"re", *request])
        print([part[:9] for part in client.recv_multipart()])
        for side in (1, 2) if said else ():
            print([part[:9] if part[:1] != b"\\0" else "an id" for part in said.recv_multipart()])
    client.close()
    worker.close()

def push(front, back, said=None):
    source, sink = socket(zmq.PUSH, front), socket(zmq.PULL, back)
    for number in range(300):
        source.send_multipart([b"%d" % number, b""])
    print([sink.recv_multipart()[0] for _ in range(300)] == [b"%d" % number for number in range(300)])
    if said:
        print([said.recv_multipart()[-2] for _ in range(300)] == [b"%d" % number for number in range(300)])
    source.close()
    sink.close()

def publish(front, back, said=None):
    source, sink = socket(zmq.XPUB, front), socket(zmq.SUB, back)
    sink.subscribe(b"a")
    print(source.recv())
    source.send_multipart([b"b", b"not wanted"])
    source.send_multipart([b"a", b"wanted"])
    print(sink.recv_multipart())
    source.close()
    sink.close()
"""

IN_A_THREAD = """
context = zmq.Context.instance()
said = context.socket(zmq.PAIR)
said.linger, said.rcvtimeo = 0, 10000
device = {make}
device.setsockopt_in(zmq.LINGER, 0)
device.setsockopt_out(zmq.LINGER, 0)
port = device.bind_in_to_random_port("tcp://127.0.0.1", min_port=20000, max_port=50000, max_tries=100)
device.bind_out("inproc://back")
if hasattr(device, "bind_mon"):
    device.setsockopt_mon(zmq.LINGER, 0)
    said.bind("inproc://said")
    device.connect_mon("inproc://said")
print(20000 <= port <= 50000, device.done, device.daemon)
device.daemon = True
print(device.start())
{exchange}("tcp://127.0.0.1:%d" % port, "inproc://back", {said})
print(device.done)
said.close()
# In a thread of its own: it blocks until the device has closed its sockets.
ending = threading.Thread(target=context.term)
ending.start()
device.join(10)
ending.join(10)
device.join(timeout=10)
print(device.done, ending.is_alive())
"""

IN_THE_CALLER = """
context = zmq.Context.instance()
device = {make}
port = device.bind_in_to_random_port("tcp://127.0.0.1")
device.bind_out("inproc://back")
mon = hasattr(device, "bind_mon")
if mon:
    device.bind_mon("inproc://said")

def around():
    said = socket(zmq.PAIR, "inproc://said") if mon else None
    {exchange}("tcp://127.0.0.1:%d" % port, "inproc://back", {said})
    if said:
        said.close()
    context.term()

thread = threading.Thread(target=around)
thread.start()
print(device.start(), device.done)
thread.join(10)
print(thread.is_alive())
"""

# in type, out type, and what is done with them; pyzmq's Proxy has no single-socket form that its monitor survives.
EXCHANGES = [("ROUTER", "DEALER", "ask"), ("PULL", "PUSH", "push"), ("XSUB", "XPUB", "publish")]
MAKES = {
    "Device": "Device(zmq.QUEUE, zmq.{0}, zmq.{1})",
    "Proxy": "Proxy(zmq.{0}, zmq.{1}, zmq.PAIR)",
    "MonitoredQueue": "MonitoredQueue(zmq.{0}, zmq.{1}, mon_type=zmq.PAIR, in_prefix=b'<', out_prefix=b'>')",
}


def printed(text: str, imports: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", imports + COMMON + text],
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout
    return done.stdout.splitlines()


def assert_same(text: str) -> list[str]:
    ours = printed(text, OURS)
    assert ours == printed(text, PYZMQ)
    return ours


@pytest.mark.slow
@pytest.mark.parametrize("types", EXCHANGES, ids=lambda types: types[2])
@pytest.mark.parametrize("name", MAKES)
@pytest.mark.parametrize(("frame", "prefix"), [(IN_A_THREAD, "Thread"), (IN_THE_CALLER, "")], ids=["Thread", "caller"])
def test_a_program_does_the_same_with_each_class(frame, prefix, name, types):
    in_type, out_type, exchange = types
    # A publisher's monitor also gets the subscriptions, at a moment of their own.
    said = "said" if name != "Device" and exchange != "publish" else "None"
    make = prefix + MAKES[name].format(in_type, out_type)
    assert_same(frame.format(make=make, exchange=exchange, said=said))


@pytest.mark.slow
def test_a_program_does_the_same_with_a_socket_that_answers_to_itself():
    assert_same("""
context = zmq.Context.instance()
device = ThreadDevice(zmq.QUEUE, zmq.ROUTER, -1)
device.bind_in("inproc://only")
device.start()
one = socket(zmq.DEALER, "inproc://only")
one.send_multipart([b"to", b"", b"myself"])
print(one.recv_multipart())
one.close()
ending = threading.Thread(target=context.term)
ending.start()
device.join(10)
ending.join(10)
print(device.done, ending.is_alive())
""")


# What libzmq 4.3.5 gets right of steering: traffic, STATISTICS and TERMINATE on a REP. Its PAUSE and RESUME are broken
# (any command of five bytes resumes, RESUME pauses), so that ours have nothing to be held against; test_control.py has
# them.
STEERED = """
control = socket(zmq.REQ, "inproc://control")
ask(front, "inproc://back")
control.send(b"STATISTICS")
print(control.recv_multipart())
control.send(b"TERMINATE")
print(control.recv_multipart())
control.close()
"""


@pytest.mark.slow
def test_a_program_does_the_same_with_a_steerable_proxy_in_a_thread():
    said = assert_same(f"""
context = zmq.Context.instance()
device = ThreadProxySteerable(zmq.ROUTER, zmq.DEALER, zmq.PUB, zmq.REP)
device.setsockopt_ctrl(zmq.LINGER, 0)
front = "tcp://127.0.0.1:%d" % device.bind_in_to_random_port("tcp://127.0.0.1")
device.bind_out("inproc://back")
device.bind_mon("inproc://mon")
device.bind_ctrl("inproc://control")
print(device.start())
{STEERED}
device.join(10)
print(device.done)
""")
    assert said[-1] == "True"


@pytest.mark.slow
def test_a_program_does_the_same_with_a_steerable_proxy_in_the_caller():
    assert_same(f"""
context = zmq.Context.instance()
device = ProxySteerable(zmq.ROUTER, zmq.DEALER, ctrl_type=zmq.REP)
front = "inproc://front"
device.bind_in(front)
device.bind_out("inproc://back")
device.bind_ctrl("inproc://control")

def around():
{"".join("    " + line + chr(10) for line in STEERED.splitlines())}

thread = threading.Thread(target=around)
thread.start()
ended = device.start(), device.done
thread.join(10)
print(ended)
""")


FUNCTION = """
context = zmq.Context.instance()

def bound(kind, address):
    made = context.socket(kind)
    made.linger = 0
    made.bind(address)
    return made

front, back, mon = bound(zmq.ROUTER, "inproc://front"), bound(zmq.DEALER, "inproc://back"), bound(zmq.PAIR, "inproc://said")

def around():
    said = socket(zmq.PAIR, "inproc://said")
    ask("inproc://front", "inproc://back", {said})
    said.close()
    context.term()

thread = threading.Thread(target=around)
thread.start()
try:
    print({call})
except zmq.ZMQError as error:
    print(type(error).__name__, error.errno == zmq.ETERM)
for one in (front, back, mon):
    print(one.closed)
    one.close()
thread.join(10)
print(thread.is_alive())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "copies"),
    [
        ("device(zmq.QUEUE, front, back)", False),
        ("device(device_type=zmq.FORWARDER, frontend=front, backend=back)", False),
        ("device(zmq.STREAMER, frontend=front, backend=back)", False),
        ("proxy(front, back)", False),
        ("proxy(frontend=front, backend=back, capture=mon)", True),
        ("proxy_steerable(front, back, mon)", True),
        ("proxy_steerable(frontend=front, backend=back, capture=None, control=None)", False),
        ("monitored_queue(front, back, mon)", True),
        ("monitored_queue(in_socket=front, out_socket=back, mon_socket=mon, in_prefix=b'<', out_prefix=b'>')", True),
    ],
)
def test_a_program_does_the_same_with_each_function(call, copies):
    assert_same(FUNCTION.format(call=call, said="said" if copies else "None"))


# What a program that changes its import relies on


PUBLIC = ["Device", "MonitoredQueue", "Proxy", "ProxySteerable"]


@pytest.mark.parametrize("name", [*PUBLIC, *("Thread" + name for name in PUBLIC)])
def test_each_class_has_the_public_methods_and_attributes_of_pyzmqs(name):
    theirs, ours = getattr(zmq.devices, name), getattr(background, name)
    types = (zmq.QUEUE, zmq.ROUTER, zmq.DEALER) if "Device" in name else (zmq.ROUTER, zmq.DEALER)
    wanted = {one for one in (*dir(theirs), *vars(theirs(*types))) if not one.startswith("_")}
    options = {"ctrl_type": zmq.REP} if "Steerable" in name else {}
    assert wanted <= set(dir(ours(*types, **options)))


SOCKETS = {"in": "the frontend", "out": "the backend", "mon": "the monitor", "ctrl": "the control socket"}


@pytest.mark.parametrize("key", SOCKETS)
def test_what_asks_for_a_socket_has_pyzmqs_signature_and_help_of_its_own(key):
    for name in (f"bind_{key}", f"connect_{key}", f"setsockopt_{key}", f"bind_{key}_to_random_port"):
        theirs = inspect.signature(getattr(zmq.devices.ProxySteerable, name))
        method = getattr(background.ProxySteerable, name)
        assert list(inspect.signature(method).parameters) == list(theirs.parameters)
        assert method.__name__ == name
        assert SOCKETS[key] in inspect.getdoc(method)


def test_the_module_has_every_name_of_pyzmqs_but_those_of_processes():
    wanted = {name for name in zmq.devices.__all__ if "Process" not in name}
    assert wanted | {"device", "proxy", "proxy_steerable"} == set(background.__all__)


def test_types_must_be_given_as_with_pyzmq():
    for cls in (background.Device, zmq.devices.Device):
        with pytest.raises(TypeError, match="in_type must be specified"):
            cls()
        with pytest.raises(TypeError, match="out_type must be specified"):
            cls(zmq.QUEUE, zmq.PULL)


def around(peers: Peers, cls, *types, **options):
    """A device of ours in the context of `peers`."""

    class Mine(cls):
        context_factory = staticmethod(lambda: peers.context)

    return Mine(*types, **options)


def test_a_context_factory_says_where_the_sockets_are(peers: Peers):
    device = around(peers, background.ThreadProxy, zmq.PULL, zmq.PUSH)
    device.bind_in("inproc://in")
    device.bind_out("inproc://out")
    source, sink = peers.connect(zmq.PUSH, "inproc://in"), peers.connect(zmq.PULL, "inproc://out")
    device.start()
    source.send(b"one")
    assert sink.recv() == [b"one"]
    device.launcher.kill()
    assert device.done


def test_a_context_factory_of_one_instance(peers: Peers):
    device = background.ThreadDevice(zmq.QUEUE, zmq.PULL, zmq.PUSH)
    device.context_factory = lambda: peers.context
    device.bind_in("inproc://in")
    device.bind_out("inproc://out")
    source, sink = peers.connect(zmq.PUSH, "inproc://in"), peers.connect(zmq.PULL, "inproc://out")
    device.start()
    source.send(b"one")
    assert sink.recv() == [b"one"]
    device.launcher.kill()


def test_an_address_that_is_taken_ends_it_with_an_error_and_leaves_no_socket(peers: Peers, capsys):
    taken = peers.bind(zmq.PULL)
    device = around(peers, background.ThreadDevice, zmq.QUEUE, zmq.PULL, zmq.PUSH)
    device.bind_out("inproc://out")
    device.bind_in(taken.endpoint)
    device.start()
    with within("the device to end"):
        device.join()
    assert device.done
    assert isinstance(device.launcher.exception, zmq.ZMQError)
    assert "Address already in use" in capsys.readouterr().err


def test_in_the_caller_an_error_comes_out_of_start(peers: Peers):
    taken = peers.bind(zmq.PULL)
    device = around(peers, background.Device, zmq.QUEUE, zmq.PULL, zmq.PUSH)
    device.bind_in(taken.endpoint)
    with pytest.raises(zmq.ZMQError, match="Address already in use"):
        device.start()
    assert device.done


def test_join_has_a_limit_and_lets_the_hub_run(peers: Peers):
    device = around(peers, background.ThreadDevice, zmq.QUEUE, zmq.ROUTER, zmq.DEALER)
    device.join(1)
    device.start()
    ticks = 0

    def tick():
        nonlocal ticks
        while True:
            gevent.sleep(0.001)
            ticks += 1

    ticking = gevent.spawn(tick)
    device.join(0.05)
    ticking.kill()
    assert ticks > 5
    assert not device.done
    device.launcher.kill()


@pytest.mark.parametrize("name", PUBLIC)
def test_every_class_closes_its_sockets_when_it_is_killed(peers: Peers, name):
    cls = getattr(background, "Thread" + name)
    types = (zmq.QUEUE, zmq.PULL, zmq.PUSH) if name == "Device" else (zmq.PULL, zmq.PUSH)
    device = around(peers, cls, *types, **({"ctrl_type": zmq.PAIR} if "Steerable" in name else {}))
    device.bind_in("inproc://in")
    device.start()
    peers.connect(zmq.PUSH, "inproc://in").send(b"held, for there is no worker")
    eventually(lambda: len(peers.context._sockets) > 3, "the device to be up")
    with within("the end", 2):
        device.launcher.kill()
    assert device.done
    # What is left is the peer's own two.
    assert len([one for one in peers.context._sockets if not one.closed]) == 2
