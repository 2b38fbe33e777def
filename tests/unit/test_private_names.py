"""Names that are not ours and not public, on which the engine rests. Here one sees which of them has gone."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import re
from pathlib import Path

import pytest
import zmq
import zmq.backend
import zmq.green
from nats.aio import transport
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from zmq.utils.garbage import gc as zmq_garbage

import geventrelay
from geventrelay import RelaySocket
from geventrelay.backbone.nats.client import Connection
from geventrelay.switch.native import boxes
from geventrelay.zmtp import sodium

PACKAGE = Path(geventrelay.__file__).parent
# Each is used in one module, so that there is one place to mend when it goes.
HOMES = {
    "_state_event": "engine/socket.py",
    "_Socket__state_changed": "engine/socket.py",
    "_wait_read": "engine/socket.py",
    "_wait_write": "engine/socket.py",
    "zmq.utils.garbage": "testing/leaks.py",
    "nacl._sodium": "zmtp/sodium.py",
    "_set_running_loop": "backbone/nats/loop.py",
    "_process_msg": "backbone/nats/client.py",
    "_flush_queue": "backbone/nats/client.py",
}
# What both functions of libsodium take: where to write, what, how much of it, a nonce and a key.
_BOX = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_char_p, ctypes.c_char_p)


@pytest.mark.parametrize("name", HOMES)
def test_each_private_name_is_used_in_one_module(name):
    # As a word, and not in quotes or in `...`, where it is only spoken of.
    used = re.compile(rf"(?<![\w`\"'.]){re.escape(name)}(?!\w)|\.{re.escape(name)}(?!\w)")
    users = [str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py")) if used.search(path.read_text())]
    assert users == [HOMES[name]]


def test_pyzmq_still_has_a_property_that_gives_libzmqs_handle_of_a_socket():
    underlying = inspect.getattr_static(zmq.Socket, "underlying")
    assert hasattr(type(underlying), "__get__")
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    assert socket.underlying > 0
    socket.close()
    assert socket.underlying == 0, "libzmq would be handed freed memory"
    context.term()


def test_pyzmq_still_keeps_the_context_that_frees_large_bodies_where_leaks_look_for_it():
    assert hasattr(zmq_garbage, "_context")


def test_zmq_green_still_has_the_hooks_that_a_relay_socket_overrides():
    for name in ("_Socket__state_changed", "_wait_read", "_wait_write", "_state_event"):
        assert hasattr(zmq.green.Socket, name), name
        assert name in vars(RelaySocket), f"RelaySocket does not override {name}"


def test_zmq_green_still_watches_the_descriptor_with_the_hook_and_waits_through_the_others():
    hooks = inspect.getsource(zmq.green.Socket)
    assert ".start(self.__state_changed)" in hooks
    assert "self._wait_write()" in hooks
    assert "self._wait_read()" in hooks


def test_zmq_green_still_stops_the_watcher_whose_place_ours_takes_when_a_socket_is_closed():
    assert "_stop(self._state_event)" in inspect.getsource(zmq.green.Socket)


def test_pyzmq_still_has_a_send_without_its_python_layer():
    assert callable(zmq.backend.Socket.send)
    assert zmq.backend.Socket.send is not zmq.Socket.send
    assert issubclass(zmq.Socket, zmq.backend.Socket)


def test_pyzmq_still_takes_flags_and_copy_where_they_are_given_by_position():
    assert list(inspect.signature(zmq.Socket.recv).parameters)[1:3] == ["flags", "copy"]


@pytest.mark.parametrize("addresses", [sodium.addresses, boxes.of_libzmq], ids=["PyNaCl", "libzmq"])
def test_libsodiums_functions_are_still_where_compiled_code_finds_them(addresses):
    found = addresses()
    if found is None:
        pytest.skip("this libzmq has no libsodium, as those of distributions may")
    seal, unseal = (ctypes.CFUNCTYPE(ctypes.c_int, *_BOX)(at) for at in found)
    nonce, key = bytes(24), bytes(range(32))
    boxed, found = ctypes.create_string_buffer(16 + 5), ctypes.create_string_buffer(5)
    assert seal(boxed, b"hello", 5, nonce, key) == 0
    assert boxed.raw == sodium.seal(b"hello", nonce, key)
    assert unseal(found, boxed.raw, len(boxed.raw), nonce, key) == 0
    assert found.raw == b"hello"


@pytest.mark.parametrize(
    "name", ["_select_next_server", "_process_info", "_process_msg", "_process_err", "_process_op_err"]
)
def test_the_library_for_nats_still_has_the_methods_that_a_connection_overrides(name):
    theirs, ours = (inspect.signature(vars(one)[name]) for one in (Client, Connection))
    assert list(ours.parameters) == list(theirs.parameters)


def test_the_library_for_nats_still_has_what_a_connection_uses_of_it():
    used = (
        "_reading_task", "_flusher_task", "_ping_interval_task", "_transport", "_flush_queue", "_server_pool",
        "_current_server",
    )  # fmt: skip
    source = inspect.getsource(Client)
    assert [name for name in used if f"self.{name} =" not in source and f"self.{name}:" not in source] == []
    assert "self._io_writer" in inspect.getsource(transport.TcpTransport)
    assert "self._id =" in inspect.getsource(Subscription)
    assert callable(Client._send_ping)
    assert callable(Client._connect_to_server)


def test_asyncio_still_has_the_running_loop_that_is_hidden_while_the_hub_runs_others():
    assert asyncio._get_running_loop() is None
    assert callable(asyncio._set_running_loop)
