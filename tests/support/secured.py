"""Both ends of handshakes with PLAIN and CURVE, without sockets."""

from __future__ import annotations

from geventrelay.zmtp import sodium
from geventrelay.zmtp.connection import Connection, State
from geventrelay.zmtp.curve import CurveClient, CurveServer
from geventrelay.zmtp.events import Credentials, Event
from geventrelay.zmtp.plain import PlainClient, PlainServer

SERVER_KEY, SERVER_SECRET = sodium.new_pair()
CLIENT_KEY, CLIENT_SECRET = sodium.new_pair()


def plain_client(socket_type="PUSH", password=b"secret", **options) -> Connection:
    return Connection(socket_type, mechanism=lambda own: PlainClient(own, b"user", password), **options)


def plain_server(socket_type="PULL", **options) -> Connection:
    return Connection(socket_type, mechanism=PlainServer, **options)


def curve_client(socket_type="PUSH", secret=CLIENT_SECRET, server=SERVER_KEY, **options) -> Connection:
    return Connection(socket_type, mechanism=lambda own: CurveClient(own, secret, server), **options)


def curve_server(socket_type="PULL", secret=SERVER_SECRET, **options) -> Connection:
    return Connection(socket_type, mechanism=lambda own: CurveServer(own, secret), **options)


PAIRS = {"PLAIN": (plain_client, plain_server), "CURVE": (curve_client, curve_server)}


class Talk:
    """What two ends make of each other, in pieces of a `size`; the second lets everybody in, or denies with `status`.

    :ivar found: the events of each end, and `said` all bytes that it has sent.
    """

    def __init__(self, one: Connection, other: Connection, size: int = 10_000, status: int = 200) -> None:
        self.ends = (one, other)
        self.found: tuple[list[Event], list[Event]] = ([], [])
        self.said = (bytearray(), bytearray())
        self._size, self._status = size, status

    def go(self) -> Talk:
        """Go on until neither says more."""
        while any(said := [end.to_send() for end in self.ends]):
            for index in (0, 1):
                self.said[index].extend(said[index])
                self._take(1 - index, said[index])
        return self

    def _take(self, index: int, data: bytes) -> None:
        end = self.ends[index]
        for at in range(0, len(data), self._size):
            end.receive(data[at : at + self._size])
            while (event := end.next_event()) is not None:
                self.found[index].append(event)
                if isinstance(event, Credentials):
                    if self._status == 200:
                        end.allow()
                    else:
                        end.deny(self._status)


def joined(name: str, one="PUSH", other="PULL", size: int = 10_000) -> Talk:
    """Two ends whose handshake is through."""
    client, server = PAIRS[name]
    talk = Talk(client(one), server(other), size).go()
    assert [end.state for end in talk.ends] == [State.TRAFFIC] * 2
    return talk
