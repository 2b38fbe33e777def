"""What waits to be written to one peer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator

from .account import Kept
from .run import Run


class Queue:
    """Runs in their order, of which the first may be written in part.

    :param kept: has what they take, each once.
    :ivar messages: how many wait, one that is written in half among them.
    :ivar nbytes: their bytes, heads of frames among them.
    :ivar beyond: of these messages, how many wait whatever the high-water mark is, and `beyond_bytes` their bytes.
    :ivar on_drop: is called with what is dropped, before that is forgotten: a run, and from where to where in it; None
        for nothing.
    :ivar v1_0: whether they are written as frames of ZMTP 1.0. Change it only where `rewind` has been called.
    """

    __slots__ = (
        "_done", "_kept", "_runs", "_written", "beyond", "beyond_bytes", "messages", "nbytes", "on_drop", "v1_0"
    )  # fmt: skip

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.messages = 0
        self.nbytes = 0
        self.beyond = 0
        self.beyond_bytes = 0
        self.on_drop: Callable[[Run, int, int], None] | None = None
        self.v1_0 = False
        self._runs: deque[Run] = deque()
        # Of the first run: how many messages are through, and how many bytes are written.
        self._done = 0
        self._written = 0

    def put(self, run: Run) -> None:
        """Have `run` wait."""
        self._runs.append(self._held(run))
        self._count(run, len(run.ends), len(run.data))

    @property
    def since(self) -> float | None:
        """When the first message came, by `time.monotonic`; None if there is none."""
        return self._runs[0].at if self._runs else None

    @property
    def unwritten(self) -> int:
        """How many bytes are left of the message that is written in half; 0 if there is none."""
        if not self._runs:
            return 0
        run = self._encoded(self._runs[0])
        return run.ends[self._done] - self._written if self._written > run.start(self._done) else 0

    @property
    def oldest(self) -> float | None:
        """When the first message came, but for one that is written in half; None if there is none."""
        if not self._runs:
            return None
        alone = self._done + 1 == len(self._runs[0].ends)
        if not (alone and self.unwritten):
            return self._runs[0].at
        return self._runs[1].at if len(self._runs) > 1 else None

    def buffers(self, most: int) -> list[memoryview]:
        """What is to be written next, in at most `most` pieces."""
        found: list[memoryview] = []
        for run in self._runs:
            if len(found) == most:
                break
            found.append(memoryview(self._encoded(run).data))
        if self._written:
            found[0] = found[0][self._written :]
        return found

    def advance(self, nbytes: int) -> int:
        """Forget `nbytes` that are written; how many messages that was the end of."""
        before = self.messages
        while nbytes:
            run = self._runs[0]
            encoded = self._encoded(run)
            left = len(encoded.data) - self._written
            if nbytes < left:
                self._written += nbytes
                done = bisect_right(encoded.ends, self._written, self._done)
                self._forget(run, done)
                self._done = done
                break
            nbytes -= left
            self._pop()
        return before - self.messages

    def rewind(self) -> None:
        """Have a message that is written in half be written from its beginning."""
        self._written = self._encoded(self._runs[0]).start(self._done) if self._runs else 0

    def begin(self) -> None:
        """Have the first message be one that is written in half, also where it is not known how far: until `rewind`."""
        self._written = self._encoded(self._runs[0]).start(self._done) + 1

    def from_first(self) -> Iterator[bytes]:
        """Each message that waits, from its beginning."""
        first = self._done
        for run in self._runs:
            for index in range(first, len(run.ends)):
                yield run.data[run.start(index) : run.ends[index]]
            first = 0

    def change_encoding(self, *, v1_0: bool) -> None:
        """Have what waits be written as frames of ZMTP 1.0, or no more; a half-written message from its beginning."""
        self.v1_0 = v1_0
        self.rewind()

    def drop_oldest(self, most: int) -> int:
        """Forget the oldest `most` messages, but not one that is written in half, nor what waits beyond; how many."""
        half = self._take_half()
        before = self.messages
        while before - self.messages < most and (index := self._first_to_drop()) is not None:
            left = most - (before - self.messages)
            if index:
                self._cut(index, left)
            else:
                self._advance_to(self._runs[0], self._done + left)
        dropped = before - self.messages
        self._put_back(half)
        return dropped

    def drop_to(self, nbytes: int) -> int:
        """Forget the oldest until `nbytes` wait, but not a message written in half; how many messages."""
        half = self._take_half()
        before = self.messages
        while self._runs and self.nbytes > nbytes:
            run = self._runs[0]
            last = run.start(self._done) + self.nbytes - nbytes
            self._advance_to(run, bisect_left(run.ends, last, self._done) + 1)
        dropped = before - self.messages
        self._put_back(half)
        return dropped

    def drop_older(self, than: float) -> int:
        """Forget what came before the time `than`, but not a message written in half; how many messages."""
        half = self._take_half()
        before = self.messages
        while self._runs and self._runs[0].at < than:
            self._advance_to(self._runs[0], len(self._runs[0].ends))
        dropped = before - self.messages
        self._put_back(half)
        return dropped

    def clear(self) -> int:
        """Forget everything; how many messages that were."""
        dropped = self.messages
        for index, run in enumerate(self._runs):
            self._tell(run, 0 if index else self._done, len(run.ends))
            self._let_go(run)
        self._runs.clear()
        self._done = self._written = self.messages = self.nbytes = self.beyond = self.beyond_bytes = 0
        return dropped

    def _tell(self, run: Run, first: int, last: int) -> None:
        """The messages of a `run` from `first` to `last` are dropped."""
        if self.on_drop is not None:
            self.on_drop(run, first, last)

    def _held(self, run: Run) -> Run:
        run.holders += 1
        if run.holders == 1:
            self._kept.used_bytes += run.memory_bytes
        return run

    def _let_go(self, run: Run) -> None:
        run.holders -= 1
        if not run.holders:
            self._kept.used_bytes -= run.memory_bytes

    def _encoded(self, run: Run) -> Run:
        return run.as_v1_0() if self.v1_0 else run

    def _forget(self, run: Run, done: int) -> None:
        """Count the messages of the first `run` up to `done` as gone."""
        self._count(run, self._done - done, run.start(self._done) - run.start(done))

    def _count(self, run: Run, messages: int, nbytes: int) -> None:
        """Count `messages` and `nbytes` more of a `run`."""
        self.messages += messages
        self.nbytes += nbytes
        if run.beyond:
            self.beyond += messages
            self.beyond_bytes += nbytes

    def _first_to_drop(self) -> int | None:
        """The place of the first run that does not wait beyond the high-water mark; None if there is none.

        No message is written in half.
        """
        left = self.messages - self.beyond
        if self.beyond <= left:
            return next((index for index, run in enumerate(self._runs) if not run.beyond), None)
        # Many last values may stand before few of the others: these are looked for from the end.
        index = len(self._runs)
        while left > 0:
            index -= 1
            if not self._runs[index].beyond:
                left -= len(self._runs[index].ends)
        return index if index < len(self._runs) else None

    def _cut(self, index: int, most: int) -> None:
        """Drop up to `most` messages at the beginning of a run that is not the first one."""
        run = self._runs[index]
        done = min(most, len(run.ends))
        self._tell(run, 0, done)
        self._count(run, -done, -run.start(done))
        if done == len(run.ends):
            del self._runs[index]
        else:
            self._runs[index] = self._held(run.piece(done, len(run.ends)))
        self._let_go(run)

    def _advance_to(self, run: Run, done: int) -> None:
        """Drop the messages of the first `run` up to `done`; all if it has no more."""
        self._tell(run, self._done, min(done, len(run.ends)))
        if done >= len(run.ends):
            self._pop()
        else:
            self._forget(run, done)
            self._done, self._written = done, self._encoded(run).start(done)

    def _pop(self) -> None:
        """Forget the first run."""
        run = self._runs.popleft()
        self._let_go(run)
        self._forget(run, len(run.ends))
        self._done = self._written = 0

    def _take_half(self) -> tuple[Run, int] | None:
        """Take the message that is written in half out, with how much of it is written."""
        if not self.unwritten:
            return None
        run, index = self._runs[0], self._done
        written = self._written - self._encoded(run).start(index)
        half = run.piece(index, index + 1)
        self._forget(run, index + 1)
        self._done = index + 1
        self._written = self._encoded(run).start(self._done)
        if self._done == len(run.ends):
            self._let_go(self._runs.popleft())
            self._done = self._written = 0
        return half, written

    def _put_back(self, half: tuple[Run, int] | None) -> None:
        if half is None:
            return
        if self._done:
            # What is left of a run that is not the first any more.
            run = self._runs.popleft()
            self._runs.appendleft(self._held(run.piece(self._done, len(run.ends))))
            self._let_go(run)
        run, written = half
        self._runs.appendleft(self._held(run))
        self._done, self._written = 0, written
        self._count(run, 1, len(run.data))
