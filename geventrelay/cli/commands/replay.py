"""``geventrelay replay``: sends a recording again, with the gaps that there were."""

from __future__ import annotations

import contextlib
import enum
import math
import os
import stat
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.fileobject import FileObject

from ...engine.fair import FairYield
from ...errors import RecordingError, SettingsError, StartError
from ...recording import DamageKind, Reader, Record, RecordFilter
from ...recording.reader import Source
from ...settings.checks import one_of, seconds, text, whole
from ...settings.option import option, read_group
from ..arguments import given_options
from ..command import Command, Options, sections_of
from ..endpoint import read_endpoint
from ..interrupt import until_signal
from ..message_options import FilterOptions
from ..message_sender import Outcome, Sender, SenderType
from ..output import print_stderr, print_stdout

# After so many messages without a gap, other greenlets have their turn.
_MESSAGES_AT_A_TIME = 100

Advance = Callable[[int], None]


class StopReason(enum.Enum):
    """Why a replay ended before the recording did."""

    SIGNAL = "by a signal"
    NO_RECEIVER = "no receiver took messages in time"
    LINGERING = "peers had not taken everything yet"


def _sender_type(name: str, value: Any) -> Any:
    return one_of(SenderType)(name, value.upper() if isinstance(value, str) else value)


def _speed(name: str, value: Any) -> float:
    if value == "max":
        return math.inf
    try:
        speed = float(value)
    except (TypeError, ValueError):
        speed = math.nan
    if not 0 < speed < math.inf:
        raise SettingsError(name, "a number above 0, or max", value)
    return speed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions(FilterOptions):
    """The options of ``geventrelay replay``."""

    title = "Replaying"

    target: str = option(
        text, "where to send; it connects, or binds with @ before the endpoint", name="to", metavar="ENDPOINT"
    )
    type: SenderType = option(
        _sender_type, "what to send with: PUB, PUSH, DEALER or PAIR", default=SenderType.PUB, metavar="TYPE"
    )
    speed: float = option(
        _speed,
        "divides the gaps: 1 is as it was, 10 is ten times as fast, max is without gaps",
        default=1.0,
        metavar="FACTOR",
    )
    skip_parts: int = option(
        whole(0),
        "leave out the first N parts of each message, e.g. the routing id that a ROUTER put there",
        default=0,
        metavar="N",
    )
    timeout_s: float | None = option(seconds, "how long to wait for a receiver", default=None, unset="no limit")


def execute(options: Options) -> int:
    """Replay the recording that `options` name; the exit code. Yields meanwhile."""
    chosen = read_group(ReplayOptions, given_options(options))
    path, endpoint = options["FILE"], read_endpoint("--to", chosen.target)
    wanted, keys = chosen.filter, chosen.socket_options()
    try:
        with _opened(path) as (file, nbytes):
            reader = Reader(file)
            counted, shown = _Counted(wanted), _with_progress(reader, nbytes)
            sender, began = Sender(chosen.type, endpoint, chosen.timeout_s, keys), time.monotonic()
            with contextlib.closing(shown):
                outcomes, stop_reason = _replay(_paced(filter(counted, shown), chosen.speed), sender, chosen.skip_parts)
            if not sender.close(hastily=stop_reason is not None):
                stop_reason = stop_reason or StopReason.LINGERING
            # On to the end of the file, so that what was not sent is counted too. A pipe may have no end.
            total = counted.number + (0 if nbytes is None else sum(1 for _ in filter(counted.chosen, reader)))
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}") from None
    except RecordingError as error:
        raise RecordingError(f"cannot replay {path}: {error}") from None
    outcomes[Outcome.NOT_SENT] = total - sum(outcomes.values())
    counts = " ".join(f"{outcome.value}={count}" for outcome, count in outcomes.items())
    print_stdout(f"replayed {counts} seconds={time.monotonic() - began:.1f}")
    if stop_reason is not None:
        print_stderr(f"ended early: {stop_reason.value}")
    if reader.damage is not None:
        print_stderr(f"{path}: {reader.damage}")
    # Where the end is missing, all that is there was sent. Behind a corrupt record there may be more.
    return 1 if stop_reason or (reader.damage and reader.damage.kind is DamageKind.CORRUPT) else 0


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[Source, int | None]]:
    """The file at `path` and its size; None for a pipe or another file that has none."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            yield file, status.st_size
        else:
            # Its writer may take its time: while it is waited for, signals have to be heard.
            with FileObject(file.fileno(), "rb", buffering=0, close=False) as waiting:
                yield waiting, None


class _Counted:
    """A filter that counts the records that it takes."""

    def __init__(self, chosen: RecordFilter) -> None:
        self.chosen, self.number = chosen, 0

    def __call__(self, record: Record) -> bool:
        taken = self.chosen(record)
        self.number += taken
        return taken


def _replay(records: Iterator[Record], sender: Sender, skip: int) -> tuple[dict[Outcome, int], StopReason | None]:
    """Send `records`. Returns how many had each outcome, and why it ended early, if it did."""
    outcomes = dict.fromkeys(Outcome, 0)
    with until_signal():
        for record in records:
            parts = record.parts[skip:]
            outcome = sender.send(parts) if parts else Outcome.TOO_SHORT
            if outcome is Outcome.NOT_SENT:
                return outcomes, StopReason.NO_RECEIVER
            outcomes[outcome] += 1
        return outcomes, None
    return outcomes, StopReason.SIGNAL


def _paced(records: Iterator[Record], speed: float) -> Iterator[Record]:
    """Give out `records` when they are due, by the clock since the start, so that delays do not add up."""
    start, elapsed_s, before_ns = None, 0.0, None
    with FairYield() as turn:
        for number, record in enumerate(records):
            start = time.monotonic() if start is None else start
            # A clock that was set back changes no gap.
            elapsed_s += 0 if before_ns is None else max(0, record.time_ns - before_ns) / 1e9
            before_ns = record.time_ns
            wait_s = start + elapsed_s / speed - time.monotonic()
            if wait_s > 0:
                gevent.sleep(wait_s)
            elif number % _MESSAGES_AT_A_TIME == 0:
                turn.wait()
            yield record


def _with_progress(reader: Reader, total: int | None) -> Generator[Record, None, None]:
    """The records of `reader`, while standard error shows how far they lie in the file of `total` bytes."""
    with _progress(total) as advance:
        for record in reader:
            yield record
            advance(reader.offset)


@contextlib.contextmanager
def _progress(total: int | None) -> Iterator[Advance]:
    """Give a function to call with the byte that was reached out of `total`, which may be unknown."""
    bar: Any = None
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm  # type: ignore[import-untyped]

            bar = tqdm(total=total, unit="B", unit_scale=True, desc="replay")
    shown = 0

    def advance(at: int) -> None:
        nonlocal shown
        if bar is not None:
            bar.update(at - bar.n)
        elif total and (tenth := 10 * at // total) > shown:
            shown = tenth
            print_stderr(f"replay: {10 * tenth} %")

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()


REPLAY = Command(
    "replay",
    "FILE",
    """\
Sends the messages of a recording again, with the gaps that there were: see docs/tap.rst. It sends only while a receiver
is connected that takes them, and prints at the end what became of the messages.""",
    execute,
    sections_of(ReplayOptions),
)
