"""All that was published of late, which can be read again by number: a log, in blocks."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from ..contract import LogPlan, LogState
from .run import Run, frame_body

if TYPE_CHECKING:
    from .side import Side

_BLOCK_BYTES = 64 << 10
_EMPTY_BLOCK_BYTES = 500
_ENTRY_BYTES = 16
"""What a message takes beside its frames: where it ends, and when it came."""
_MOST_READ_BYTES = 1 << 20
_LOOKED_AT_A_TIME = 256
_FORGOTTEN_AT_A_TIME = 100


class _Block:
    """Consecutive messages, one behind the other. It goes when all of them are forgotten.

    :param first: the number of the first one.
    :ivar data: their frames, of ZMTP 2.0 and later.
    :ivar ends: where each ends in `data`.
    :ivar times: when each came, by `time.monotonic`.
    """

    __slots__ = ("data", "ends", "first", "times")

    def __init__(self, first: int) -> None:
        self.first = first
        self.data = bytearray()
        self.ends = array("Q")
        self.times = array("d")

    @property
    def next(self) -> int:
        """The number behind the last one."""
        return self.first + len(self.ends)

    @property
    def memory_bytes(self) -> int:
        """How much memory it takes, about."""
        return _EMPTY_BLOCK_BYTES + len(self.data) + _ENTRY_BYTES * len(self.ends)

    def append(self, run: Run) -> None:
        """Take in the messages of `run`."""
        base = len(self.data)
        self.data += run.data
        self.ends.extend([base + end for end in run.ends] if base else run.ends)
        self.times.extend(array("d", [run.at]) * len(run.ends))

    def start(self, number: int) -> int:
        """Where in `data` the message with a `number` begins, or the last one ends."""
        index = number - self.first
        return self.ends[index - 1] if index else 0

    def begins_with(self, number: int, prefixes: tuple[bytes, ...]) -> bool:
        """Whether the first part of the message with a `number` begins with one of `prefixes`."""
        return self.data.startswith(prefixes, *frame_body(self.data, self.start(number)))

    def parts_of(self, number: int) -> list[bytes]:
        """The parts of the message with a `number`."""
        at, end, found = self.start(number), self.start(number + 1), []
        with memoryview(self.data) as view:
            while at < end:
                body, at = frame_body(self.data, at)
                found.append(bytes(view[body:at]))
        return found


class Log:
    """What one side keeps of what it has published.

    :param side: the side, whose plan says what that is.
    :ivar oldest: the number of the oldest message that is kept; `next` if there is none.
    :ivar next: the number of the next message.
    :ivar nbytes: of all messages that are kept, heads of frames among them.
    """

    def __init__(self, side: Side) -> None:
        self._side = side
        self._account, self._kept = side.core.account, side.core.kept
        self.oldest = self.next = self.plan.first
        self.nbytes = 0
        self._for_memory = 0
        # The blocks, of which those before the head are gone; and the number of the first message of each.
        self._blocks: list[_Block | None] = []
        self._firsts: list[int] = []
        self._head = 0

    @property
    def plan(self) -> LogPlan:
        """What is kept; it may be replaced with the side's."""
        plan = self._side.plan.log
        assert plan is not None
        return plan

    def state(self) -> LogState:
        """See `geventrelay.switch.contract.Side.log_state`."""
        self._forget_old(time.monotonic())
        return LogState(self.oldest, self.next, self.nbytes, self._for_memory)

    def append(self, run: Run) -> None:
        """Take in a `run` that is published."""
        plan, half = self.plan, self._account.most_kept_bytes
        self._put(run)
        if half < plan.nbytes:
            # Which of the oldest its own limits would have, and which have to go for want of memory, shows only if one
            # message comes after the other.
            self._append_one_by_one(run, plan, half)
            return
        self.next += len(run.ends)
        self.nbytes += len(run.data)
        self._forget_for_plan(plan, run.at)

    def forget_to(self, nbytes: int) -> None:
        """Forget the oldest for want of memory, until `nbytes` are kept."""
        if self.nbytes > nbytes:
            before = self.oldest
            self._forget_bytes(nbytes)
            self._for_memory += self.oldest - before

    def forget_some(self) -> bool:
        """Forget a few blocks without counting them; whether more are left."""
        last = min(self._head + _FORGOTTEN_AT_A_TIME, len(self._blocks))
        self._forget_before(self._block(last - 1).next if last > self._head else self.next)
        return self._head < len(self._blocks)

    def read(
        self, first: int, last: int, prefixes: tuple[bytes, ...], most: int, until: float
    ) -> tuple[list[tuple[int, list[bytes]]], int]:
        """See `contract.Side.logged`, and there of `first`, `last`, `prefixes`, `most` and `until`."""
        self._forget_old(time.monotonic())
        found: list[tuple[int, list[bytes]]] = []
        nbytes, number, end = 0, max(first, self.oldest), min(last + 1, self.next)
        look_at_clock = number + _LOOKED_AT_A_TIME
        index = bisect_right(self._firsts, number, self._head) - 1
        while number < end and len(found) < most:
            if number == look_at_clock:
                if time.monotonic() >= until:
                    break
                look_at_clock += _LOOKED_AT_A_TIME
            block = self._block(index)
            if not prefixes or block.begins_with(number, prefixes):
                nbytes += block.start(number + 1) - block.start(number)
                if found and nbytes > _MOST_READ_BYTES:
                    break
                found.append((number, block.parts_of(number)))
            number += 1
            index += number == block.next
        return found, number

    def _append_one_by_one(self, run: Run, plan: LogPlan, half: int) -> None:
        before = 0
        for end in run.ends:
            self.next += 1
            self.nbytes += end - before
            before = end
            self._forget_for_plan(plan, run.at)
            self.forget_to(half)

    def _put(self, run: Run) -> None:
        """Have the frames of `run` stand in blocks. They count as kept once `next` and `nbytes` say so."""
        if len(run.data) <= _BLOCK_BYTES:
            self._put_in_block(run, self.next)
            return
        # A large message is not to stay for the small ones beside it.
        for index in range(len(run.ends)):
            self._put_in_block(run.piece(index, index + 1), self.next + index)

    def _put_in_block(self, run: Run, number: int) -> None:
        block = self._blocks[-1] if self._head < len(self._blocks) else None
        if block is None or len(block.data) + len(run.data) > _BLOCK_BYTES:
            block = _Block(number)
            self._blocks.append(block)
            self._firsts.append(number)
        else:
            self._kept.store(-block.memory_bytes)
        block.append(run)
        self._kept.store(block.memory_bytes)

    def _forget_for_plan(self, plan: LogPlan, now: float) -> None:
        if plan.messages:
            self._forget_before(self.next - plan.messages)
        if self.nbytes > plan.nbytes:
            self._forget_bytes(plan.nbytes)
        self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        """Forget what is too old at the time `now`."""
        age_s = self.plan.max_age_s
        while age_s and self.oldest < self.next:
            block = self._block(self._head)
            index = bisect_left(block.times, now - age_s, self.oldest - block.first)
            young = block.first + index
            self._forget_before(min(young, self.next))
            if index < len(block.times):
                break

    def _forget_bytes(self, nbytes: int) -> None:
        """Forget the oldest until no more than `nbytes` are kept."""
        while self.nbytes > nbytes:
            block = self._block(self._head)
            until = block.start(self.oldest) + self.nbytes - nbytes
            index = bisect_left(block.ends, until, self.oldest - block.first)
            self._forget_before(min(block.first + index + 1, block.next))

    def _forget_before(self, number: int) -> None:
        """Forget the messages before the one with a `number`."""
        while self.oldest < number:
            block = self._block(self._head)
            end = min(number, block.next)
            self.nbytes -= block.start(end) - block.start(self.oldest)
            self.oldest = end
            if end == block.next:
                self._let_go(block)

    def _let_go(self, block: _Block) -> None:
        """Forget the first `block`, of which nothing is kept any more."""
        self._kept.store(-block.memory_bytes)
        self._blocks[self._head] = None
        self._head += 1
        # Taken out of the lists seldom, as all behind them has to move.
        if self._head > len(self._blocks) // 2:
            del self._blocks[: self._head], self._firsts[: self._head]
            self._head = 0

    def _block(self, index: int) -> _Block:
        block = self._blocks[index]
        assert block is not None  # the head is behind those that are gone
        return block
