"""The keys of CURVE that the relays and clients of a bench have: those of zmq_curve(7), which everybody knows."""

from __future__ import annotations

from typing import Any

import zmq

SERVER_PUBLIC, SERVER_SECRET = b"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", b"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
CURVE_SUFFIX = "+curve"
"""Behind the pattern of a relay whose peers come with CURVE."""


def as_server(socket: zmq.Socket[Any]) -> None:
    """Have a `socket` of libzmq take peers with CURVE alone."""
    socket.curve_server = True
    socket.curve_secretkey = SERVER_SECRET


def as_client(socket: zmq.Socket[Any]) -> None:
    """Have it be such a peer."""
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_serverkey = SERVER_PUBLIC
