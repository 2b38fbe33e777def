"""Random scenarios of a whole device with libzmq's sockets at both ends: one for each pattern, and what is seen.

What a scenario chooses follows from its seed alone, so it is the same one with every engine. All that is random in an
engine, such as how soon it knows of a new peer, is waited for, or is left out of what is seen.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import gevent
import zmq

from geventrelay import Device, Drop
from geventrelay.settings import PATTERNS, DeviceSettings
from geventrelay.testing import LOCAL, Peer, Peers, eventually, within

from .router_scenarios import routers
from .slow_scenarios import slow_settings, slow_subscribers
from .stage import LARGE, MARK, Parts, Seen, Stage, taken
from .topic_scenarios import forwarder, relay

_LOOK_S = 0.002


def streamer(stage: Stage, steps: int) -> None:
    """Workers share the tasks of pushers: in turn, each sender's in order."""
    choose = stage.choose
    pushers, workers = [stage.come(zmq.PUSH, "frontend")], [stage.come(zmq.PULL, "backend")]
    marks = _meet(stage, pushers[0], workers, workers[0])
    # Shares are the same where no worker is full. Engines differ in whose turn it is once a worker has gone.
    exactly = fair = stage.device.settings.sndhwm > 100
    for _ in range(steps):
        step = choose.choice(
            ["send", "send", "send", "stall", "worker", "worker gone", "pusher", "pusher gone", "pause"]
        )
        if step == "worker" and len(workers) < 4:
            workers.append(stage.come(zmq.PULL, "backend", rcvhwm=choose.choice([1000, 1])))
            marks += _meet(stage, pushers[0], workers, workers[-1])
        elif step == "worker gone" and len(workers) > 1:
            stage.leave(workers.pop(choose.randrange(len(workers))), "backend")
            exactly = False
        elif step == "pusher" and len(pushers) < 3:
            pushers.append(stage.come(zmq.PUSH, "frontend"))
        elif step == "pusher gone" and len(pushers) > 1:
            stage.leave(pushers.pop(), "frontend")
        elif step in ("send", "stall", "pause"):
            if step == "pause":
                stage.device.pause()
            tasks = stage.messages()
            stalled = workers[1:] if step == "stall" else []
            if step == "stall" and choose.random() < 0.5:
                tasks += [[b"%d" % number, bytes(LARGE)] for number in range(40)]
            sender = gevent.spawn(_send_all, choose.choice(pushers), tasks)
            if step == "pause":
                sender.join()
                stage.device.resume()
            share = min(len(tasks) // len(workers), 1000 if fair else 1)
            got = taken(workers, len(tasks), last=stalled, after=share * (len(workers) - len(stalled)))
            sender.get(timeout=5)
            stage.seen.append(_shares(tasks, got, exactly=exactly, fair=fair))
    stage.seen.append(stage.pump_counts("frontend", marks=marks))


def _send_all(sender: Peer, messages: Sequence[Parts]) -> None:
    for one in messages:
        sender.send(*one)


def _meet(stage: Stage, sender: Peer, takers: Sequence[Peer], newcomer: Peer) -> int:
    """Send marks until `newcomer` among `takers` has got one: whose turn is next is the same then; how many marks."""
    for count in itertools.count(1):
        sender.send(stage.mark())
        with within(f"a mark at one of {takers}"):
            while not (found := next((one for one in takers if one.socket.readable), None)):
                gevent.sleep(_LOOK_S)
        found.recv()
        if found is newcomer:
            return count
    raise AssertionError("unreachable")


def _shares(tasks: list[Parts], got: list[list[Parts]], *, exactly: bool, fair: bool) -> object:
    """What is to be the same of the shares."""
    rest = [list(one) for one in got]
    for task in tasks:
        # Each task is the next one of some worker.
        owner = next((one for one in rest if one and one[0] == task), None)
        assert owner is not None or exactly, f"{task} comes out of order, or not at all"
        if owner:
            owner.pop(0)
    return got if exactly else (sorted(tasks), fair and sorted(len(one) for one in got))


def queue(stage: Stage, steps: int) -> None:
    """Requests go to workers in turn, and each reply to its client."""
    choose = stage.choose
    kinds = {"client": [zmq.REQ, zmq.DEALER], "worker": [zmq.REP, zmq.DEALER]}
    clients = [stage.come(zmq.REQ, "frontend")]
    workers = [stage.come(choose.choice(kinds["worker"]), "backend")]
    _ask(clients[0], workers, [b"first"])
    nothing_left_yet = True
    for number in range(steps):
        step = choose.choice(["ask"] * 5 + ["client", "client gone", "worker", "worker gone", "client gone meanwhile"])
        if step == "client" and len(clients) < 4:
            options = choose.choice([{}, {"routing_id": b"client %d" % number}])
            clients.append(stage.come(choose.choice(kinds["client"]), "frontend", **options))
        elif step == "worker" and len(workers) < 3:
            workers.append(stage.come(choose.choice(kinds["worker"]), "backend"))
            with within("a request at the new worker"):
                while _ask(clients[0], workers, [b"whose turn?"]) is not workers[-1]:
                    pass
        elif step == "worker gone" and len(workers) > 1:
            stage.leave(workers.pop(choose.randrange(len(workers))), "backend")
            nothing_left_yet = False
        elif step == "client gone" and len(clients) > 1:
            stage.leave(clients.pop(), "frontend")
        elif step == "client gone meanwhile" and len(clients) > 1:
            gone = clients.pop()
            before = stage.snapshot("backend").received
            _ask(gone, workers, stage.message(), gone=lambda gone=gone: stage.leave(gone, "frontend"))  # type: ignore[misc]
            eventually(lambda before=before: stage.snapshot("backend").received > before, "the reply")  # type: ignore[misc]
            stage.seen.append(stage.snapshot("backend").outlets[0].dropped.get(Drop.UNROUTABLE, 0))
        elif step == "ask":
            client, request = choose.choice(clients), stage.message()
            reply = stage.message()
            worker = _ask(client, workers, request, reply)
            stage.seen.append((request, reply, nothing_left_yet and workers.index(worker)))


def _ask(
    client: Peer, workers: Sequence[Peer], request: Parts, reply: Sequence[bytes] = (b"so it is",), *,
    gone: Callable[[], None] | None = None,
) -> Peer:  # fmt: skip
    """Have `client` ask; which of `workers` has answered. What `gone` does comes between request and reply."""
    envelope = [] if client.type == zmq.REQ else [b""]
    client.send(*envelope, *request)
    with within("a request"):
        while not (worker := next((one for one in workers if one.socket.readable), None)):
            gevent.sleep(_LOOK_S)
    got = worker.recv()
    back = [] if worker.type == zmq.REP else got[:2]
    if back:
        own = client.socket.get(zmq.ROUTING_ID)
        assert got[1] == b"" and (got[0] == own if own else len(got[0]) == 5), f"expected an envelope, got {got[:2]}"
    assert got[len(back) :] == request
    if gone is not None:
        gone()
    worker.send(*back, *reply)
    if gone is None:
        assert client.recv() == [*envelope, *reply]
    return worker


STORIES: dict[str, Callable[[Stage, int], None]] = {
    "streamer": streamer, "queue": queue, "forwarder": forwarder, "relay": relay, "custom": routers,
    "slow subscribers": slow_subscribers,
}  # fmt: skip


def _settings(pattern: str, choose: random.Random, engine: str) -> DeviceSettings:
    if pattern == "slow subscribers":
        return slow_settings(choose, engine)
    made = PATTERNS[pattern]
    if pattern == "custom":
        types = {"frontend_type": "ROUTER", "backend_type": "ROUTER"}
        return made(frontend=LOCAL, backend=LOCAL, engine=engine, drain_s=0, **types)  # type: ignore[call-arg]
    if pattern != "relay":
        sndhwm = choose.choice([1000, 1000, 2]) if pattern == "streamer" else 1000
        return made(frontend=LOCAL, backend=LOCAL, engine=engine, drain_s=0, sndhwm=sndhwm)  # type: ignore[call-arg]
    topics = choose.choice([[""], ["a", MARK], ["abc", b"\0", MARK, "b"]])
    payload = choose.choice(["space", "parts", "whole", "auto"])
    return made(sub=LOCAL, pub=LOCAL, push=LOCAL, engine=engine, subscribe=topics, push_payload=payload)  # type: ignore[call-arg]


def play(pattern: str, seed: int, engine: str, steps: int) -> Seen:
    """What is seen of the scenario `seed` of a `pattern` with an `engine`. Yields."""
    choose = random.Random(f"{pattern} {seed}")
    with Device(_settings(pattern, choose, engine), watch_peers=True) as device, Peers(reconnect_ivl=60_000) as peers:
        stage = Stage(device, peers, choose)
        STORIES[pattern](stage, steps)
        return stage.seen
