"""What a subscriber without gaps does with what comes, and what it asks for. Pure: no sockets, and time is an argument.

::

               a number is missing, or the log has more than has come
         live ─────────────────────────────────────────────────────────> catching up
           ^    hands out each message with the number that is due         │  hands out what it fetches from the log;
           └──────────── all that was seen live is fetched ────────────────┘  of what comes live it keeps the newest

A number is missing if its message was lost, and also if it does not begin with the prefixes. Only the log knows which.
"""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import GaplessError
from ..retention import replay_wire as wire
from .events import Event, Lost, Message, Position, Start

LONGEST_WAIT_S = 15.0
"""How long an answer is waited for at most, in seconds, after several that did not come."""

# A request may have 64 KiB in all.
_MOST_PREFIX_BYTES = 32 * 1024


class Renew(enum.Enum):
    """A socket that is to be closed, and made and connected anew."""

    SUB = "sub"
    """What it still holds is of an earlier life of the device."""
    REPLAY = "replay"
    """An answer did not come: its connection may be dead, or the answer was lost with an earlier one."""


Action = Renew | list[bytes]
"""What is to be done with the sockets: one is renewed, or these frames are sent to the replay port."""


@dataclass(slots=True)
class _Asked:
    """The request whose answer is waited for.

    :ivar end: of a FETCH, the number after the last one that it asks for; of a HEAD, None.
    :ivar held: the live message with the number `end`, which follows what is fetched.
    :ivar due: when the answer, or the next piece of it, is late.
    """

    tag: bytes
    end: int | None
    held: Message | None
    due: float


class Gapless:
    """The state of one subscriber. Its driver does the `actions` after each call, in order.

    :param prefixes: what it has subscribed to; none is everything.
    :param start: where it begins.
    :param now: the time, in seconds, of a clock that never goes back.
    :param quiet_s: after how long without a new message it asks whether there is one, in seconds.
    :param answer_s: for how long it waits for an answer, in seconds. It doubles with each that does not come.
    :param start_s: for how long it waits for the first answer, in seconds; None for ever.
    """

    def __init__(
        self,
        prefixes: Sequence[bytes],
        start: Start,
        now: float,
        *,
        quiet_s: float = 1.0,
        answer_s: float = 2.0,
        start_s: float | None = 10.0,
    ) -> None:
        # An empty one is in all messages.
        self._prefixes = () if b"" in prefixes else tuple(dict.fromkeys(prefixes))
        # With too many for one request, it asks for all messages, and looks at each.
        few = len(self._prefixes) <= wire.MOST_PREFIXES and sum(map(len, self._prefixes)) <= _MOST_PREFIX_BYTES
        self._asks_for = self._prefixes if few else ()
        self._start = start
        self._quiet_s, self._answer_s, self._start_s = quiet_s, answer_s, start_s
        self._given_up_at = None if start_s is None else now + start_s
        self._tags = itertools.count(1)
        self._epoch, self._next = b"", 0
        self._events: deque[tuple[Event, Position]] = deque()
        self._actions: deque[Action] = deque()
        self._handed_out: Position | None = None
        # The number of the last live message, and the newest one that is ahead of what is due.
        self._seen: int | None = None
        self._newest: Message | None = None
        self._asked: _Asked | None = None
        self._unanswered = 0
        self._quiet_at = now
        self._ask_head(now)

    @property
    def started(self) -> bool:
        """Whether it knows where to begin: nothing that is published from now on is missed."""
        return bool(self._epoch)

    @property
    def position(self) -> Position | None:
        """What comes after the last event that was handed out; None before it has started."""
        if self._events:
            return self._handed_out
        return Position(self._epoch, self._next) if self.started else None

    @property
    def has_event(self) -> bool:
        """Whether there is an event to hand out."""
        return bool(self._events)

    @property
    def catching_up(self) -> bool:
        """Whether it fetches messages from the log."""
        return self._asked is not None and self._asked.end is not None

    @property
    def waiting(self) -> bool:
        """Whether an answer is to come."""
        return self._asked is not None

    def take_event(self) -> Event:
        """The next event; only if there is one."""
        event, self._handed_out = self._events.popleft()
        return event

    def actions(self) -> Iterator[Action]:
        """What is to be done with the sockets, each once, in order."""
        while self._actions:
            yield self._actions.popleft()

    def on_live(self, parts: list[bytes], now: float) -> None:
        """A message has come by the subscription.

        :param parts: all its parts, the stamp last.
        :param now: the time.
        """
        number = _stamp(parts)
        # What comes before the start is not wanted yet. What has no stamp is no message of the log, such as the welcome
        # message of an XPUB; a device that has stopped to stamp is found out when it seems quiet.
        if number is None or not self.started:
            return
        back, self._seen = self._seen is not None and number <= self._seen, number
        if number < self._next:
            # What was fetched comes once more. But where numbers go back, the device may have begun anew.
            if back and self._asked is None:
                self._ask_head(now)
            return
        self._quiet_at = now + self._quiet_s
        message = Message(number, parts[:-1])
        if number == self._next and not self.catching_up:
            self._report(message)
        elif self._newest is None or self._newest.number < number:
            self._newest = message
        # An answer that is to come may say that the device has begun anew. It is not asked for twice.
        if self._asked is None:
            self._go_on(now)

    def on_answer(self, frames: Sequence[bytes], now: float) -> None:
        """A message has come from the replay port.

        :param frames: all its parts.
        :param now: the time.
        :raises GaplessError: if there is no way to go on from here. It may be asked again later.
        """
        try:
            answer = wire.read_answer(frames)
        except wire.WireError as error:
            raise GaplessError(f"replay_endpoint: expected the answer of a replay port, got another: {error}") from None
        asked = self._asked
        # An answer without a tag is to a request that was not understood: what we have asked last, if anything.
        if asked is None or (answer.tag != asked.tag and answer.tag):
            return
        self._unanswered = 0
        asked.due = now + self._answer_s
        if isinstance(answer, wire.MessageAnswer):
            if answer.number >= self._next:
                self._on_fetched(Message(answer.number, list(answer.parts)))
        elif isinstance(answer, wire.LostAnswer):
            first, end = max(answer.first, self._next), min(answer.end, asked.end or answer.end)
            if end > first:
                self._report(Lost(first, end))
        else:
            self._asked = None
            self._quiet_at = now + self._quiet_s
            if isinstance(answer, wire.HeadAnswer):
                self._on_head(answer, now)
            elif isinstance(answer, wire.EndAnswer):
                self._next = max(self._next, answer.next)
                self._finish(asked.held, now)
            elif isinstance(answer, wire.EpochAnswer):
                # It does not say whether the new life stamps its messages.
                self._ask_head(now)
            else:
                raise GaplessError(f"replay_endpoint: the replay port refuses to answer: {answer.text}")

    def tick(self, now: float) -> float:
        """Look what is late; only when all that has come was given to `on_live` and `on_answer`.

        :param now: the time.
        :returns: when to look again.
        :raises GaplessError: if no answer has come ever.
        """
        if self._asked is None:
            if now >= self._quiet_at:
                self._ask_head(now)
        elif now >= self._asked.due:
            self._ask_again(self._asked, now)
        due = self._asked.due if self._asked else self._quiet_at
        if self.started or self._given_up_at is None:
            return due
        if now >= self._given_up_at:
            self._given_up_at = now + (self._start_s or 0.0)
            raise GaplessError(
                f"replay_endpoint: expected a relay with --replay-port, got no answer within {self._start_s:g} s"
            )
        return min(due, self._given_up_at)

    def _on_head(self, head: wire.HeadAnswer, now: float) -> None:
        if not head.stamped:
            raise GaplessError("sub_endpoint: expected a relay with --stamp, got one that does not number its messages")
        if not self.started:
            self._begin(head)
        elif head.epoch != self._epoch:
            self._begin_anew(head)
        if head.next > self._next and (self._newest is None or self._newest.number < head.next):
            self._fetch(head.next, None, now)
        else:
            self._go_on(now)

    def _begin(self, head: wire.HeadAnswer) -> None:
        if isinstance(self._start, str):
            epoch, number = head.epoch, head.next if self._start == "now" else head.oldest
        else:
            epoch, number = self._start
        if epoch == head.epoch and number > head.next:
            raise GaplessError(f"start: expected a number up to {head.next}, the next of this epoch, got {number}")
        self._epoch, self._next = epoch, number
        self._handed_out = Position(epoch, number)
        if epoch != head.epoch:
            self._begin_anew(head)

    def _begin_anew(self, head: wire.HeadAnswer) -> None:
        """Go on with the oldest message of a new life of the device."""
        due, self._epoch = self._next, head.epoch
        self._report(Lost(due, head.oldest, epoch_changed=True))
        self._newest = self._seen = None
        if head.oldest < due:
            # Its clock was set back, so that numbers are lower than before. Those of the last life that are still to be
            # read must not be taken for numbers of this one.
            self._actions.append(Renew.SUB)

    def _on_fetched(self, message: Message) -> None:
        if self._asks_for == self._prefixes or message.parts[0].startswith(self._prefixes):
            self._report(message)
        else:
            self._next = message.number + 1

    def _finish(self, held: Message | None, now: float) -> None:
        """All that was asked for has come."""
        if held is not None and held.number == self._next:
            self._report(held)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Fetch what is missing before the newest message that has come live."""
        newest, self._newest = self._newest, None
        if newest is None or newest.number < self._next:
            return
        if newest.number == self._next:
            self._report(newest)
        else:
            self._fetch(newest.number, newest, now)

    def _report(self, event: Event) -> None:
        self._next = event.end if isinstance(event, Lost) else event.number + 1
        self._events.append((event, Position(self._epoch, self._next)))

    def _ask_again(self, asked: _Asked, now: float) -> None:
        """Ask over a new connection; what has come of the answer up to now is not asked for again."""
        self._unanswered += 1
        self._actions.append(Renew.REPLAY)
        if asked.end is None:
            self._ask_head(now)
        elif asked.end > self._next:
            self._fetch(asked.end, asked.held, now)
        else:
            self._asked = None
            self._finish(asked.held, now)

    def _ask_head(self, now: float) -> None:
        tag = self._new_tag()
        self._ask(wire.Head(tag), _Asked(tag, None, None, now + self._wait_s()))

    def _fetch(self, end: int, held: Message | None, now: float) -> None:
        tag = self._new_tag()
        request = wire.Fetch(tag, self._epoch, self._next, end - 1, self._asks_for)
        self._ask(request, _Asked(tag, end, held, now + self._wait_s()))

    def _ask(self, request: wire.Request, asked: _Asked) -> None:
        self._asked = asked
        self._actions.append(request.frames())

    def _new_tag(self) -> bytes:
        return wire.number_bytes(next(self._tags))

    def _wait_s(self) -> float:
        return min(self._answer_s * 2.0 ** min(self._unanswered, 32), max(self._answer_s, LONGEST_WAIT_S))


def _stamp(parts: list[bytes]) -> int | None:
    """The number in the last part; None if it is none."""
    if len(parts) < 2 or len(parts[-1]) != wire.NUMBER_BYTES:
        return None
    number = int.from_bytes(parts[-1], "big")
    return number if number <= wire.LARGEST_NUMBER else None
