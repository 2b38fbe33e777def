"""geventrelay: a ZeroMQ relay server.

It stands between programs that talk ZeroMQ, so that each of them needs to know one address only.

Usage:
  geventrelay [relay] --sub-port=PORT [--pub-port=PORT] [--push-port=PORT] [--subscribe=PREFIX]... [options]
  geventrelay (forwarder | queue | streamer) --frontend=ENDPOINT... --backend=ENDPOINT...
              [--subscribe=PREFIX]... [options]
  geventrelay custom --frontend-type=TYPE --frontend=ENDPOINT... --backend-type=TYPE --backend=ENDPOINT...
              [--subscribe=PREFIX]... [options]
  geventrelay ctl ENDPOINT (pause | resume | terminate | statistics) [options]
  geventrelay (-h | --help)
  geventrelay --version

Patterns:
  relay      SUB -> PUB and/or PUSH. Publishers connect a PUB to the sub port. Each message goes whole to every SUB
             at the pub port, and its payload (what follows the topic and a space) to one PULL at the push port.
             Needs --pub-port or --push-port. The default.
  forwarder  XSUB <-> XPUB. Publishers connect to the frontend, subscribers to the backend.
  queue      ROUTER <-> DEALER. REQ clients connect to the frontend, REP workers to the backend.
  streamer   PULL -> PUSH. Tasks come in at the frontend; the workers at the backend share them.
  custom     Any two socket types that can be joined, e.g. PULL -> PUB.

  ctl        Not a pattern: steers a running device through its control endpoint.

Where:
  --sub-port=PORT          where publishers connect
  --pub-port=PORT          where subscribers connect
  --push-port=PORT         where pullers connect
  --frontend=ENDPOINT      where traffic comes in; can be given several times
  --backend=ENDPOINT       where it goes out; can be given several times
  --frontend-type=TYPE     PULL, SUB, XSUB, XPUB, ROUTER, DEALER or PAIR
  --backend-type=TYPE      PUSH, PUB, XPUB, XSUB, ROUTER, DEALER or PAIR
  --interface=HOST         address or network interface that bare ports bind (default: *, which is every one)
  --ipv6                   speak IPv6 too

  An ENDPOINT is tcp://HOST:PORT, ipc://PATH, inproc://NAME or a bare port; port 0 takes a free one. It is bound;
  with > before it, it is connected to: --backend='>tcp://worker:5557' (mind the quotes). @ says that it is bound.
  A PORT may be any ENDPOINT too.

What:
  --subscribe=PREFIX       take only messages that begin with PREFIX; can be given several times. Makes a forwarder
                           SUB -> PUB, so that what it takes does not depend on its subscribers.
  --push-payload=PART      what of a message is its payload (default: auto)
                             space  what follows the first space of the first part, and the other parts
                             parts  all parts but the first
                             whole  the message as it came
                             auto   space for a message of one part, parts for one of several
  --push-when-full=POLICY  when there is no puller, or each has its queue full (default: drop)
                             drop   drop the payload and count why
                             block  wait; the subscribers then wait too, and the publishers' side fills up
  --slow-subscriber=POLICY when a subscriber has its queue full (default: drop)
                             drop   it loses messages, without notice or count: that is how PUB works
                             block  everybody waits for it

Limits:
  --sndhwm=N               messages queued for each peer that receives (default: 10000; 0 is no limit)
  --rcvhwm=N               messages queued from each peer that sends (default: 10000; 0 is no limit)
  --max-message-size=BYTES disconnect a peer that sends a larger part (default: no limit)
  --heartbeat=MS           probe silent tcp connections this often, by TCP keepalive (default: 10000; 0 is never)
  --drain=SECONDS          when stopping, go on moving what has come in for up to this long (default: 1)
  --linger=MS              then wait up to this long for peers to take what is queued for them (default: 1000)
  --io-threads=N           libzmq's io threads (default: 1)

Steering:
  --control=ENDPOINT       where commands come in: PAUSE, RESUME, TERMINATE and STATISTICS, as zmq_proxy_steerable has
                           them (default: nowhere)
  --control-type=TYPE      what socket that is: REP, PAIR, ROUTER, PULL or SUB (default: REP)
  --timeout=SECONDS        ctl: how long to wait for the device (default: 5)
  --json                   ctl: print the answer as JSON

Running:
  --name=NAME              what to call this device in logs (default: the pattern's name)
  --ready-file=PATH        write the bound endpoints there as JSON when all are bound; removed at exit
  --log-level=LEVEL        debug, info, warning or error (default: info)
  -h --help                show this
  --version                show the version

SIGINT, SIGTERM and SIGHUP stop it: it takes in nothing new, moves what is there, prints one line of accounting and
exits with 0; a second signal ends it at once. SIGUSR1 logs the accounting. Exit codes: 0 stopped on request, 1 could
not run, 2 wrong usage or settings.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import logging
import os
import re
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from docopt import DocoptExit, docopt

from ..devices.device import Device
from ..endpoints import Endpoint
from ..engine.burst import burst_name
from ..errors import DeviceFailed, SettingsError, StartError
from ..server.server import Server
from ..settings import PATTERNS, ControlType, DeviceSettings
from ..settings.checks import seconds
from . import ctl

_LOG_LEVELS = ("debug", "info", "warning", "error")
_OPTIONS = tuple(dict.fromkeys(re.findall(r"^  (?:-h )?(--[a-z0-9-]+)", __doc__, re.MULTILINE)))
_PROCESS_OPTIONS = ("--ready-file", "--log-level")
_CTL_OPTIONS = ("--control-type", "--timeout", "--json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    :param argv: the arguments without the program's name; None takes them from ``sys.argv``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parse(arguments)
        if options["ctl"]:
            return _steer(options)
        _set_up_logging(options["--log-level"])
        device = _device(options)
        ready_file = options["--ready-file"]
        if ready_file == "":
            raise SettingsError("--ready-file", "a path", ready_file)
        _raise_descriptor_limit()
        Server(device, ready_file=None if ready_file is None else Path(ready_file)).run()
    except SettingsError as error:
        return _complain(str(error), 2)
    except (StartError, DeviceFailed) as error:
        return _complain(str(error), 1)
    try:
        _print(f"accounting {device.snapshot().accounting()}")
    except StartError as error:
        # It was stopped on request all the same.
        return _complain(str(error), 0)
    return 0


def _parse(arguments: list[str]) -> dict[str, Any]:
    # docopt prints by itself, and minds neither a full disk nor a reader that has gone.
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            parsed: dict[str, Any] = docopt(__doc__, arguments, version=_version())
        return parsed
    except DocoptExit:
        raise _usage_error(arguments) from None
    except SystemExit:
        # --help or --version.
        _print(said.getvalue().rstrip("\n"))
        raise


def _version() -> str:
    try:
        number = version("geventrelay")
    except PackageNotFoundError:
        number = "from a source tree that is not installed"
    return f"geventrelay {number}, {burst_name()} burst"


def _usage_error(arguments: list[str]) -> SettingsError:
    """What is wrong with arguments that docopt did not take; it only says that something is."""
    given = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    for option in given:
        if not any(known.startswith(option) for known in _OPTIONS):
            return SettingsError("usage", "a known option" + _nearest(option, _OPTIONS), option)
    words = [argument for argument in arguments if not argument.startswith("-")]
    if arguments and arguments[0] == "ctl":
        rule = "ctl ENDPOINT (pause | resume | terminate | statistics)"
        return SettingsError("usage", rule, " ".join(arguments))
    if arguments and arguments[:1] == words[:1] and words[0] not in PATTERNS:
        return SettingsError("usage", "a pattern" + _nearest(words[0], PATTERNS), words[0])
    pattern = next((word for word in words if word in PATTERNS), "relay")
    for option in given:
        _check_belongs(option, pattern)
    missing = [option for option in _needed(PATTERNS[pattern]) if not any(_may_mean(one, option) for one in given)]
    rule = (
        f"{pattern} to be given {' and '.join(missing)}" if missing else "each option with its value and nothing else"
    )
    return SettingsError("usage", f"{rule} (see geventrelay --help)", " ".join(arguments))


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {near[0]}?)" if near else " (see geventrelay --help)"


def _needed(cls: type[DeviceSettings]) -> list[str]:
    return [str(field.metadata["option"]) for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]


def _device(options: Mapping[str, Any]) -> Device:
    pattern = next((name for name in PATTERNS if options[name]), "relay")
    cls = PATTERNS[pattern]
    names = {field.metadata["option"]: field.name for field in dataclasses.fields(cls)}
    given = _given(options, pattern)
    try:
        return Device(cls(**{names[option]: value for option, value in given.items() if option in names}))
    except SettingsError as error:
        options_by_name = {name: option for option, name in names.items()}
        raise SettingsError(options_by_name.get(error.name, error.name), error.rule, error.value) from None


def _given(options: Mapping[str, Any], pattern: str) -> dict[str, Any]:
    # docopt gives None, False or an empty list for an option that is not there.
    given = {option: options[option] for option in _OPTIONS if options[option] not in (None, False, [])}
    for option in given:
        _check_belongs(option, pattern)
    return given


def _may_mean(given: str, option: str) -> bool:
    # docopt takes the beginning of an option for the option, unless it is one itself.
    return given == option or (given not in _OPTIONS and len(given) > len("--") and option.startswith(given))


def _check_belongs(option: str, pattern: str) -> None:
    patterns = {
        name: (*(field.metadata["option"] for field in dataclasses.fields(cls)), *_PROCESS_OPTIONS)
        for name, cls in PATTERNS.items()
    } | {"ctl": _CTL_OPTIONS}
    owners = [name for name, known in patterns.items() if any(_may_mean(option, one) for one in known)]
    if pattern not in owners:
        raise SettingsError(option, f"a pattern that has it ({', '.join(owners)})", pattern)


def _steer(options: Mapping[str, Any]) -> int:
    given = _given(options, "ctl")
    word = next(word for word in ("pause", "resume", "terminate", "statistics") if options[word])
    endpoint = _read_peer(options["ENDPOINT"])
    try:
        control_type = ControlType(given.get("--control-type", "REP"))
    except ValueError:
        rule = "one of " + ", ".join(kind.value for kind in ControlType)
        raise SettingsError("--control-type", rule, given["--control-type"]) from None
    timeout_s = seconds("--timeout", given.get("--timeout", 5))
    _print(ctl.show(word, ctl.command(endpoint, control_type, word, timeout_s), options["--json"]))
    return 0


def _read_peer(text: str) -> Endpoint:
    """Where to connect to; a > before it is possible and an @ makes no sense."""
    try:
        return Endpoint.parse(">" + text.removeprefix(">"), name="ENDPOINT")
    except SettingsError as error:
        raise SettingsError("ENDPOINT", error.rule, text) from None


def _set_up_logging(level: str | None) -> None:
    level = "info" if level is None else level
    if level not in _LOG_LEVELS:
        raise SettingsError("--log-level", "one of " + ", ".join(_LOG_LEVELS), level)
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)


def _raise_descriptor_limit() -> None:
    # Each connection takes one. To accept one more than there may be, libzmq tries again and again, at full load.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        # What Python still has buffered must not raise at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StartError(f"cannot write to standard output: {error.strerror}") from None


def _complain(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code
