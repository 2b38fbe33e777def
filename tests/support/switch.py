"""Cores of the switch, with the other ends of their peers: socket pairs, and the bytes of ZMTP."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from geventrelay.engine.grant import Grant
from geventrelay.switch.contract import Account, Core, Destination, Peer, Progress, Side, SidePlan, Way
from geventrelay.switch.core_python import Account as PythonAccount
from geventrelay.switch.core_python import PythonCore
from geventrelay.switch.native.choose import native_core_module
from geventrelay.zmtp import commands, events, frames, sodium
from geventrelay.zmtp.bounds import Bounds
from geventrelay.zmtp.errors import ProtocolError
from geventrelay.zmtp.frames import FrameReader
from geventrelay.zmtp.greeting import Version
from geventrelay.zmtp.session import Session

CORES: dict[str, Callable[..., Core]] = {"python": PythonCore}
ACCOUNTS: dict[str, Callable[[], Account]] = {"python": PythonAccount}
if (native := native_core_module()) is not None:
    CORES["native"] = native.NativeCore
    ACCOUNTS["native"] = native.NativeAccount
NEVER = math.inf


def wire(*parts: bytes) -> bytes:
    """A message as frames."""
    return frames.encode_message(parts)


def command(name: bytes, data: bytes = b"") -> bytes:
    return frames.encode(commands.Command(name, data).body, command=True)


def many(count: int, size: int = 20, first: int = 0) -> list[bytes]:
    """Different messages of one part."""
    return [b"%d" % number + b"x" * size for number in range(first, first + count)]


def sessions() -> tuple[Session, Session]:
    """Of both ends of a connection of CURVE: the client, and the server."""
    key = sodium.random_bytes(sodium.KEY_BYTES)
    return Session(key, as_server=False, sent=2, received=1), Session(key, as_server=True, sent=1, received=2)


@dataclass
class Far:
    """The other end of a peer's connection."""

    peer: Peer
    ours: socket.socket
    theirs: socket.socket
    v1_0: bool = False
    session: Session | None = None
    _reader: FrameReader = field(init=False)
    # Of a connection of CURVE: what is to be sent and is no whole frame as yet.
    _unsealed: FrameReader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = FrameReader(1 << 30, 1 << 30, v1_0=self.v1_0)
        self._unsealed = FrameReader(1 << 30, 1 << 30)

    def send(self, data: bytes) -> Progress:
        """Send `data`, as much as the kernel takes at once, and have the core read."""
        self.put(data)
        return self.read()

    def put(self, data: bytes) -> None:
        self.theirs.sendall(data if self.session is None else self.sealed(data))

    def sealed(self, data: bytes) -> bytes:
        """Whole frames of what is put, each in a sealed one; garbage as it is."""
        assert self.session is not None
        found = []
        self._unsealed.feed(data)
        try:
            while (frame := self._unsealed.next()) is not None:
                found.append(self.session.seal(frame.body, more=frame.more, command=frame.command))
        except ProtocolError:
            return b"".join(map(frames.encode, found)) + self._unsealed.take_rest()
        return b"".join(map(frames.encode, found))

    def read(self, until: float = NEVER) -> Progress:
        return self.peer.read(until)

    def bytes(self) -> bytes:
        """All that has come, in one piece; of CURVE, the frames within."""
        if self.session is None:
            return self.raw()
        return b"".join(frames.encode(one.body, more=one.more, command=one.command) for one in self.frames())

    def raw(self) -> bytes:
        """All that has come, as it came."""
        found = []
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := self.theirs.recv(1 << 20):
                found.append(data)
        return b"".join(found)

    def frames(self) -> list[frames.Frame]:
        self.feed(self.raw())
        found = []
        while (frame := self._reader.next()) is not None:
            found.append(frame if self.session is None else self.session.open(frame))
        return found

    def feed(self, data: Any) -> None:
        """Take in `data`, which was read with `raw`."""
        self._reader.feed(data)

    def got(self) -> list[list[bytes]]:
        """The messages that have come, each as its parts. Commands are left out."""
        found: list[list[bytes]] = [[]]
        for frame in self.frames():
            if not frame.command:
                found[-1].append(frame.body)
                if not frame.more:
                    found.append([])
        assert found.pop() == [], "a message without its end"
        return found

    def singles(self) -> list[bytes]:
        """The same where each has one part."""
        return [body for (body,) in self.got()]

    def all_singles(self) -> list[bytes]:
        """The same, until nothing waits for it any more."""
        found = self.singles()
        while self.peer.wants_write:
            self.peer.write(NEVER)
            more = self.singles()
            assert more, "what waits is not written"
            found += more
        return found

    def hang_up(self) -> None:
        """Have its connection go, from the core's view."""
        self.peer.detach()
        self.ours.close()
        self.theirs.close()


class World:
    """A core, and the other ends of its peers."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.fars: list[Far] = []

    def side(self, type: str, **options: Any) -> Side:
        return self.core.side(SidePlan(type.lower(), type, **options))

    def way(self, source: str | Side, *destinations: Side | Destination) -> tuple[Side, Way]:
        """A side of a type, and the way from it."""
        side = self.side(source) if isinstance(source, str) else source
        every = [one if isinstance(one, Destination) else Destination(one) for one in destinations]
        return side, self.core.way(side, every)

    def far(self, side: Side, **options: Any) -> Far:
        """A peer with a connection."""
        return self.connect(side.new_peer(queues_before=False), **options)

    def connect(
        self,
        peer: Peer,
        *,
        version: Version = Version.V3_1,
        routing_id: bytes = b"",
        rest: bytes = b"",
        small: bool = False,
        sealed: bool = False,
        grant: Grant | None = None,
    ) -> Far:
        """A connection for a `peer`; one that takes little if it is to be `small`."""
        ours, theirs = socket.socketpair()
        if small:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for one in (ours, theirs):
            one.setblocking(False)
        session, own = (None, None) if not sealed else sessions()
        found = Far(peer, ours, theirs, version is Version.V1_0, session)
        self.fars.append(found)
        if rest and sealed:
            rest = found.sealed(rest)
        peer.attach(ours.fileno(), events.Peer(version, None, routing_id, session=own), rest, grant)
        return found

    def close(self) -> None:
        for far in self.fars:
            far.hang_up()


@contextlib.contextmanager
def new_world(make_core: Callable[[], Core]) -> Iterator[World]:
    """One for each example of a property."""
    made = World(make_core())
    try:
        yield made
    finally:
        made.close()


def check(way: Way, *fars: Far) -> None:
    """All accounts hold."""
    counters = way.counters
    for outlet in counters.outlets:
        assert counters.received == outlet.sent + outlet.elsewhere + sum(outlet.dropped.values())
    for far in fars:
        counts = far.peer.counts()
        assert counts.matched == counts.delivered + sum(counts.dropped.values()) + counts.waiting


SMALL = Bounds(frame_bytes=300, message_bytes=400, parts=3, command_bytes=200, topic_bytes=20)


def subscribe(topic: bytes) -> bytes:
    return command(b"SUBSCRIBE", topic)


def cancel(topic: bytes) -> bytes:
    return command(b"CANCEL", topic)
