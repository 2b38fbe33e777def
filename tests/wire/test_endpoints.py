"""Where sockets bind and connect: several, mixed, every transport, and what happens if one cannot be had."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import zmq
import zmq.green
from support.engines import libzmq_only

from geventrelay import Device, Queue, Relay, StartError, Streamer
from geventrelay.components import endpoints
from geventrelay.endpoints import Endpoint
from geventrelay.engine import descriptors
from geventrelay.engine.socket import RelaySocket
from geventrelay.testing import LOCAL, Peers, eventually


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def context():
    with zmq.green.Context() as made:
        yield made


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def is_free(endpoint: str) -> bool:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, int(port)))
        except OSError:
            return False
    return True


def test_port_0_shows_as_the_port_that_it_got(run):
    device = run(Queue(frontend=[LOCAL, LOCAL], backend=LOCAL))
    ports = [one.rpartition(":")[2] for side in ("frontend", "backend") for one in device.endpoints[side]]
    assert len(set(ports)) == 3
    assert "0" not in ports
    device.stop(0)


def test_several_endpoints_per_side_of_different_transports_all_work(run, peers: Peers, tmp_path):
    device = run(
        Streamer(frontend=[LOCAL, LOCAL, f"ipc://{tmp_path}/in"], backend=f"ipc://{tmp_path}/out"),
    )
    assert len(device.endpoints["frontend"]) == 3
    puller = peers.connect(zmq.PULL, f"ipc://{tmp_path}/out")
    for endpoint in device.endpoints["frontend"]:
        peers.connect(zmq.PUSH, endpoint).send(endpoint.encode())
    assert sorted(one[0].decode() for one in puller.recv_all(3)) == sorted(device.endpoints["frontend"])


def test_a_side_may_bind_and_connect(run, peers: Peers):
    bound = peers.bind(zmq.PUSH)
    device = run(Streamer(frontend=[LOCAL, ">" + bound.endpoint], backend=LOCAL))
    connected = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    bound.send(b"from the bound one")
    connected.send(b"from the connected one")
    assert sorted(puller.recv_all(2)) == [[b"from the bound one"], [b"from the connected one"]]


def test_what_it_connects_to_may_come_later(run, peers: Peers):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    device = run(Streamer(frontend=LOCAL, backend=f">tcp://127.0.0.1:{port}"))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"waits")
    assert device.endpoints["backend"] == []
    eventually(lambda: device.snapshot().pumps[0].outlets[0].sent, "the task to be queued")
    assert peers.bind(zmq.PULL, f"tcp://127.0.0.1:{port}").recv() == [b"waits"]


def test_inproc_endpoints_are_shared_through_the_context_and_the_context_is_left_alone(run, peers: Peers):
    device = run(Streamer(frontend="inproc://in", backend="inproc://out"), context=peers.context)
    pusher, puller = peers.connect(zmq.PUSH, "inproc://in"), peers.connect(zmq.PULL, "inproc://out")
    pusher.send(b"one")
    assert puller.recv() == [b"one"]
    device.stop()
    assert not peers.context.closed


def test_devices_are_chained_through_inproc(run, peers: Peers):
    first = run(Streamer(frontend=LOCAL, backend="inproc://between"), context=peers.context)
    last = run(Streamer(frontend=">inproc://between", backend=LOCAL), context=peers.context)
    pusher = peers.connect(zmq.PUSH, *first.endpoints["frontend"])
    puller = peers.connect(zmq.PULL, *last.endpoints["backend"])
    for number in range(100):
        pusher.send(b"%d" % number)
    assert puller.recv_all(100) == [[b"%d" % number] for number in range(100)]


@needs_ipv6
def test_an_ipv6_endpoint_works_without_being_told_twice(run, peers: Peers):
    device = run(Streamer(frontend="tcp://[::1]:0", backend=LOCAL))
    assert device.endpoints["frontend"][0].startswith("tcp://[::1]:")
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], ipv6=1)
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher.send(b"over six")
    assert puller.recv() == [b"over six"]


def link_local() -> str | None:
    """An address of IPv6 that this machine has on one link alone, with the link."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines)
    own = [(fields[0], fields[5]) for fields in found if fields[3] == "20"]
    return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(own[0][0]))}%{own[0][1]}" if own else None


@pytest.mark.skipif(link_local() is None, reason="this machine has no address of a link")
def test_an_address_of_a_link_is_bound_and_connected(run, peers: Peers):
    last = run(Streamer(frontend=f"tcp://[{link_local()}]:0", backend=LOCAL))
    (there,) = last.endpoints["frontend"]
    assert there.startswith(f"tcp://[{link_local()}]:")
    first = run(Streamer(frontend=LOCAL, backend=">" + there))
    puller = peers.connect(zmq.PULL, *last.endpoints["backend"])
    peers.connect(zmq.PUSH, *first.endpoints["frontend"]).send(b"over the link")
    assert puller.recv() == [b"over the link"]


@needs_ipv6
def test_with_ipv6_a_wildcard_takes_both_kinds_of_peers(run, peers: Peers):
    device = run(Streamer(frontend="tcp://*:0", backend=LOCAL, ipv6=True))
    port = device.endpoints["frontend"][0].rpartition(":")[2]
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    for host in ("127.0.0.1", "[::1]"):
        peers.connect(zmq.PUSH, f"tcp://{host}:{port}", ipv6=1).send(host.encode())
    assert sorted(puller.recv_all(2)) == [[b"127.0.0.1"], [b"[::1]"]]


def resolver(**addresses: tuple[str, ...]):
    """A getaddrinfo(3) that knows these names, and every address."""

    def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
        found = [
            entry
            for address in addresses.get(host, (host,))
            for entry in socket.getaddrinfo(address, port, family, type, proto, socket.AI_NUMERICHOST)
        ]
        return found

    return getaddrinfo


@needs_ipv6
def test_each_address_has_its_own_family_whatever_its_neighbours_have(run, peers: Peers, monkeypatch):
    monkeypatch.setattr(endpoints.green_socket, "getaddrinfo", resolver(both=("::1", "127.0.0.1"), six=("::1",)))
    device = run(
        Streamer(
            frontend=["tcp://both:0", "tcp://[::1]:0", "tcp://six:0", "tcp://127.0.0.1:0", "tcp://*:0"], backend=LOCAL
        )
    )
    hosts = [address.rpartition(":")[0] for address in device.endpoints["frontend"]]
    assert hosts == ["tcp://127.0.0.1", "tcp://[::1]", "tcp://[::1]", "tcp://127.0.0.1", "tcp://0.0.0.0"]
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    for address in device.endpoints["frontend"]:
        peers.connect(zmq.PUSH, address.replace("0.0.0.0", "127.0.0.1"), ipv6=1).send(b"in")
        assert puller.recv() == [b"in"]


@needs_ipv6
def test_with_ipv6_a_name_that_has_both_is_bound_as_the_resolver_has_it(run, monkeypatch):
    monkeypatch.setattr(endpoints.green_socket, "getaddrinfo", resolver(both=("::1", "127.0.0.1"), four=("127.0.0.1",)))
    device = run(Streamer(frontend=["tcp://both:0", "tcp://four:0"], backend=LOCAL, ipv6=True))
    assert device.endpoints["frontend"][0].startswith("tcp://[::1]:")
    assert "127.0.0.1" in device.endpoints["frontend"][1]


@needs_ipv6
def test_a_name_is_reached_over_ipv4_beside_an_ipv6_address(run, peers: Peers):
    four, six = peers.bind(zmq.PULL), peers.bind(zmq.PULL, "tcp://[::1]:0", ipv6=1)
    port = four.endpoint.rpartition(":")[2]
    device = run(Streamer(frontend=LOCAL, backend=[">" + six.endpoint, f">tcp://localhost:{port}"]))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    for _ in range(2):
        pusher.send(b"task")
    assert [one.recv() for one in (four, six)] == [[b"task"], [b"task"]]


@pytest.mark.parametrize(
    ("addresses", "ipv6", "asked"),
    [(("::1",), 0, 1), (("127.0.0.1",), 0, 0), (("::1", "127.0.0.1"), 0, 0), (("::1", "127.0.0.1"), 1, 1)],
)
def test_a_name_is_connected_to_over_the_family_that_it_has(context, monkeypatch, addresses, ipv6, asked):
    monkeypatch.setattr(endpoints.green_socket, "getaddrinfo", resolver(name=addresses))
    seen = []
    monkeypatch.setattr(zmq.Socket, "connect", lambda self, address: seen.append((address, self.get(zmq.IPV6))))
    with context.socket(zmq.PUSH, socket_class=RelaySocket) as one:
        one.set(zmq.IPV6, ipv6)
        endpoints.connect(one, Endpoint("tcp://name:5", binds=False))
        # Again without a resolver, as after a broken connection.
        one.connect("tcp://name:5")
        endpoints.connect(one, Endpoint("tcp://[::1]:5", binds=False))
        assert one.get(zmq.IPV6) == ipv6
    assert seen == [("tcp://name:5", asked), ("tcp://name:5", asked), ("tcp://[::1]:5", 1)]


def test_a_name_that_no_resolver_takes_is_a_failure_to_start(run):
    # Read from text, it is refused with the settings.
    settings = Streamer(frontend=Endpoint("tcp://a..b:5"), backend=LOCAL)
    with pytest.raises(StartError, match=r"^cannot bind tcp://a\.\.b:5 \(streamer frontend\): no host name$"):
        Device(settings).start()


def test_a_path_of_bytes_that_are_not_utf_8_is_a_path(run, peers: Peers, tmp_path):
    front, back = os.fsdecode(bytes(tmp_path) + b"/\xff"), os.fsdecode(bytes(tmp_path) + b"/\xc3\xa9\xfe")
    device = run(Streamer(frontend=f"ipc://{front}", backend=f"ipc://{back}", control="inproc://c\udcff"))
    assert device.endpoints["frontend"] == [f"ipc://{front}"]
    last = run(Streamer(frontend=f">ipc://{back}", backend=LOCAL))
    puller = peers.connect(zmq.PULL, *last.endpoints["backend"])
    pusher = peers.connect(zmq.PUSH, f"ipc://{front}")
    pusher.send(b"in")
    assert puller.recv() == [b"in"]
    device.stop()
    assert os.listdir(tmp_path) == []


def test_a_name_is_resolved_for_binding(run):
    device = run(Streamer(frontend="tcp://localhost:0", backend=LOCAL))
    assert device.endpoints["frontend"][0].startswith("tcp://127.0.0.1:")


def test_an_interface_name_is_bound(run):
    device = run(Streamer(frontend="tcp://lo:0", backend=LOCAL))
    assert device.endpoints["frontend"][0].startswith("tcp://127.0.0.1:")


def test_a_taken_port_is_refused_by_name_and_everything_else_is_undone(run, peers: Peers):
    taken = run(Streamer(frontend=LOCAL, backend=LOCAL)).endpoints["backend"][0]
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        free = f"tcp://127.0.0.1:{reserved.getsockname()[1]}"
    device = Device(Relay(sub=free, push=LOCAL, pub=taken))
    with pytest.raises(StartError, match=rf"^cannot bind {taken} \(relay pub\): Address already in use$"):
        device.start()
    assert not device.started
    assert device.endpoints == {}
    assert is_free(free)


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("tcp://no-such-host.invalid:5555", "no such host or interface"),
        (">tcp://no-such-host.invalid:5555", "no such host or interface"),
        ("tcp://192.0.2.1:0", "Cannot assign requested address"),
        ("ipc:///no/such/folder/socket", "No such file or directory"),
    ],
)
def test_an_endpoint_that_cannot_be_had_is_named_with_the_reason(endpoint, reason):
    device = Device(Streamer(frontend=LOCAL, backend=endpoint, name="tasks"))
    verb = "connect" if endpoint.startswith(">") else "bind"
    with pytest.raises(StartError) as error:
        device.start()
    assert str(error.value).startswith(f"cannot {verb} {endpoint.lstrip('>')} (tasks backend): {reason}")
    assert "\n" not in str(error.value)
    assert device.state.value == "stopped"


@libzmq_only("it counts free descriptors for libzmq, which aborts without one")
def test_descriptors_that_others_take_while_a_name_is_resolved_are_missed_before_libzmq_aborts(monkeypatch):
    resolved, free = endpoints.resolved, descriptors.free
    lookups = []
    monkeypatch.setattr(endpoints, "resolved", lambda host: lookups.append(host) or resolved(host))
    monkeypatch.setattr(descriptors, "free", lambda: 2 if lookups else free())
    with pytest.raises(StartError, match=r"^cannot bind tcp://localhost:0 \(streamer frontend\): Too many open files$"):
        Device(Streamer(frontend="tcp://localhost:0", backend=LOCAL)).start()


def test_a_folder_for_temporary_files_whose_path_is_too_long_is_named(monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    options = {"backend": {zmq.SOCKS_PROXY: "127.0.0.1:1"}}
    with pytest.raises(StartError, match=rf"temporary files is too long: {folder}/geventrelay-\w+$"):
        Device(Streamer(frontend=LOCAL, backend=">tcp://127.0.0.1:9", socket_options=options)).start()
    assert os.listdir(folder) == []


def test_a_failed_start_may_be_tried_again_when_the_reason_has_gone(run):
    first = run(Streamer(frontend=LOCAL, backend=LOCAL))
    second = Device(Streamer(frontend=first.endpoints["frontend"][0], backend=LOCAL))
    with pytest.raises(StartError):
        second.start()
    first.stop(0)
    with second:
        assert second.started


def test_an_ipc_path_on_which_somebody_listens_is_refused_and_its_owner_keeps_it(run, peers: Peers, tmp_path):
    path = f"ipc://{tmp_path}/relay"
    run(Streamer(frontend=path, backend=f"ipc://{tmp_path}/out"))
    puller = peers.connect(zmq.PULL, f"ipc://{tmp_path}/out")
    with pytest.raises(StartError, match=r"\(streamer frontend\): Address already in use"):
        Device(Streamer(frontend=path, backend=LOCAL)).start()
    peers.connect(zmq.PUSH, path).send(b"still mine")
    assert puller.recv() == [b"still mine"]


def test_an_ipc_file_that_a_dead_process_left_is_no_hindrance(run, peers: Peers, tmp_path):
    path = tmp_path / "relay"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    run(Streamer(frontend=f"ipc://{path}", backend=LOCAL))
    peers.connect(zmq.PUSH, f"ipc://{path}")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_ipc_path_in_a_folder_that_must_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StartError, match="Permission denied"):
        Device(Streamer(frontend=f"ipc://{tmp_path}/relay", backend=LOCAL)).start()


@libzmq_only("the options are those of libzmq")
def test_an_option_that_libzmq_refuses_ends_the_start_instead_of_hanging_it(monkeypatch):
    from geventrelay import RelaySocket

    def refuse(self, option, optval):
        if option == zmq.RCVHWM:
            raise zmq.ZMQError(zmq.EINVAL)
        plain_set(self, option, optval)

    plain_set = RelaySocket.set
    monkeypatch.setattr(RelaySocket, "set", refuse)
    with pytest.raises(zmq.ZMQError):
        Device(Streamer(frontend=LOCAL, backend=LOCAL)).start()
