"""The place of mechanisms other than NULL, shown with PLAIN (RFC 24): it has two steps more, and a server."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from geventrelay.zmtp import metadata
from geventrelay.zmtp.commands import ERROR, READY, Command, parse_error
from geventrelay.zmtp.connection import Connection, State
from geventrelay.zmtp.errors import Fault, ProtocolError
from geventrelay.zmtp.events import Message, Ready

HELLO, WELCOME, INITIATE = b"HELLO", b"WELCOME", b"INITIATE"


class Plain:
    """One end of PLAIN: a client with a `word`, or the server that lets it in."""

    name = "PLAIN"

    def __init__(self, properties: Mapping[str, bytes], word: bytes, *, as_server: bool) -> None:
        self.as_server = as_server
        self.found: dict[str, bytes] | None = None
        self._own = metadata.encode(properties)
        self._hello = b"\4user" + bytes([len(word)]) + word
        # What comes next, and what is the answer.
        answers = ((HELLO, Command(WELCOME)), (INITIATE, Command(READY, self._own)))
        questions = ((WELCOME, Command(INITIATE, self._own)), (READY, None))
        self._steps = list(answers if as_server else questions)

    def open(self) -> list[Command]:
        return [] if self.as_server else [Command(HELLO, self._hello)]

    def receive(self, command: Command) -> list[Command]:
        expected, answer = self._steps.pop(0)
        if command.name == ERROR:
            raise ProtocolError(Fault.REFUSED, parse_error(command.data))
        if command.name != expected or (expected == HELLO and command.data != self._hello):
            raise ProtocolError(Fault.BAD_HANDSHAKE, f"expected {expected!r}, got {command.name!r}")
        if not self._steps:
            self.found = metadata.parse(command.data)
        return [] if answer is None else [answer]


def ends(word: bytes = b"secret") -> tuple[Connection, Connection]:
    """A client and the server."""
    return (
        Connection("PUSH", mechanism=lambda properties: Plain(properties, word, as_server=False)),
        Connection("PULL", mechanism=lambda properties: Plain(properties, b"secret", as_server=True)),
    )


def exchange(one: Connection, other: Connection, size: int) -> list[object]:
    """What `other` makes of all that both say, in pieces of a `size`; a message follows at once."""
    found: list[object] = []
    sent = False
    while True:
        said = [one.to_send(), other.to_send()]
        if not any(said):
            return found
        for here, data in ((other, said[0]), (one, said[1])):
            for at in range(0, len(data), size):
                here.receive(data[at : at + size])
                while (event := here.next_event()) is not None:
                    found += [event] if here is other else []
        if one.state is State.TRAFFIC and not sent:
            one.send([b"first", b""])
            sent = True


@pytest.mark.parametrize("size", [1, 2, 63, 10_000])
def test_a_mechanism_with_more_steps_is_gone_through_whatever_the_pieces(size):
    ready, message = exchange(*ends(), size)
    assert isinstance(ready, Ready)
    assert ready.peer.socket_type == "PUSH"
    assert message == Message((b"first", b""))


def test_a_mechanism_ends_the_handshake_of_one_that_it_does_not_let_in():
    client, server = ends(word=b"wrong")
    with pytest.raises(ProtocolError, match=r"^expected b'HELLO', got b'HELLO'$") as raised:
        exchange(client, server, 1)
    assert raised.value.fault is Fault.BAD_HANDSHAKE
    assert server.state is State.FAILED


def test_a_command_of_a_later_step_is_refused():
    client, server = ends()
    client.receive(server.to_send())
    assert client.next_event() is None
    server.receive(client.to_send().replace(b"\5HELLO", b"\5READY"))
    with pytest.raises(ProtocolError, match=r"^expected b'HELLO', got b'READY'$"):
        server.next_event()
