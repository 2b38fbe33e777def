"""``geventrelay replay``: sends a recording again, with the gaps that there were."""

from __future__ import annotations

import contextlib
import enum
import math
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import gevent

from ...engine.fair import FairYield
from ...errors import RecordingError, SettingsError, StartError
from ...recording import DamageKind, Reader, Record, RecordFilter
from ...settings.checks import one_of, seconds, whole
from ..arguments import Options, given_options
from ..endpoint import read_endpoint
from ..interrupt import until_signal
from ..message_sender import Outcome, Sender, SenderType
from ..message_source import choice
from ..process import print_stdout

# How often, at the least, others have their turn while messages go out without a gap.
_MESSAGES_AT_A_TIME = 100

Advance = Callable[[int], None]


class StopReason(enum.Enum):
    """Why a replay ended before the recording did."""

    INTERRUPTED = "told to end"
    NO_RECEIVER = "nobody took messages in time"
    LINGERING = "peers had not taken everything yet"


def execute(options: Options) -> int:
    """Replay the recording that `options` name; the exit code. Yields all the while."""
    words = given_options(options)
    path, endpoint = options["FILE"], read_endpoint("--to", options["--to"])
    kind = one_of(SenderType)("--type", words.get("--type", "PUB").upper())
    skip, speed = whole(0)("--skip-parts", words.get("--skip-parts", 0)), _speed(words.get("--speed", "1"))
    limit_s = seconds("--timeout", words["--timeout"]) if "--timeout" in words else None
    chosen = choice(words)
    try:
        with open(path, "rb") as file:
            reader = Reader(file)
            counted, shown = _Counted(chosen), _with_progress(reader, os.fstat(file.fileno()).st_size)
            sender, began = Sender(kind, endpoint, limit_s), time.monotonic()
            with contextlib.closing(shown):
                outcomes, stop_reason = _replay(_paced(filter(counted, shown), speed), sender, skip)
            if not sender.close(hastily=stop_reason is not None):
                stop_reason = stop_reason or StopReason.LINGERING
            # On to the end of the file, so that what was not sent is counted too.
            total = counted.number + sum(1 for _ in filter(counted.chosen, reader))
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}") from None
    except RecordingError as error:
        raise RecordingError(f"cannot replay {path}: {error}") from None
    outcomes[Outcome.NOT_SENT] = total - sum(outcomes.values())
    counts = " ".join(f"{outcome.value}={count}" for outcome, count in outcomes.items())
    print_stdout(f"replayed {counts} seconds={time.monotonic() - began:.1f}")
    if stop_reason is not None:
        print(f"ended early: {stop_reason.value}", file=sys.stderr)
    if reader.damage is not None:
        print(f"{path}: {reader.damage}", file=sys.stderr)
    # Where the end is missing, all that is there was sent; behind a corrupt record there may be more.
    return 1 if stop_reason or (reader.damage and reader.damage.kind is DamageKind.CORRUPT) else 0


class _Counted:
    """A choice that counts what it takes."""

    def __init__(self, chosen: RecordFilter) -> None:
        self.chosen, self.number = chosen, 0

    def __call__(self, record: Record) -> bool:
        taken = self.chosen(record)
        self.number += taken
        return taken


def _replay(records: Iterator[Record], sender: Sender, skip: int) -> tuple[dict[Outcome, int], StopReason | None]:
    """Send `records` and count what became of those of which that is known; why it ended early, if it did."""
    outcomes = dict.fromkeys(Outcome, 0)
    with until_signal():
        for record in records:
            parts = record.parts[skip:]
            outcome = sender.send(parts) if parts else Outcome.TOO_SHORT
            if outcome is Outcome.NOT_SENT:
                return outcomes, StopReason.NO_RECEIVER
            outcomes[outcome] += 1
        return outcomes, None
    return outcomes, StopReason.INTERRUPTED


def _paced(records: Iterator[Record], speed: float) -> Iterator[Record]:
    """Give out `records` when they are due: by the clock since the start, so that lateness does not add up."""
    start, elapsed_s, before_ns = None, 0.0, None
    with FairYield() as turn:
        for number, record in enumerate(records):
            start = time.monotonic() if start is None else start
            # A clock that was set back is no reason to wait, nor to hurry.
            elapsed_s += 0 if before_ns is None else max(0, record.time_ns - before_ns) / 1e9
            before_ns = record.time_ns
            wait_s = start + elapsed_s / speed - time.monotonic()
            if wait_s > 0:
                gevent.sleep(wait_s)
            elif number % _MESSAGES_AT_A_TIME == 0:
                turn.wait()
            yield record


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise SettingsError("--speed", "a number above 0, or max", text)
    return speed


def _with_progress(reader: Reader, total: int) -> Generator[Record, None, None]:
    """The records of `reader`, while standard error shows how far in the file, of `total` bytes, they lie."""
    with _progress(total) as advance:
        for record in reader:
            yield record
            advance(reader.offset)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Advance]:
    """Give a function to call with the byte that has been reached out of `total`."""
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
        elif (tenth := 10 * at // total) > shown:
            shown = tenth
            print(f"replay: {10 * tenth} %", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()
