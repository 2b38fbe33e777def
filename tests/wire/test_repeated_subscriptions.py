"""xpub-verbose and xpub-verboser: every subscription goes upstream, and its end when the last one ends."""

from __future__ import annotations

import pytest
import zmq
import zmq.green

from geventrelay import Custom, Device, Forwarder, Streamer
from geventrelay.testing import LOCAL, Peers, eventually, within

BOTH = pytest.mark.parametrize("option", [zmq.XPUB_VERBOSE, zmq.XPUB_VERBOSER], ids=["verbose", "verboser"])


@pytest.fixture
def chain(run):
    """Starts forwarders one behind the other; returns where publishers connect, and where subscribers do."""

    def start(*options):
        devices = []
        for option in options:
            frontend = LOCAL if not devices else ">" + devices[-1].endpoints["backend"][0]
            chosen = {} if option is None else {"socket_options": {"backend": {option: 1}}}
            devices.append(run(Forwarder(frontend=frontend, backend=LOCAL, **chosen)))
        return devices[0].endpoints["frontend"][0], devices[-1].endpoints["backend"][0]

    return start


def publisher_at(peers: Peers, endpoint):
    return peers.connect(zmq.XPUB, endpoint, xpub_verbose=1)


@BOTH
@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_subscription_goes_upstream_and_the_end_of_the_last_does(chain, peers: Peers, option, length, count):
    front, back = chain(*[option] * length)
    publisher = publisher_at(peers, front)
    for _ in range(2):
        subscribers = []
        for _ in range(count):
            subscribers.append(peers.subscriber(back, prefix=b"news"))
            assert publisher.recv() == [b"\x01news"]
        while subscribers:
            publisher.send(b"news")
            assert [one.recv() for one in subscribers] == [[b"news"]] * len(subscribers)
            subscribers.pop().close()
        assert publisher.recv() == [b"\x00news"]


@BOTH
@pytest.mark.parametrize("length", [1, 2])
def test_a_subscriber_that_subscribes_twice_has_to_unsubscribe_twice(chain, peers: Peers, option, length):
    front, back = chain(*[option] * length)
    publisher = publisher_at(peers, front)
    twice, once = (peers.subscriber(back, prefix=b"a") for _ in range(2))
    twice.socket.subscribe(b"a")
    assert publisher.recv_all(3) == [[b"\x01a"]] * 3
    for _ in range(2):
        twice.socket.unsubscribe(b"a")
    once.socket.subscribe(b"fence")
    assert publisher.recv() == [b"\x01fence"], "one subscriber is left"
    once.socket.unsubscribe(b"a")
    assert publisher.recv() == [b"\x00a"]


@pytest.mark.parametrize("options", [(None, zmq.XPUB_VERBOSE), (zmq.XPUB_VERBOSER, None)], ids=["behind", "before"])
def test_a_forwarder_without_the_option_in_a_chain_passes_a_topic_once(chain, peers: Peers, options):
    front, back = chain(*options)
    publisher = publisher_at(peers, front)
    subscribers = [peers.subscriber(back, prefix=b"a") for _ in range(2)]
    subscribers[1].socket.subscribe(b"fence")
    assert publisher.recv_all(2) == [[b"\x01a"], [b"\x01fence"]]
    for one in subscribers:
        one.socket.unsubscribe(b"a")
    assert publisher.recv() == [b"\x00a"]


@BOTH
def test_it_holds_where_subscribers_are_at_the_frontend(run, peers: Peers, option):
    options = {"frontend": {option: 1}}
    device = run(
        Custom(frontend_type="XPUB", frontend=LOCAL, backend_type="XSUB", backend=LOCAL, socket_options=options)
    )
    publisher = publisher_at(peers, *device.endpoints["backend"])
    subscribers = [peers.subscriber(*device.endpoints["frontend"], prefix=b"a") for _ in range(2)]
    assert publisher.recv_all(2) == [[b"\x01a"]] * 2
    for one in subscribers:
        one.close()
    assert publisher.recv() == [b"\x00a"]


@BOTH
def test_a_tap_goes_on_for_the_watcher_that_stays(peers: Peers, option):
    settings = Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL, socket_options={"tap": {option: 1}})
    with Device(settings, watch_peers=True) as device:
        source, sink = (
            peers.connect(kind, *device.endpoints[key]) for kind, key in ((zmq.PUSH, "frontend"), (zmq.PULL, "backend"))
        )

        def pass_on(body):
            source.send(body)
            assert sink.recv() == [body]

        def watched(one):
            pass_on(b"x")
            return bool(one.recv_now())

        stays, goes = (peers.subscriber(*device.endpoints["tap"], prefix=b"frontend") for _ in range(2))
        for one in (stays, goes):
            eventually(lambda one=one: watched(one), "a copy for each of them")
        goes.close()
        eventually(lambda: len(device.peers()["tap"].peers) == 1, "the end of one watcher")
        # The tap reads that end between any two messages.
        for number in range(20):
            pass_on(b"%d" % number)
        with within("the last copy"):
            while stays.recv() != [b"frontend", b"19"]:
                continue
