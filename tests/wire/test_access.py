"""Who may connect: with CURVE, with PLAIN, and by address; and that libzmq's sockets fail closed."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
import subprocess
import sys
import threading

import gevent
import gevent.socket
import pytest
import zmq
from support.engines import ZMTP, libzmq_only
from zmq.utils import z85

from geventrelay import Device, Queue, StartError, Streamer
from geventrelay.access import component, zap, zap_handler
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.access.passwords import set_password
from geventrelay.engine import connections
from geventrelay.engine.useraccount import UserAccount
from geventrelay.errors import SettingsError
from geventrelay.server.supervisor import announce
from geventrelay.testing import LOCAL, Peers, eventually, within

ENDS = {
    zmq.EVENT_DISCONNECTED,
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
}
# libzmq has a peer wait that is not let in yet, and ends its connection when its handshake has taken too long.
SOON = {"frontend": {zmq.HANDSHAKE_IVL: 250}}
SERVER, ALICE, MALLORY = (new_pair() for _ in range(3))


@pytest.fixture
def keys(tmp_path):
    """A folder with the server's keys, and in ``clients`` those of alice."""
    write_pair("test", tmp_path, "server", SERVER)
    write_pair("test", tmp_path / "clients", "alice", ALICE)
    return tmp_path


@pytest.fixture
def passwords(tmp_path):
    path = tmp_path / "passwords"
    set_password("test", path, "alice", "pass")
    return path


def curve(pair, server=SERVER):
    return {"curve_publickey": pair.public, "curve_secretkey": pair.secret, "curve_serverkey": server.public}


def plain(user, password):
    return {"plain_username": user, "plain_password": password}


def server_of(keys):
    return {"curve_secret": keys / "server.key_secret", "curve_clients": keys / "clients"}


def is_kept_out(stranger):
    """Waits until the connection of `stranger` has come to an end, and holds that its handshake never did."""

    def events():
        stranger._read_events()
        return set(stranger._unread)

    eventually(lambda: events() & ENDS, "the end of the connection")
    assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in events()


def refused(peers, device, key="frontend", kind=zmq.PUSH, **options):
    """Connects a peer that must not get in, and waits until it has been refused."""
    stranger = peers.connect(kind, *device.endpoints[key], wait=False, **options)
    is_kept_out(stranger)
    return stranger


def passes(pusher, puller):
    pusher.send(b"task")
    assert puller.recv() == [b"task"]


def test_with_curve_only_known_keys_get_in(run, peers, keys, caplog):
    device = run(Streamer, **server_of(keys))
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"], **curve(ALICE))
    passes(pusher, puller)
    with caplog.at_level(logging.WARNING):
        refused(peers, device, **curve(MALLORY))
        eventually(lambda: "denied" in caplog.text, "the denial in the log")
    assert "device=streamer socket=frontend address=127.0.0.1 mechanism=CURVE" in caplog.text
    assert "reason=unknown_key" in caplog.text
    assert z85.encode(MALLORY.public).decode() not in caplog.text
    passes(pusher, puller)


def test_peers_are_told_by_their_users_and_refused_ones_are_counted(peers, keys):
    with Device(Streamer(frontend=LOCAL, backend=LOCAL, **server_of(keys)), watch_peers=True) as device:
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
        refused(peers, device, **curve(MALLORY))
        eventually(lambda: users(device, "frontend") == ["alice"], "the peer's user")
        assert device.peers()["frontend"].peers[0].mechanism == "CURVE"
        assert device.peers()["frontend"].denied == {"unknown_key": 1}
        assert device.peers()["backend"].denied == {}
    assert device.peers()["frontend"].denied == {"unknown_key": 1}


def test_a_user_is_known_over_ipc_too_and_by_libzmq_only_where_one_alone_comes_from_an_address(peers, keys, tmp_path):
    write_pair("test", keys / "clients", "bob", MALLORY)
    settings = Streamer(frontend=f"ipc://{tmp_path}/in", backend=LOCAL, **server_of(keys))
    with Device(settings, watch_peers=True) as device:
        peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
        eventually(lambda: users(device, "frontend") == ["alice"], "the peer's user")
        for pair in (ALICE, MALLORY):
            peers.connect(zmq.PULL, *device.endpoints["backend"], **curve(pair))
        # Engine zmtp knows which connection is which user's.
        known = ["alice", "bob"] if ZMTP else [None, None]
        eventually(lambda: sorted(users(device, "backend"), key=str) == known, "both peers")


@pytest.fixture
def failures(keys, passwords):
    """Starts a device of engine libzmq with CURVE or PLAIN, and says why handshakes at its frontend have failed."""
    rules = {"CURVE": server_of(keys), "PLAIN": {"plain_passwords": passwords}}
    with contextlib.ExitStack() as stack:

        def start(mechanism):
            settings = Streamer(frontend=LOCAL, backend=LOCAL, engine="libzmq", **rules[mechanism])
            device = stack.enter_context(Device(settings, watch_peers=True))
            return device, lambda: device.peers()["frontend"].handshake_failures

        yield start


def has_come(device, least_bytes):
    """Waits until as much has come over a connection that is in its handshake."""

    def come():
        descriptors = list(device._assembly.sockets.peers_of("frontend")._table.connections)
        return [one for one in map(connections.received_bytes, descriptors) if one and one >= least_bytes]

    eventually(lambda: device.peers() and come(), f"{least_bytes} bytes")


def test_with_libzmq_a_client_that_forgot_the_servers_key_has_no_wrong_type(failures, peers):
    device, why = failures("CURVE")
    client = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, curve_publickey=ALICE.public,
                           curve_secretkey=ALICE.secret)  # fmt: skip
    # A greeting: it says nothing more.
    has_come(device, 64)
    client.close()
    eventually(why, "the failure")
    assert "wrong_type" not in why()


def test_with_libzmq_a_client_that_leaves_while_its_password_is_checked_has_no_wrong_type(failures, peers, monkeypatch):
    device, why = failures("PLAIN")
    monkeypatch.setattr(zap_handler.ZapHandler, "_decide", lambda handler, asked: None)
    client = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **plain("alice", "wrong"))
    # A HELLO too.
    has_come(device, 64 + 2)
    client.close()
    eventually(why, "the failure")
    assert "wrong_type" not in why()


def test_engine_zmtp_counts_what_moves_for_each_user_also_once_they_have_left(peers, keys):
    write_pair("test", keys / "clients", "bob", MALLORY)
    with Device(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp", **server_of(keys))) as device:
        worker = peers.connect(zmq.PULL, *device.endpoints["backend"], **curve(MALLORY))
        for number in range(1, 3):
            sender = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
            sender.send(b"12345")
            assert worker.recv() == [b"12345"]
            counted = UserAccount(received=number, received_bytes=5 * number)
            eventually(lambda: device.peers(accounts=True)["frontend"].users == {"alice": counted}, "it")  # noqa: B023
            sender.close()
            eventually(lambda: not device.peers()["frontend"].peers, "the sender to be gone")
            assert device.peers(accounts=True)["frontend"].users == {"alice": counted}
        assert device.peers(accounts=True)["backend"].users == {"bob": UserAccount(delivered=2)}
        assert device.peers()["backend"].users is None, "it was not asked for"
    assert device.peers()["backend"].users == {"bob": UserAccount(delivered=2)}


def users(device, key):
    return [one.user for one in device.peers()[key].peers]


def test_what_speaks_another_mechanism_does_not_get_in(peers, run, keys):
    device = run(Streamer, **server_of(keys))
    for options in ({}, plain("alice", "pass")):
        refused(peers, device, **options)


def test_engine_zmtp_names_what_a_peer_lacks_that_ends_before_its_mechanism_is_told(run, passwords, caplog):
    device = run(Streamer, engine="zmtp", plain_passwords=passwords)
    address = device.endpoints["frontend"][0].removeprefix("tcp://").split(":")
    with caplog.at_level(logging.WARNING), gevent.socket.create_connection(address, timeout=10) as stranger:
        # The signature, and the major version.
        stranger.sendall(b"\xff" + b"\0" * 8 + b"\x7f\x03")
        stranger.shutdown(socket.SHUT_WR)
        eventually(lambda: "handshake-failed" in caplog.text, "the log line")
    assert "ended within the handshake; a peer that does not use PLAIN ends it so" in caplog.text


@libzmq_only("it is about ZAP")
def test_a_messages_user_is_known_to_who_reads_it(run, peers, keys):
    device = run(Streamer, **server_of(keys))
    socket = device._assembly.sockets["frontend"]
    device.pause()
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
    pusher.send(b"task")
    with within("the message"):
        frame = socket.recv(copy=False)
    assert frame.get("User-Id") == "alice"


def test_any_lets_each_key_in_and_no_peer_without(run, peers, keys):
    device = run(Streamer, curve_secret=keys / "server.key_secret", curve_clients="any")
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(MALLORY))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"], **curve(ALICE))
    passes(pusher, puller)


def test_a_programs_own_function_decides(run, peers, keys):
    asked = []

    def ask(domain, address, key):
        asked.append((domain, address))
        # It may wait, as one that asks a database does.
        gevent.sleep(0)
        return "alice" if key == ALICE.public else None

    device = run(Streamer, curve_secret=keys / "server.key_secret", curve_clients=ask)
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"], **curve(ALICE))
    passes(pusher, puller)
    refused(peers, device, **curve(MALLORY))
    assert set(asked) == {("streamer.frontend", "127.0.0.1"), ("streamer.backend", "127.0.0.1")}


def test_an_error_of_that_function_lets_no_peer_in(run, peers, keys, caplog):
    def ask(domain, address, key):
        raise RuntimeError("the database is away")

    device = run(Streamer, curve_secret=keys / "server.key_secret", curve_clients=ask, socket_options=SOON)
    told = "error=RuntimeError reason=failed"
    if not ZMTP:
        told = "zap-failed device=streamer socket=frontend reason=RuntimeError"
    with caplog.at_level(logging.WARNING):
        refused(peers, device, **curve(ALICE))
        eventually(lambda: told in caplog.text, "the line of the log")
    assert "database" not in caplog.text


def test_a_device_that_connects_with_curve_is_a_client(run, peers, keys):
    write_pair("test", keys, "upstream", MALLORY)
    worker = peers.bind(
        zmq.PULL, curve_server=1, curve_secretkey=MALLORY.secret, curve_publickey=MALLORY.public,
    )  # fmt: skip
    device = run(
        Streamer,
        backend=">" + worker.endpoint,
        curve_secret=keys / "server.key_secret",
        curve_clients=keys / "clients",
        curve_serverkey=keys / "upstream.key",
    )
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
    passes(pusher, worker)


def test_with_plain_only_users_with_their_password_get_in(run, peers, passwords, caplog):
    device = run(Streamer, plain_passwords=passwords)
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **plain("alice", "pass"))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"], **plain("alice", "pass"))
    passes(pusher, puller)
    with caplog.at_level(logging.WARNING):
        refused(peers, device, **plain("alice", "hush-hush"))
        refused(peers, device, **plain("mallory", "pass"))
    assert "user=alice reason=wrong_password" in caplog.text and "user=mallory reason=unknown_user" in caplog.text
    assert "hush-hush" not in caplog.text


def test_address_rules_hold_without_a_mechanism(run, peers):
    device = run(Streamer, allow=["127.0.0.0/8"], deny=["127.0.0.2"])
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    passes(pusher, puller)
    port = device.endpoints["frontend"][0].rpartition(":")[2]
    is_kept_out(peers.connect(zmq.PUSH, f"tcp://127.0.0.2:0;127.0.0.1:{port}", wait=False))


def test_a_peer_over_ipc_has_no_address(run, peers, tmp_path):
    device = run(Streamer, frontend=f"ipc://{tmp_path}/in", deny=["0.0.0.0/0", "::/0"], backend=f"ipc://{tmp_path}/out")
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    passes(pusher, puller)


def test_control_and_tap_are_protected_too_unless_their_tables_say_otherwise(run, peers, keys):
    device = run(
        Streamer,
        control="tcp://127.0.0.1:0",
        tap="tcp://127.0.0.1:0",
        socket_access={"control": {"curve_secret": "none"}},
        **server_of(keys),
    )
    client = peers.connect(zmq.REQ, *device.endpoints["control"])
    client.send(b"PAUSE")
    assert client.recv() == [b""]
    refused(peers, device, "tap", zmq.SUB)


MECHANISMS = ["NULL", "PLAIN", "CURVE"]


def rules_for(mechanism, keys, passwords):
    """A device's rules, and what a peer that they let in has to say."""
    return {
        "NULL": ({"allow": ["127.0.0.1"]}, {}),
        "PLAIN": ({"plain_passwords": passwords}, plain("alice", "pass")),
        "CURVE": (server_of(keys), curve(ALICE)),
    }[mechanism]


@libzmq_only("it is about ZAP")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_without_any_handler_no_peer_gets_in(run, peers, keys, passwords, monkeypatch, mechanism):
    monkeypatch.setattr(zap_handler.ZapHandler, "open", lambda self: None)
    rules, credentials = rules_for(mechanism, keys, passwords)
    device = run(Streamer, socket_options=SOON, **rules)
    refused(peers, device, **credentials)


@libzmq_only("it is about ZAP")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_while_the_handler_is_slow_those_that_are_in_stay_in(run, peers, keys, passwords, mechanism):
    rules, credentials = rules_for(mechanism, keys, passwords)
    device = run(Streamer, **rules)
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **credentials)
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"], **credentials)
    handler = next(iter(zap_handler._handlers.values()))
    decide, asked, go_on = handler._decide, gevent.event.Event(), gevent.event.Event()

    def slowly(question):
        asked.set()
        go_on.wait()
        decide(question)

    handler._decide = slowly
    late = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **credentials)
    with within("the question"):
        asked.wait()
    passes(pusher, puller)
    assert not late.saw(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    go_on.set()
    with within("the late peer to get in"):
        late.wait_connections(1)
    passes(late, puller)


@libzmq_only("it is about ZAP")
def test_a_handler_that_is_killed_is_there_again(run, peers, keys, caplog):
    device = run(Streamer, **server_of(keys))
    handler = next(iter(zap_handler._handlers.values()))
    handler._greenlet.kill()
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"], **curve(ALICE))
    passes(pusher, puller)
    assert "zap-failed" in caplog.text


@libzmq_only("it is about ZAP")
def test_a_context_at_the_place_of_one_that_was_terminated_has_a_handler_that_answers():
    with Peers() as others, Peers() as own:
        old = zap_handler.take(others.context)
        # As `Context.destroy` closes it. The device of that context still has its handler.
        old._socket.close(0)
        (place,) = zap_handler._handlers
        zap_handler._handlers[place[0], int(own.context.underlying)] = zap_handler._handlers.pop(place)
        new = zap_handler.take(own.context)
        assert new is not old
        assert new.answers
        assert zap_handler.take(own.context) is new
        zap_handler.give_back(old)
        assert zap_handler.take(own.context) is new
        zap_handler.give_back(new)
    assert not zap_handler._handlers


@libzmq_only("it is about ZAP")
def test_where_libzmq_cannot_be_held_to_its_domain_a_device_does_not_start(keys, monkeypatch):
    monkeypatch.setattr(component, "_ENFORCE", 9999)
    with pytest.raises(StartError, match="cannot protect streamer frontend: Invalid argument"):
        Device(Streamer(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0", **server_of(keys))).start()
    assert not zap_handler._handlers


def test_rules_hold_for_one_device_and_not_for_its_neighbour_of_the_same_name(run, peers, keys):
    protected, other = (
        run(Streamer, **server_of(keys)),
        run(Streamer, curve_secret=keys / "server.key_secret", curve_clients="any"),
    )
    bare = run(Streamer)
    refused(peers, protected, **curve(MALLORY))
    peers.connect(zmq.PUSH, *other.endpoints["frontend"], **curve(MALLORY))
    passes(peers.connect(zmq.PUSH, *bare.endpoints["frontend"]), peers.connect(zmq.PULL, *bare.endpoints["backend"]))
    protected.stop(0)
    # The handler goes with its last user, and comes with the next one.
    peers.connect(zmq.PUSH, *other.endpoints["frontend"], **curve(MALLORY))
    other.stop(0)
    assert not zap_handler._handlers
    bare.stop(0)
    again = run(Streamer, **server_of(keys))
    peers.connect(zmq.PUSH, *again.endpoints["frontend"], **curve(ALICE))


@libzmq_only("it is about ZAP")
def test_a_handler_of_the_programs_own_goes_on(run, peers, keys, caplog):
    with Peers() as own:
        handler = own.bind(zmq.REP, zap.ADDRESS)
        device = run(Streamer, context=own.context, **server_of(keys))
        assert "zap-handler" in caplog.text
        late = peers.connect(zmq.PUSH, *device.endpoints["frontend"], wait=False, **curve(MALLORY))
        question = handler.recv()
        assert question[2:4] == [b"streamer.frontend", b"127.0.0.1"]
        handler.send(*question[:2], b"200", b"OK", b"mallory", b"")
        with within("the peer to get in"):
            late.wait_connections(1)
        device.stop(0)


@libzmq_only("it is about ZAP")
def test_a_domain_that_is_no_devices_is_answered_with_not_yet(run, peers, keys):
    with Peers() as own:
        run(Streamer, context=own.context, **server_of(keys)).pause()
        asker = own.connect(zmq.REQ, zap.ADDRESS)
        asker.send(b"1.0", b"7", b"unknown", b"127.0.0.1", b"", b"NULL")
        assert asker.recv() == [b"1.0", b"7", b"300", b"not_ready", b"", b""]
        asker.send(b"1.0", b"8", b"streamer.frontend", b"127.0.0.1", b"", b"GSSAPI", b"x")
        assert asker.recv() == [b"1.0", b"8", b"300", b"failed", b"", b""]
        for device in list(run._made):
            device.stop(0)


@libzmq_only("it is about ZAP")
def test_another_hub_cannot_hold_rules_in_the_same_context(run, keys):
    with Peers() as own:
        device = run(Streamer, context=own.context, **server_of(keys))
        errors = []

        def start():
            other = Device(
                Streamer(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0", **server_of(keys)),
                context=own.context,
            )
            try:
                other.start()
            except StartError as error:
                errors.append(str(error))

        thread = threading.Thread(target=start)
        thread.start()
        with within("the other thread"):
            gevent.get_hub().threadpool.apply(thread.join)
        assert "another thread" in errors[0]
        device.stop(0)


@libzmq_only("it is about ZAP")
def test_too_many_that_wait_for_a_check_are_to_come_again(run, peers, passwords, monkeypatch, caplog):
    monkeypatch.setattr(zap_handler, "_MOST_WAITING", 0)
    device = run(Streamer, plain_passwords=passwords, socket_options={"frontend": {zmq.HANDSHAKE_IVL: 1000}})
    # A quarter of a second, and not a minute as for other peers here.
    alice = refused(peers, device, reconnect_ivl=250, **plain("alice", "pass"))
    assert "reason=not_ready" in caplog.text
    monkeypatch.undo()
    # Each check of a password has a second on a busy machine, and there is a new one until then.
    with within("alice to try again", 20):
        while zmq.EVENT_HANDSHAKE_SUCCEEDED not in alice._unread:
            alice._monitor.wait()
            alice._read_events()


def test_what_counts_is_read_anew_by_adjust(run, peers, keys, passwords):
    device = run(Streamer, **server_of(keys))
    mallory = refused(peers, device, **curve(MALLORY))
    write_pair("test", keys / "clients", "mallory", MALLORY)
    device.adjust(device.settings)
    mallory.close()
    peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(MALLORY))
    device.adjust(dataclasses.replace(device.settings, deny=["127.0.0.0/8"]))
    refused(peers, device, **curve(MALLORY))


def test_a_folder_that_cannot_be_read_leaves_all_as_it_was(run, peers, keys):
    device = run(Streamer, **server_of(keys))
    (keys / "clients" / "bad.key").write_text("nonsense")
    with pytest.raises(SettingsError, match="bad\\.key"):
        device.adjust(device.settings)
    peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))


def test_a_folder_or_a_file_that_knows_no_peer_is_warned_of(run, peers, keys, passwords, caplog):
    (keys / "clients" / "alice.key").rename(keys / "clients" / "alice.pub")
    device = run(Streamer, **server_of(keys))
    lines = [one for one in caplog.messages if one.startswith("no-peer-is-known")]
    assert len(lines) == 2 and all(
        f"path={keys / 'clients'} " in line and "no peer can connect" in line for line in lines
    )
    (keys / "clients" / "alice.pub").rename(keys / "clients" / "alice.key")
    device.adjust(device.settings)
    peers.connect(zmq.PUSH, *device.endpoints["frontend"], **curve(ALICE))
    passwords.write_text("# alice:\n")
    run(Streamer, plain_passwords=passwords)
    assert any("no-peer-is-known" in line and f"path={passwords}" in line for line in caplog.messages)
    assert len([line for line in caplog.messages if "no-peer-is-known" in line]) == 4


def test_rules_that_come_or_go_need_a_restart(run, keys):
    device = run(Streamer)
    with pytest.raises(SettingsError, match="does not change while the device runs"):
        device.adjust(dataclasses.replace(device.settings, **server_of(keys)))
    with pytest.raises(SettingsError, match="does not change while the device runs"):
        device.adjust(dataclasses.replace(device.settings, allow=["127.0.0.1"]))


def test_a_secret_that_others_can_read_is_refused(keys):
    (keys / "server.key_secret").chmod(0o644)
    settings = Queue(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0", **server_of(keys))
    with pytest.raises(StartError, match="cannot protect queue frontend: curve-secret: expected a file that only"):
        Device(settings).start()


def test_the_log_warns_of_sockets_that_are_open_to_every_host_and_of_no_protected_one(run, keys, caplog):
    rules = {**server_of(keys), "socket_access": {"backend": {"curve_secret": "none"}}}
    announce(run(Streamer, frontend="tcp://*:0", backend="tcp://*:0", **rules))
    (warning,) = [one.getMessage() for one in caplog.records if "open-to-every-host" in one.getMessage()]
    assert "socket=backend" in warning


PATCHED = """
from gevent import monkey

monkey.patch_all()
import sys
import zmq
from geventrelay import Device, Streamer
from geventrelay.testing import Peers

settings = Streamer(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0", plain_passwords=sys.argv[1])
with Device(settings) as device, Peers(limit_s=20, plain_username=b"alice", plain_password=b"pass") as peers:
    puller = peers.connect(zmq.PULL, *device.endpoints["backend"])
    pusher = peers.connect(zmq.PUSH, *device.endpoints["frontend"])
    pusher.send(b"task")
    print(puller.recv())
"""


def test_it_works_beside_monkey_patching(passwords):
    done = subprocess.run([sys.executable, "-c", PATCHED, passwords], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[b'task']\n", done.stderr
