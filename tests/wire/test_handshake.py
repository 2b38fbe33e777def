"""What is kept of a handshake."""

from __future__ import annotations

import socket

from geventrelay.switch.handshake import Handshake
from geventrelay.testing import eventually
from geventrelay.zmtp import commands, frames, metadata
from geventrelay.zmtp.connection import Connection


def test_what_a_stranger_says_of_itself_is_not_kept():
    properties = {"Socket-Type": b"PUSH"} | {f"{number:04x}": b"" for number in range(7000)}
    ready = commands.Command(commands.READY, metadata.encode(properties))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        found = []
        Handshake(ours, Connection("PULL"), found.append).start()
        theirs.sendall(Connection("PUSH").to_send() + frames.encode(ready.body, command=True))
        eventually(lambda: found, "the end of the handshake")
    (handshake,) = found
    assert handshake.peer.socket_type == "PUSH"
    assert not handshake.peer.metadata
