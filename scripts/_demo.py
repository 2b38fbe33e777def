"""The show of scripts/quickstart, which installs what it needs and then starts it: _demo.py SECONDS.

One thread looks after all four programs that talk through the relay. Each would look the same in a process of
its own: a PUB (or XPUB) that connects to the relay's sub endpoint, a SUB to its pub endpoint, a PULL to its
push endpoint.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq

PERIOD_S = 0.25
START_LIMIT_S = 20
STOP_LIMIT_S = 30
WARM_UP = b"warm-up"
TOPIC = b"prices"


class CannotRun(Exception):
    """The show cannot go on; the text is one line that says why."""


class Relay:
    """The command `geventrelay` in a process of its own."""

    def __init__(self, folder, stopping):
        self.stopping = stopping
        self.process = None
        self.ready = Path(folder, "ready.json")
        self.log = Path(folder, "relay.log")
        self.command = [
            str(Path(sys.executable).with_name("geventrelay")),
            *("--sub-port", "0", "--pub-port", "0", "--push-port", "0"),
            *("--interface", "127.0.0.1", "--http", "127.0.0.1:0", "--ready-file", str(self.ready)),
        ]

    def start(self):
        """Start the command; once all is bound, return its endpoints and the address of its page."""
        with self.log.open("wb") as log:
            # Out of reach of the terminal: a Ctrl-C is for this program, which then stops the relay.
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.limit = time.monotonic() + START_LIMIT_S
        while not self.ready.exists():
            self.check_start()
            time.sleep(0.02)
        state = json.loads(self.ready.read_text())
        return state["endpoints"], state["http"]

    def check(self):
        """Raise if the relay has ended."""
        if self.process.poll() is not None:
            raise CannotRun(f"the relay ended with exit code {self.process.returncode}{self.last_words()}")

    def check_start(self):
        """Raise if there is no point in waiting any longer for the relay to work."""
        self.check()
        if self.stopping:
            raise CannotRun("interrupted")
        if time.monotonic() > self.limit:
            raise CannotRun(f"the relay did not work within {START_LIMIT_S} s{self.last_words()}")

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def stop(self):
        """Ask it to stop, wait until it has, and return what it printed."""
        if self.process is None:
            return ""
        self.process.terminate()
        try:
            output, _ = self.process.communicate(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
        return output.decode(errors="replace").strip()


class Show:
    """A publisher, a subscriber and two pullers around one relay."""

    def __init__(self, context, endpoints):
        self.publisher = context.socket(zmq.XPUB)
        self.receivers = {
            "subscriber": context.socket(zmq.SUB),
            "puller 1": context.socket(zmq.PULL),
            "puller 2": context.socket(zmq.PULL),
        }
        self.receivers["subscriber"].subscribe(b"")
        self.counts = dict.fromkeys(["published", *self.receivers], 0)
        self.warm_ups = 0
        self.began = time.monotonic()
        self.poller = zmq.Poller()
        for name, socket in self.receivers.items():
            socket.connect(endpoints["pub" if name == "subscriber" else "push"][0])
            self.poller.register(socket, zmq.POLLIN)
        self.publisher.connect(endpoints["sub"][0])

    def warm_up(self, relay):
        """Return once a message has come through to every receiver, so that none of the show's own is lost.

        An XPUB receives each subscription, so it knows when the relay listens. Whether the relay in turn
        knows its subscriber and both pullers already, only a message that arrives can show.
        """
        waiting = set(self.receivers)
        while waiting:
            relay.check_start()
            if not self.warm_ups and not self.publisher.poll(int(PERIOD_S * 1000)):
                continue
            self.publisher.send(WARM_UP + b" {}")
            self.warm_ups += 1
            for name, _ in self.arrivals(until=time.monotonic() + PERIOD_S / 2, enough=len(waiting)):
                waiting.discard(name)
        self.began = time.monotonic()

    def publish(self):
        """Publish the next price, in one part: the topic, a space, JSON."""
        self.counts["published"] += 1
        payload = {
            "n": self.counts["published"],
            "symbol": random.choice(["ABC", "DEF", "XYZ"]),
            "price": round(random.uniform(10, 20), 2),
        }
        message = TOPIC + b" " + json.dumps(payload).encode()
        self.say("publisher sends", message)
        self.publisher.send(message)

    def receive(self, until):
        """Print what arrives until that time."""
        for name, message in self.arrivals(until):
            if message in (b"{}", WARM_UP + b" {}"):
                continue
            self.counts[name] += 1
            self.say(f"{name} got", message)

    def arrivals(self, until, enough=float("inf")):
        """Yield (name, message) as they come, until that time or until there were enough."""
        names = {socket: name for name, socket in self.receivers.items()}
        seen = 0
        while seen < enough and (left := until - time.monotonic()) > 0:
            for socket, _ in self.poller.poll(left * 1000):
                seen += 1
                yield names[socket], socket.recv()

    def complete(self):
        """Return whether all that was published has arrived: at the subscriber, and at one of the pullers."""
        pulled = self.counts["puller 1"] + self.counts["puller 2"]
        return self.counts["published"] == self.counts["subscriber"] == pulled

    def say(self, who, message):
        print(f"{time.monotonic() - self.began:8.2f} s  {who:<16} {message.decode()}", flush=True)


def explain(relay, endpoints, page):
    print(
        f"""
geventrelay's default pattern at work. This command is running now:

    {" ".join(relay.command)}

    publisher  --connects to-->  {endpoints["sub"][0]}
                                 every message whole       {endpoints["pub"][0]}  --> subscriber
                                 its payload, to one each  {endpoints["push"][0]}  --> puller 1 or puller 2

Each price goes whole to the subscriber, and without its topic to the two pullers in turn. Ctrl-C ends it.

Watch it in a browser: {page}
""",
        flush=True,
    )
    # Its second line, if there is one, says that this installation is a slow one, and the remedy.
    version = subprocess.run([relay.command[0], "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    for line in version.splitlines()[1:]:
        print(line + "\n", flush=True)


def summarise(show, accounting):
    print(
        f"""
published             {show.counts["published"]:>6}
subscriber received   {show.counts["subscriber"]:>6}
puller 1 received     {show.counts["puller 1"]:>6}
puller 2 received     {show.counts["puller 2"]:>6}

The relay's own account (with {show.warm_ups} warm-up messages before the first price):
{accounting}""",
        flush=True,
    )


def play(relay, seconds):
    """Run the show for some seconds, or until a signal asks to stop."""
    endpoints, page = relay.start()
    context = zmq.Context()
    try:
        show = Show(context, endpoints)
        explain(relay, endpoints, page)
        show.warm_up(relay)
        for turn in itertools.count(1):
            if relay.stopping or (turn - 1) * PERIOD_S >= seconds:
                break
            relay.check()
            show.publish()
            show.receive(until=show.began + turn * PERIOD_S)
        limit = time.monotonic() + 1
        while not show.complete() and time.monotonic() < limit:
            show.receive(until=time.monotonic() + 0.05)
        return show
    finally:
        context.destroy(linger=0)


def main(seconds):
    stopping = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopping.append(number))
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(folder, stopping)
        try:
            try:
                show = play(relay, seconds)
            finally:
                accounting = relay.stop()
            summarise(show, accounting)
        except (CannotRun, OSError) as error:
            sys.exit(f"quickstart: {error}")


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]))
    except BrokenPipeError:
        # The reader of the output has gone, so there is no place for a message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
