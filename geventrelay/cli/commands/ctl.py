"""``geventrelay ctl``: the other end of a control socket, what it is sent and how the answer is shown."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from ...components.control import DISCONNECT, MOST_PART_BYTES, RELOAD, STATISTIC, STATISTICS
from ...components.endpoints import needs_ipv6, reason
from ...endpoints import Endpoint
from ...engine.libzmq import encoded
from ...errors import SettingsError, StartError
from ...printable import printable
from ...settings import ControlType
from ...settings.checks import flag, one_of, seconds
from ...settings.option import option, read_group
from ..arguments import given_options
from ..client_keys import ClientKeys
from ..command import Command, Options, sections_of
from ..output import print_stdout

WORDS = ("pause", "resume", "terminate", "statistics", "reload", "disconnect")
"""The commands that a device follows. The last one has the number of a peer."""

# Are answered by a sentence where they have failed.
_EXPLAINED = (RELOAD, DISCONNECT)
# For words that are no verbs of their endpoint.
_VERBS = {"statistics": "read the statistics of", "disconnect": "disconnect a peer of"}
_LINE = "{side:<9} received {received_parts} parts, {received_bytes} bytes; sent {sent_parts} parts, {sent_bytes} bytes"
# How much is shown of the reason why a reload failed.
_SHOWN_BYTES = 4096
_COUNTS = ("received_parts", "received_bytes", "sent_parts", "sent_bytes")
_OTHER_KEYS = "the device may ask for keys, for other ones, or for a password: see docs/security.rst"
# Why the other end takes no command, by the event of a monitor: see zmq_socket_monitor(3).
_REFUSALS = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the device does not let in these keys, or this user, or this address",
    # Both are what a mechanism of its own looks like: which one depends on whose greeting came first.
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: _OTHER_KEYS,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: _OTHER_KEYS,
}
# No answer has more parts. What comes beyond them is read, and not kept.
_MOST_PARTS = 10
# Not a REQ: libzmq's looks for an answer of the right form for as long as others come, whatever its time limit.
_PEERS = {
    ControlType.REP: zmq.DEALER,
    ControlType.ROUTER: zmq.DEALER,
    ControlType.PAIR: zmq.PAIR,
    ControlType.PULL: zmq.PUSH,
    ControlType.SUB: zmq.XPUB,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CtlOptions(ClientKeys):
    """The options of ``geventrelay ctl``."""

    title = "Command"

    control_type: ControlType = option(
        one_of(ControlType),
        "the device's --control-type: REP, PAIR, ROUTER, PULL or SUB",
        default=ControlType.REP,
        metavar="TYPE",
    )
    timeout_s: float = option(seconds, "how long all of it may take", default=5.0)
    json: bool = option(flag, "print the answer as JSON", default=False)


def execute(options: Options) -> int:
    """Send the command of `options` to a device and print its answer; the exit code. Blocks the hub."""
    chosen = read_group(CtlOptions, given_options(options))
    word = next(word for word in WORDS if options[word])
    endpoint = _read_peer(options["ENDPOINT"])
    peer = _read_number(options["PEER"]) if word == "disconnect" else None
    options_of_socket = chosen.socket_options()
    answer = command(endpoint, chosen.control_type, word, chosen.timeout_s, peer, options_of_socket)
    print_stdout(show(word, answer, chosen.json))
    return 0


def _read_peer(text: str) -> Endpoint:
    """The endpoint to connect to. A > may stand before it, and an @ may not."""
    if text.startswith(("http:", "https:")):
        raise SettingsError("ENDPOINT", "the endpoint of --control; http:// is that of --http, see docs/http.rst", text)
    try:
        return Endpoint.parse(">" + text.removeprefix(">"), name="ENDPOINT")
    except SettingsError as error:
        raise SettingsError("ENDPOINT", error.rule, text) from None


def _read_number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise SettingsError("PEER", "the number of a peer, as /api/devices/NAME/peers has it", text)
    return int(text)


def command(
    endpoint: Endpoint,
    control_type: ControlType,
    word: str,
    timeout_s: float,
    peer: int | None = None,
    keys: Mapping[int, bytes] = MappingProxyType({}),
) -> list[bytes]:
    """Send one command and return the parts of the answer, of which there may be none. Blocks the hub.

    :param endpoint: the device's control endpoint.
    :param control_type: the type of the device's socket there.
    :param word: one of `WORDS`.
    :param timeout_s: how long all of it may take, in seconds.
    :param peer: the number of the peer that is to be disconnected.
    :param keys: options of libzmq's sockets, to be set before it connects: see `ClientKeys.socket_options`.
    :raises SettingsError: if that control socket cannot answer this command.
    :raises StartError: if no peer took or answered it in time, or if the answer says that it was not done.
    """
    name = word.upper().encode()
    if name == STATISTICS and control_type in (ControlType.PULL, ControlType.SUB):
        raise SettingsError("--control-type", "a type that can answer: REP, PAIR or ROUTER", control_type.value)
    answers = control_type is ControlType.REP or name == STATISTICS
    with (
        zmq.Context() as context,
        context.socket(_PEERS[control_type]) as socket,
        socket.get_monitor_socket(sum(_REFUSALS)) as monitor,
    ):
        talk = _Talk(socket, control_type, timeout_s)
        socket.linger = 0
        socket.maxmsgsize = MOST_PART_BYTES
        if control_type in (ControlType.PULL, ControlType.PAIR):
            # So that a send fails without a peer. (Not where answers come: see components/new_socket.py.)
            socket.immediate = True
        try:
            socket.ipv6 = needs_ipv6(endpoint)
            for number, value in keys.items():
                socket.set(number, value)
            socket.connect(encoded(endpoint.address))
            answer = talk.ask(name if peer is None else b"%b %d" % (name, peer), answers)
        except (zmq.ZMQError, OSError) as error:
            why = f"no answer within {timeout_s:g} s" if error.errno == zmq.EAGAIN else reason(error)
            why += _refused(monitor) or talk.warning
            raise StartError(f"cannot {_VERBS.get(word, word)} {endpoint.address}: {why}") from None
    if answers and (answer is None or not _is_answer(name, answer)):
        strange = "expected the answer of a control socket, got other bytes"
        raise StartError(f"{endpoint.address}: {strange}{talk.warning}")
    if name in _EXPLAINED and answer and answer[0]:
        raise StartError(printable(answer[0][:_SHOWN_BYTES].decode(errors="replace")))
    return answer or []


def _refused(monitor: zmq.Socket[bytes]) -> str:
    """Why no handshake came to its end, as far as `monitor` tells; "" if none has failed."""
    try:
        event = recv_monitor_message(monitor, zmq.DONTWAIT)
    except zmq.Again:
        return ""
    return f"; {_REFUSALS[zmq.Event(event['event'])]}"


def _is_answer(name: bytes, answer: list[bytes]) -> bool:
    if name == STATISTICS:
        return [len(part) for part in answer] == [STATISTIC.size] * 2 * len(_COUNTS)
    return answer == [b""] or (name in _EXPLAINED and len(answer) == 1)


class _Talk:
    """What is said to a control socket and what it answers, in one time for all of it.

    :param socket: the peer of the control socket.
    :param control_type: its type.
    :param timeout_s: the time, in seconds.
    """

    def __init__(self, socket: zmq.Socket[bytes], control_type: ControlType, timeout_s: float) -> None:
        self._socket, self._type = socket, control_type
        # As a REQ has it, which a REP needs to find the way back.
        self._envelope = [b""] if control_type is ControlType.REP else []
        self._until = time.monotonic() + timeout_s
        self._has_sent = False

    @property
    def warning(self) -> str:
        """What to add to an error: where the command may have gone if there is no control socket."""
        return "; if this is no control socket, it may have taken the command for a message" if self._has_sent else ""

    def ask(self, name: bytes, answers: bool) -> list[bytes] | None:
        """Send the command `name` and return the parts of the answer, None if it has no envelope. Blocks the hub.

        :param name: the command.
        :param answers: whether it is answered. If not, there are no parts.
        :raises zmq.Again: if the time is over.
        """
        if self._type is ControlType.SUB:
            # Its subscription shows that it listens.
            self._receive()
        elif self._type in (ControlType.ROUTER, ControlType.PAIR):
            # A peer that answers no command has to show that it takes one.
            self._send(STATISTICS)
            self._receive()
        self._send(name)
        if answers:
            answer, size = self._receive(), len(self._envelope)
            return answer[size:] if answer[:size] == self._envelope else None
        # It is on its way, and this must not end before it has left.
        self._socket.linger = self._left_ms()
        return []

    def _send(self, command: bytes) -> None:
        self._socket.sndtimeo = self._left_ms()
        self._socket.send_multipart([*self._envelope, command])
        self._has_sent = True

    def _receive(self) -> list[bytes]:
        parts: list[bytes] = []
        while True:
            self._socket.rcvtimeo = self._left_ms()
            part = self._socket.recv(copy=False)
            if len(parts) <= _MOST_PARTS:
                parts.append(part.bytes)
            if not part.more:
                return parts

    def _left_ms(self) -> int:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise zmq.Again
        return math.ceil(left_s * 1000)


def show(word: str, answer: list[bytes], as_json: bool) -> str:
    """What to print for an answer.

    :param word: the command.
    :param answer: its parts.
    :param as_json: whether a program is going to read it.
    """
    result: dict[str, Any] = {"command": word}
    if len(answer) == 2 * len(_COUNTS):
        counts = [STATISTIC.unpack(part)[0] for part in answer]
        result["frontend"] = dict(zip(_COUNTS, counts[:4], strict=True))
        result["backend"] = dict(zip(_COUNTS, counts[4:], strict=True))
    if as_json:
        return json.dumps(result)
    lines = [_LINE.format(side=side, **result[side]) for side in ("frontend", "backend") if side in result]
    return "\n".join(lines) or f"{word}: done"


CTL = Command(
    "ctl",
    f"ENDPOINT ({' | '.join(WORDS)} PEER)",
    """\
Sends a command to the control socket of a running device (--control), and prints the answer: see docs/control.rst. The
ENDPOINT is connected to; a bare port is one of this host.

PEER is the number of a peer of engine zmtp, as /api/devices/NAME/peers and the page have it.

Exit codes: 0 the device has it, 1 no answer came in time, or it was not done, 2 wrong usage.""",
    execute,
    sections_of(CtlOptions),
)
