"""Names that are not ours and not public, on which the engine rests. Here one sees which of them has gone."""

from __future__ import annotations

import inspect

import zmq
import zmq.backend
import zmq.green

from geventrelay import RelaySocket


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
