"""The show of scripts/cluster-demo, which installs what it needs and then starts it: _cluster.py SECONDS RATE.

One thread looks after all publishers, subscribers and workers. Each would look the same in a process of its own, on any
machine: a PUB that connects to the sub endpoint of a relay that is near, a SUB that connects to its pub endpoint, a
PULL that connects to its push endpoint.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import zmq
from _demo import START_LIMIT_S, CannotRun, Relay

NAME = "prices"
# What is published at each relay, and what is wanted there.
PLACES = {
    "east": ("zmtp", b"east.", (b"",)),
    "west": ("libzmq", b"west.", (b"east.", b"west.")),
    "north": ("zmtp", b"north.", (b"west.",)),
}
# Only there are workers. Each message that is published at any relay is work for one of them.
WORKERS_AT = "north"
_WORKERS = 2
_LISTENS = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")
_WARM_UP = b"warm-up"
_PERIOD_S = 1.0


class Nats:
    """A server of NATS in a process of its own, on a free port."""

    def __init__(self, folder, stopping):
        self._stopping = stopping
        self._log = Path(folder, "nats.log")
        self.command = [str(Path(sys.executable).with_name("nats-server")), "-a", "127.0.0.1", "-p", "-1"]
        self._process = None

    def start(self):
        """Start it; where it listens, once it does."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)
        limit = time.monotonic() + START_LIMIT_S
        while (found := _LISTENS.search(self._log.read_text(errors="replace"))) is None:
            if self._process.poll() is not None or self._stopping or time.monotonic() > limit:
                raise CannotRun("nats-server did not start")
            time.sleep(0.02)
        return f"nats://127.0.0.1:{found[1]}"

    def stop(self):
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


class Member(Relay):
    """One of several relays that act as one."""

    def __init__(self, folder, stopping, place, url):
        super().__init__(folder, stopping)
        engine, self.topic, self.wanted = PLACES[place]
        self.place = place
        self.ready, self.log = Path(folder, f"{place}.json"), Path(folder, f"{place}.log")
        self.command = [
            self.command[0],
            *("--sub-port", "0", "--pub-port", "0", "--push-port", "0", "--push-when-full", "block"),
            *("--interface", "127.0.0.1", "--engine", engine),
            *("--name", NAME, "--backbone", url, "--http", "127.0.0.1:0", "--ready-file", str(self.ready)),
        ]

    def join(self, context):
        """Start it, and connect a publisher and a subscriber to it."""
        endpoints, self.page = self.start()
        self.publisher, self.subscriber = context.socket(zmq.PUB), context.socket(zmq.SUB)
        self.publisher.connect(endpoints["sub"][0])
        self.subscriber.connect(endpoints["pub"][0])
        for prefix in self.wanted:
            self.subscriber.subscribe(prefix)
        self.workers = [context.socket(zmq.PULL) for _ in range(_WORKERS if self.place == WORKERS_AT else 0)]
        for worker in self.workers:
            worker.connect(endpoints["push"][0])
        self.published, self.got, self.warm = 0, {}, set()

    @property
    def topics(self):
        """The topics that its subscriber wants, of all that are published."""
        return {topic for _, topic, _ in PLACES.values() if topic.startswith(self.wanted)}

    def publish(self):
        self.published += 1
        self.publisher.send_multipart([self.topic + b"price", b"%d" % self.published, self.place.encode()])

    def take(self, topic, number):
        """Note that a message has come: it must be the next one of its topic."""
        place = self.got.get(topic, 0)
        if number != place + 1:
            raise CannotRun(f"the subscriber at {self.place} got {topic.decode()} {number} after {place}")
        self.got[topic] = number

    def backbone(self):
        """What its HTTP tells of the others."""
        with urllib.request.urlopen(f"{self.page}/api/backbone", timeout=5) as answer:
            return json.load(answer)["devices"][NAME]


class Show:
    """All publishers and subscribers."""

    def __init__(self, members, rate):
        self.members, self.rate = members, rate
        self.by_topic = {one.topic: one for one in members}
        self.poller = zmq.Poller()
        for one in members:
            for socket in (one.subscriber, *one.workers):
                self.poller.register(socket, zmq.POLLIN)
        # What the workers have got, by the place where it was published.
        self.done = {place: set() for place in PLACES}

    def warm_up(self):
        """Return once each subscriber has got something of each topic that it wants: from then on it misses nothing."""
        while any(one.warm != one.topics for one in self.members):
            for one in self.members:
                one.check_start()
                one.publisher.send_multipart([one.topic, _WARM_UP, one.place.encode()])
            self.receive(time.monotonic() + 0.05)

    def run(self, seconds):
        began = told = time.monotonic()
        while (now := time.monotonic()) < began + seconds and not self.members[0].stopping:
            for one in self.members:
                one.check()
                while one.published < (now - began) * self.rate:
                    one.publish()
            self.receive(now + 0.01)
            if now >= told + _PERIOD_S:
                told += _PERIOD_S
                self.tell(now - began)
        limit = time.monotonic() + 5
        while not self.complete and time.monotonic() < limit:
            self.receive(time.monotonic() + 0.05)

    @property
    def complete(self):
        return all(not self.missing(one) and len(self.done[one.place]) == one.published for one in self.members)

    def missing(self, member):
        """How many messages a subscriber wants that have been published and have not come."""
        return sum(self.by_topic[topic].published - member.got.get(topic, 0) for topic in member.topics)

    def receive(self, until):
        whose = {one.subscriber: one for one in self.members}
        while (left := until - time.monotonic()) > 0:
            for socket, _ in self.poller.poll(left * 1000):
                parts = socket.recv_multipart()
                if socket not in whose:
                    self.work(*parts)
                    continue
                member, (head, body, _) = whose[socket], parts
                topic = head.partition(b".")[0] + b"."
                if body == _WARM_UP:
                    member.warm.add(topic)
                else:
                    member.take(topic, int(body))

    def work(self, body, place):
        """A worker has got a payload: what stands behind the topic."""
        if body == _WARM_UP:
            return
        done = self.done[place.decode()]
        if int(body) in done:
            raise CannotRun(f"workers got {int(body)} of {place.decode()} twice")
        done.add(int(body))

    def tell(self, seconds):
        counts = "   ".join(f"{one.place} {sum(one.got.values()):>7}" for one in self.members)
        done = sum(map(len, self.done.values()))
        print(f"{seconds:8.1f} s  got at   {counts}   workers {done:>7}", flush=True)


def explain(url, members):
    print(f"\nThree relays that act as one over NATS ({url}). These commands are running now:\n")
    for one in members:
        print(f"    {' '.join(one.command)}\n")
    for one in members:
        wanted = " and ".join(f'"{prefix.decode()}"' for prefix in one.wanted)
        print(f'    {one.place:<6} a publisher of "{one.topic.decode()}", a subscriber to {wanted}   {one.page}')
    print(f"\n    Workers are connected to {WORKERS_AT} alone: they get what is published at all three.")
    print(flush=True)


def summarise(show, accounts):
    print(f"\n{'':8}{'published':>11}{'wanted':>10}{'got':>10}{'sent':>10}{'received':>10}{'worked on':>11}{'lost':>8}")
    for one in show.members:
        wanted = sum(show.by_topic[topic].published for topic in one.topics)
        backbone = accounts[one.place]
        got, worked = sum(one.got.values()), len(show.done[one.place])
        sent, received, lost = backbone["sent"], backbone["received"], backbone["lost"]
        print(f"{one.place:8}{one.published:>11}{wanted:>10}{got:>10}{sent:>10}{received:>10}{worked:>11}{lost:>8}")
    print(
        "\nsent and received are what went over NATS to subscribers, with what was sent before all of them were known."
    )
    print(f"worked on is what workers at {WORKERS_AT} got of what was published there.")
    if not show.complete:
        raise CannotRun("some messages have not come")
    print("Each subscriber got exactly what it asked for, in order, and one worker got each payload.", flush=True)


def play(url, folder, stopping, seconds, rate):
    members = [Member(folder, stopping, place, url) for place in PLACES]
    context = zmq.Context()
    try:
        for one in members:
            one.join(context)
        explain(url, members)
        show = Show(members, rate)
        show.warm_up()
        show.run(seconds)
        accounts = {one.place: one.backbone() for one in members}
    finally:
        context.destroy(linger=0)
        for one in members:
            one.stop()
    summarise(show, accounts)


def main(seconds, rate):
    stopping = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopping.append(number))
    with tempfile.TemporaryDirectory() as folder:
        nats = Nats(folder, stopping)
        try:
            play(nats.start(), folder, stopping, seconds, rate)
        except (CannotRun, OSError) as error:
            sys.exit(f"cluster-demo: {error}")
        finally:
            nats.stop()


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]), float(sys.argv[2]))
    except BrokenPipeError:
        # The reader of the output has gone, so there is no place for a message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
