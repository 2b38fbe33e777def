"""Work that NATS keeps until a worker somewhere has it: what no worker of this device takes is stored there.

::

    device --work_out--> Storing  --packs--> stream of JetStream
    device <--work_in--- Fetching <--packs-- its consumer, which all devices of one name share

Here it is seen that both are there, and made where they are not. A part of an `Exchange`, on its loop; what is asked of
NATS, and asked again, are `Questions`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ...log import event
from ..differing import Differing
from ..nats.link import Link
from ..part import Part, Run
from ..subjects import Subjects
from ..values import BackboneDrop, StoreState
from ..words.word import Word
from ..words.work import Grant, Hungry, Spent
from ..work.working import WorkEnds
from . import jetstream
from .fetching import Fetching
from .holding import Holding
from .jetstream import JetStream
from .questions import Answer, Question, Questions
from .storing import OVERHEAD_BYTES, Storing

log = logging.getLogger("geventrelay")

_ANSWER_S = 2.0
_LOOK_AGAIN_S = 1.0
# A cluster that was just started may not have found all its servers.
_PATIENCE_S = 10.0
# Other programs may answer too.
_LONGEST_REASON = 300


class Durable(Part):
    """The work of one device that NATS keeps.

    To be made in the running loop. Its methods, but for those that are awaited, do not yield.

    :param settings: the device's.
    :param relay: its id.
    :param ends: the device's sockets for work.
    :param link: leads to NATS, and is not connected yet.
    :param wake: has `send_one` called.
    :ivar state: how it stands with the stream.
    :ivar reason: why there is none that can be used; empty if there is one.
    :ivar refused: how often NATS has refused what is needed.
    :ivar replicas: how many servers have each message; 0 while that is not known.
    """

    def __init__(self, settings: Any, relay: bytes, ends: WorkEnds, link: Link, wake: Callable[[], None]) -> None:
        self._device, self._ends, self._link, self._wake = settings.name, ends, link, wake
        subjects = Subjects(settings.backbone_prefix, settings.name)
        self._names = names = JetStream(subjects)
        self._inbox = subjects.answers(relay)
        self._questions = questions = Questions()
        self._storing = storing = Storing(settings, relay, ends.work, names, questions, wake, self._miss)
        self._fetching = Fetching(settings.name, ends.work, names, questions, storing, wake, self._miss)
        self._holding = Holding(names.about_stream, questions)
        self._differing = Differing(settings.name, "kept by NATS")
        self._is_connected = False
        self._looking: Question | None = None
        self._look_at: float | None = None
        self._no_peers_since: float | None = None
        self._logged = ""
        self.state = StoreState.WAITING
        self.reason = ""
        self.refused = self.replicas = 0
        link.expect(self._inbox, self.on_answer)

    def reading(self) -> list[Run]:
        """See `Part.reading`."""
        return [self._storing.read_out(self._ends.out)]

    def running(self) -> list[Run]:
        """See `Part.running`."""
        return [self._fetching.deliver(self._ends.into)]

    def hear(self, word: Word) -> bool:
        """See `Part.hear`, and there of `word`."""
        if isinstance(word, Hungry):
            # It waits for credit, and gets none of this one.
            self._differing.note(word)
        return isinstance(word, (Hungry, Grant, Spent))

    def left(self, relay: bytes) -> None:
        """See `Part.left`, and there of `relay`."""
        self._differing.left(relay)

    def finish(self) -> None:
        """Fetch nothing more, and give back what there is: the device drains."""
        self._fetching.finish()

    def is_drained(self, *, connected: bool) -> bool:
        """Whether nothing waits for the device, and where it is `connected`, all is stored and acknowledged."""
        if not connected:
            return not self._fetching.incoming
        return not self._storing.waiting and self._fetching.drained

    @property
    def has_unsent(self) -> bool:
        """Whether something waits to be stored."""
        return self._storing.waiting > 0

    @property
    def waiting(self) -> int:
        """How many messages are on their way to NATS, which has not said yet that it has them."""
        return self._storing.waiting

    @property
    def waiting_bytes(self) -> int:
        """How long these are."""
        return self._storing.waiting_bytes

    @property
    def incoming(self) -> int:
        """How many messages wait for the device."""
        return self._fetching.incoming

    @property
    def incoming_bytes(self) -> int:
        """How long these are."""
        return self._fetching.incoming_bytes

    @property
    def dropped(self) -> Mapping[BackboneDrop, int]:
        """How many messages were dropped, by reason."""
        return self._storing.dropped

    @property
    def malformed(self) -> int:
        """How many packs were not understood."""
        return self._fetching.malformed

    def values(self) -> dict[str, Any]:
        """What there is to tell of stored work, as `BackboneSnapshot` has it."""
        return {
            "store": self.state,
            "store_states": {state: int(self.state is state) for state in StoreState},
            "store_reason": self.reason,
            "store_replicas": self.replicas,
            "store_waiting": self._storing.waiting,
            "store_packs": self._holding.packs,
            "store_bytes": self._holding.nbytes,
            "store_refused": self.refused,
            "stored": self._storing.stored,
            "store_retries": self._storing.retried,
            "fetched": self._fetching.delivered,
            "redelivered": self._fetching.redelivered,
            "stored_again": self._fetching.returned,
        }

    # What the exchange tells

    def connected(self) -> None:
        """There is a connection: see what there is."""
        self._is_connected = True
        self._look()

    def disconnected(self) -> None:
        """There is none: what has no answer is asked again once there is."""
        self._is_connected = False
        self._close(StoreState.WAITING, "")
        self._forget_look()
        self._questions.disconnected()

    def tick(self) -> None:
        """Ask again what was not answered; to be called several times a second."""
        now = time.monotonic()
        self._questions.tick(now)
        if self._look_at is not None and now >= self._look_at:
            self._look_at = None
            self._look()
        self._fetching.tick(now)
        self._holding.tick(now)
        if self._questions:
            self._wake()

    def on_answer(self, subject: str, data: bytes, reply: str, headers: bytes) -> None:
        """Take in what a server has answered.

        :param subject: names the question, or is where a pack was sent to that is delivered now.
        :param data: the answer, or that pack.
        :param reply: where it is said what becomes of that pack.
        :param headers: as NATS has them in a connection; empty if there are none.
        """
        inbox, _, number = subject.rpartition(".")
        if inbox != self._inbox:
            self._fetching.came(reply, data)
        elif number.isdecimal():
            self._questions.answer(int(number), Answer.of(data, headers))
            self._fetching.settle()

    async def send_one(self, link: Link) -> bool:
        """Send what is asked next over `link`; whether there may be more."""
        question = self._questions.take()
        if question is None:
            return False
        if len(question.data) + OVERHEAD_BYTES > link.max_payload and question.answered is not None:
            # Another server may take less than the one that it was made for.
            self._questions.answer(question.number, _TOO_LARGE)
            return True
        reply = "" if question.answered is None else f"{self._inbox}.{question.number}"
        if not await link.publish(question.subject, question.data, reply, question.headers):
            return False
        self._questions.sent(question, time.monotonic())
        return True

    def left_over(self) -> list[tuple[str, bytes]]:
        """What to say where at the end, so that another device gets what this one has fetched."""
        return self._fetching.left_over()

    def drop_all(self) -> None:
        """Drop what waits, and do nothing more: the device stops."""
        self._fetching.end()
        self._storing.drop_all()

    # The stream and its consumer

    def _look(self) -> None:
        """See whether the stream is there."""
        if self._looking is None and self._is_connected:
            self._ask(self._names.about_stream, b"", self._on_stream)

    def _miss(self) -> None:
        """Either may be gone: see."""
        if self._look_at is None:
            self._look_at = time.monotonic() + _LOOK_AGAIN_S

    def _ask(self, subject: str, data: bytes, then: Callable[[dict[str, Any], int, str], None]) -> None:
        def answered(answer: Answer) -> None:
            self._looking = None
            then(*jetstream.result_of(answer))

        self._looking = self._questions.ask(subject, data, answered, _ANSWER_S)
        self._wake()

    def _forget_look(self) -> None:
        if self._looking is not None:
            self._questions.drop(self._looking)
        self._looking = self._look_at = None

    def _on_stream(self, said: dict[str, Any], code: int, reason: str) -> None:
        if code == jetstream.STREAM_NOT_FOUND:
            self._create(jetstream.MOST_REPLICAS)
            return
        config = jetstream.config_of(said)
        reason = reason if code else self._names.why_no_stream(config)
        if reason:
            self._refuse(reason)
            return
        self.replicas = jetstream.replicas(config)
        self._holding.hear(said)
        self._ask(self._names.about_consumer, b"", self._on_consumer)

    def _create(self, replicas: int) -> None:
        def answered(said: dict[str, Any], code: int, reason: str) -> None:
            now = time.monotonic()
            if code == jetstream.NO_PEERS and self._no_peers_since is None:
                self._no_peers_since = now
            is_alone = code == jetstream.NOT_CLUSTERED or (
                code == jetstream.NO_PEERS and now - (self._no_peers_since or now) >= _PATIENCE_S
            )
            if replicas > 1 and is_alone:
                self._create(1)
            elif code and code != jetstream.NAME_IN_USE:
                self._refuse(reason)
            else:
                # Another device may have made it meanwhile, otherwise.
                self._look()

        self._ask(*self._names.create_stream(replicas), answered)

    def _on_consumer(self, said: dict[str, Any], code: int, reason: str) -> None:
        if code == jetstream.CONSUMER_NOT_FOUND:
            self._ask(*self._names.create_consumer(), self._on_created)
            return
        config = jetstream.config_of(said)
        reason = reason if code else self._names.why_no_consumer(config)
        if reason:
            self._refuse(reason)
        else:
            self._open(jetstream.ack_wait_s(config))

    def _on_created(self, said: dict[str, Any], code: int, reason: str) -> None:
        if code:
            self._refuse(reason)
        else:
            self._open(jetstream.ack_wait_s(jetstream.config_of(said)))

    def _open(self, ack_wait_s: float) -> None:
        if self.state is not StoreState.STORING:
            log.info(
                event(
                    "backbone-stores",
                    device=self._device,
                    stream=self._names.stream,
                    replicas=self.replicas,
                )
            )
        self.state, self.reason, self._logged, self._no_peers_since = StoreState.STORING, "", "", None
        self._storing.open(self._link.max_payload)
        self._fetching.open(ack_wait_s)
        self._holding.open(time.monotonic())

    def _refuse(self, reason: str) -> None:
        """It cannot be used, for that `reason`, which is logged once; look again later."""
        reason = reason[:_LONGEST_REASON]
        self.refused += 1
        self._close(StoreState.REFUSED, reason)
        if reason != self._logged:
            self._logged = reason
            log.warning(event("backbone-refused", device=self._device, reason=reason))
        self._look_at = time.monotonic() + _LOOK_AGAIN_S

    def _close(self, state: StoreState, reason: str) -> None:
        self.state, self.reason = state, reason
        self._storing.close()
        self._fetching.close()
        self._holding.close()


_TOO_LARGE = Answer(json.dumps({"error": {"err_code": jetstream.TOO_LARGE}}).encode())
