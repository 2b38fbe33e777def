"""The load generator for machines without a C compiler: the loops of ``load.c`` in Python.

Slower than most relays; several processes of it share the work, and the no-relay figure shows where it is
the limit.
"""

from __future__ import annotations

import time
from collections import deque

import zmq

from .board import Board

TURN = 128
POLL_MS = 20
SHARE_FROM = 4096


class PythonLoad:
    def __init__(self, board: Board) -> None:
        self._board = board

    def run(self, role: str, board_address: int, sockets: list[zmq.Socket], size: int, in_flight: int) -> int:
        """Run one role until the board says stop; returns an errno, 0 when all was well."""
        body = b"t " + b"x" * (size - 2)
        try:
            getattr(self, f"_{role}")(sockets, body, in_flight)
        except zmq.ZMQError as error:
            return int(error.errno or 1)
        return 0

    def _source(self, sockets: list[zmq.Socket], body: bytes, _in_flight: int) -> None:
        copy = len(body) < SHARE_FROM
        self._turns(sockets, zmq.POLLOUT, lambda socket, flags: socket.send(body, flags, copy=copy))

    def _sink(self, sockets: list[zmq.Socket], _body: bytes, _in_flight: int) -> None:
        self._turns(sockets, zmq.POLLIN, lambda socket, flags: socket.recv_multipart(flags, copy=False))

    _subscribers = _sink

    def _turns(self, sockets, event, move) -> None:  # type: ignore[no-untyped-def]
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, event)
        flags = zmq.DONTWAIT if len(sockets) > 1 else 0
        count = self._board.layout.count
        while not self._board.stopped:
            moved = 0
            for slot, socket in enumerate(sockets):
                moved += self._turn(slot, socket, flags, move, count)
            if not moved and flags:
                poller.poll(POLL_MS)

    @staticmethod
    def _turn(slot, socket, flags, move, count) -> int:  # type: ignore[no-untyped-def]
        for moved in range(TURN):
            try:
                move(socket, flags)
            except zmq.Again:
                return moved
            count[slot] += 1
        return TURN

    def _stall(self, _sockets: list[zmq.Socket], _body: bytes, _in_flight: int) -> None:
        while not self._board.stopped:
            time.sleep(POLL_MS / 1000)

    def _request(self, sockets: list[zmq.Socket], body: bytes, in_flight: int) -> None:
        started: deque[int] = deque()
        while not self._board.stopped:
            try:
                if len(started) < in_flight:
                    now_ns = time.monotonic_ns()
                    sockets[0].send_multipart([b"", body])
                    started.append(now_ns)
                    continue
                sockets[0].recv_multipart()
            except zmq.Again:
                continue
            self._board.note_time(time.monotonic_ns() - started.popleft())
            self._board.layout.count[0] += 1

    def _reply(self, sockets: list[zmq.Socket], _body: bytes, _in_flight: int) -> None:
        while not self._board.stopped:
            try:
                body = sockets[0].recv(copy=False)
            except zmq.Again:
                continue
            sockets[0].send(body, copy=False)
            self._board.layout.count[0] += 1
