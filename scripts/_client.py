"""What the client programs share: their options, payloads, output, and how they end.

Import this before zmq: where pyzmq is missing, it starts the program again in the .venv that
scripts/quickstart made.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

try:
    import zmq
    import zmq.auth
    from docopt import DocoptExit, docopt
except ImportError:
    VENV = Path(__file__).resolve().parent.parent / ".venv"
    if not (VENV / "bin" / "python").exists() or Path(sys.prefix) == VENV:
        sys.exit("pyzmq and docopt-ng are not installed; run scripts/quickstart once, it makes .venv with both")
    os.execv(str(VENV / "bin" / "python"), [str(VENV / "bin" / "python"), *sys.argv])

NUMBERS = {  # option: (type, smallest value)
    "--count": (int, 1),
    "--linger": (int, 0),
    "--rate": (float, 0.001),
    "--timeout": (float, 0),
    "--wait": (float, 0),
}
PATIENCE = 1.0  # seconds
LARGEST = 2**31 - 1  # what libzmq's options hold


class UsageError(Exception):
    """What was asked for makes no sense; the text is one line that names the input and the rule."""


class GaveUp(Exception):
    """It could not be done, or not in time; the text is one line."""


def run(main: Callable[[dict[str, Any]], None], doc: str) -> None:
    """Run `main(options)` and end the program: 0 fine, 1 could not, 2 usage; never with a traceback."""
    program = Path(sys.argv[0]).name
    options: dict[str, Any] = {}
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = read_options(doc)
        main(options)
    except UsageError as error:
        end(2, f"{program}: {error}")
    except GaveUp as error:
        end(1, f"{program}: {error}")
    except zmq.ZMQError as error:
        end(1, f"{program}: {zmq.strerror(error.errno or 0)}")
    except BrokenPipeError:
        # The interpreter flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        end(1, f"{program}: standard output was closed")
    except KeyboardInterrupt:
        # Ctrl-C is how a receiver without --count is meant to end; everything else was cut short.
        endless = "MESSAGE" not in options and options.get("--count", 1) is None
        end(0 if endless else 1, f"{program}: interrupted")


def end(status: int, line: str) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(status)


def read_options(doc: str) -> dict[str, Any]:
    """Parse the command line by the help text, and turn the numbers into numbers."""
    try:
        options = dict(docopt(doc))
    except DocoptExit as error:
        raise UsageError(f"'{' '.join(sys.argv[1:])}' does not fit {error.usage.strip()}") from None
    # docopt knows the divider only right before the first MESSAGE.
    if "--" in options.get("MESSAGE", []) and not options["--"]:
        options["MESSAGE"].remove("--")
    for name, (kind, smallest) in NUMBERS.items():
        if options.get(name) is not None:
            options[name] = read_number(name, options[name], kind, smallest)
    return options


def read_number(name: str, text: str, kind: Callable[[str], Any], smallest: float) -> Any:
    rule = f"{'an integer' if kind is int else 'a number'} from {smallest} to {LARGEST}"
    try:
        number = kind(text)
    except ValueError:
        raise UsageError(f"{name}: expected {rule}, got {text}") from None
    if not smallest <= number <= LARGEST:
        raise UsageError(f"{name}: expected {rule}, got {text}")
    return number


def attach(socket: zmq.Socket[bytes], options: dict[str, Any]) -> None:
    """Connect the socket to ENDPOINT, or bind it where an @ stands before it.

    A bare port is local; tcp:// may be left away before HOST:PORT.
    """
    verb, endpoint = read_endpoint(options["ENDPOINT"])
    # With it, libzmq asks for IPv6 addresses of names too, and takes only these.
    socket.ipv6 = endpoint.startswith("tcp://[")
    socket.linger = options.get("--linger", 0)
    show_keys(socket, options)
    try:
        getattr(socket, verb)(endpoint)
    except zmq.ZMQError as error:
        line = f"cannot {verb} {endpoint}: {zmq.strerror(error.errno or 0)}"
        malformed = error.errno in (zmq.EINVAL, zmq.EPROTONOSUPPORT)
        raise (UsageError if malformed else GaveUp)(line) from None
    if verb == "bind" and endpoint.endswith((":0", ":*")):
        print(f"bound to {socket.getsockopt_string(zmq.LAST_ENDPOINT)}", file=sys.stderr, flush=True)


def read_endpoint(text: str) -> tuple[str, str]:
    """Whether to bind or to connect, and the endpoint as libzmq takes it."""
    verb = "bind" if text.startswith("@") else "connect"
    endpoint = text.removeprefix("@").removeprefix(">")
    if endpoint.isdigit():
        endpoint = f"tcp://127.0.0.1:{endpoint}"
    elif "://" not in endpoint and ":" in endpoint:
        endpoint = f"tcp://{endpoint}"
    port = endpoint.rpartition(":")[2]
    # libzmq would take such a port and never reach a peer.
    if endpoint.startswith("tcp:") and port.isdecimal() and not (verb == "connect") <= int(port) <= 65535:
        raise UsageError(f"cannot {verb} {endpoint}: expected a port from {int(verb == 'connect')} to 65535")
    return verb, endpoint


def show_keys(socket: zmq.Socket[bytes], options: dict[str, Any]) -> None:
    """Have the socket speak CURVE, where the files of its keys are given."""
    for name, key in keys_of(options).items():
        setattr(socket, name, key)


def keys_of(options: dict[str, Any]) -> dict[str, bytes]:
    """ZeroMQ's options of CURVE, from the files of keys; none where no files are given."""
    secret, server = options["--curve-secret"], options["--curve-serverkey"]
    for name, file, beside in (("--curve-secret", secret, server), ("--curve-serverkey", server, secret)):
        if file is not None and beside is None:
            raise UsageError(f"{name}: expected --curve-secret and --curve-serverkey, both or none, got {file}")
    if secret is None:
        return {}
    public, own = read_keys("--curve-secret", secret)
    return {
        "curve_publickey": public, "curve_secretkey": own, "curve_serverkey": read_keys("--curve-serverkey", server)[0]
    }  # fmt: skip


def read_keys(name: str, file: str) -> tuple[bytes, bytes]:
    """The public and the secret key in a file that geventrelay keygen has made."""
    try:
        public, secret = zmq.auth.load_certificate(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: expected a file with keys, got {file} ({error})") from None
    if secret is None and name == "--curve-secret":
        raise UsageError(f"{name}: expected a file with a secret key, got {file}")
    return public, secret or b""


def payloads(options: dict[str, Any]) -> Iterator[bytes]:
    """Yield what to send: each MESSAGE, over and over up to --count, or else each line of standard input."""
    if options["MESSAGE"]:
        texts = [os.fsencode(text) for text in options["MESSAGE"]]
        total = options["--count"] or len(texts)
        source: Iterable[bytes] = itertools.islice(itertools.cycle(texts), total)
    else:
        total = options["--count"]
        source = itertools.islice((line.rstrip(b"\r\n") for line in sys.stdin.buffer), total)
    with progress(total) as advance:
        for number, payload in enumerate(source):
            if options["--json"]:
                check_json(number + 1, payload)
            pace(number, options["--rate"])
            yield payload
            advance()


def check_json(number: int, payload: bytes) -> None:
    try:
        json.loads(payload)
    except ValueError as error:
        raise UsageError(f"message {number} is not JSON: {error}") from None


began = time.monotonic()


def pace(number: int, rate: float | None) -> None:
    """Wait until message `number` is due; by the clock since the start, so that lateness does not add up."""
    if rate:
        time.sleep(max(0, began + number / rate - time.monotonic()))


@contextlib.contextmanager
def progress(total: int | None, unit: str = " messages") -> Iterator[Callable[..., object]]:
    """Give a function to call after each message, or with how many; it draws a bar if there are tqdm and a terminal.

    `unit` is what is counted; it begins with a space.
    """
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        yield lambda count=1: None
        return
    with tqdm(total=total, unit=unit, delay=1, disable=not sys.stderr.isatty()) as bar:
        yield bar.update


def arrivals(socket: zmq.Socket[bytes], options: dict[str, Any]) -> Iterator[list[bytes]]:
    """Yield messages, each a list of parts, up to --count; give up after --timeout seconds without one."""
    for number in itertools.count():
        if number == options["--count"]:
            return
        if not socket.poll(milliseconds(options["--timeout"])):
            nothing_came(number, options)
            return
        yield socket.recv_multipart()


def nothing_came(number: int, options: dict[str, Any]) -> None:
    """Nothing came for --timeout seconds, behind `number` messages; gives up, unless these were enough."""
    if number and options["--count"] is None:
        return
    expected = f" ({number} of {options['--count']} came)" if options["--count"] else ""
    raise GaveUp(f"nothing came within {options['--timeout']:g} s{expected}")


def takes(socket: zmq.Socket[bytes], options: dict[str, Any]) -> bool:
    """Wait up to --timeout seconds until a peer takes a message; says once, after a second, that none does."""
    limit = options["--timeout"]
    first = PATIENCE if limit is None else min(PATIENCE, limit)
    if socket.poll(milliseconds(first), zmq.POLLOUT):
        return True
    if limit is not None and limit <= PATIENCE:
        return False
    if not options.get("is told"):
        options["is told"] = True
        print(f"waiting for a PULL at {options['ENDPOINT']} that takes a message", file=sys.stderr, flush=True)
    return bool(socket.poll(milliseconds(None if limit is None else limit - PATIENCE), zmq.POLLOUT))


def milliseconds(seconds: float | None) -> int:
    """ZeroMQ's notation of a time limit: -1 is none."""
    return -1 if seconds is None else min(LARGEST, int(seconds * 1000))


def show(parts: list[bytes], options: dict[str, Any]) -> None:
    """Print one message: on one line, parts divided by a bar; --json lays out JSON over several."""
    layout = indent if options["--json"] else one_line
    print(" | ".join(layout(part) for part in parts), flush=True)


def one_line(part: bytes) -> str:
    """Text as it is; line ends, other control characters and bytes that are no text as escapes."""
    text = part.decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def indent(part: bytes) -> str:
    """Lay out JSON, also behind a topic; what is not JSON stays on its line."""
    topic, space, payload = part.partition(b" ")
    for head, body in ((b"", part), (topic + space, payload)):
        with contextlib.suppress(ValueError):
            return one_line(head) + json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return one_line(part)
