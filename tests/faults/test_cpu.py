"""A device with nothing to move uses no CPU, whatever the reason."""

from __future__ import annotations

import os
import sys
import time

import psutil
import zmq
from support.process import untaken
from support.traffic import fill_way

from geventrelay.testing import connected, fence

# 2 s by default; the full acceptance is GEVENTRELAY_IDLE_S=5.
IDLE_S = float(os.environ.get("GEVENTRELAY_IDLE_S", "2"))
SHARE = 0.01
SMALL = ["--sndhwm", "10", "--rcvhwm", "10"]
ENDS = ["--frontend", "0", "--backend", "0"]
QUICK_END = ["--drain", "0.1", "--linger", "0"]
BODY = bytes(100_000)
# Of a streamer and of a queue: what socket a client has, and what it sends.
CLIENTS = ((zmq.PUSH, [BODY]), (zmq.DEALER, [b"", BODY]))

PAUSED = """
import sys
from geventrelay import Device, Streamer

with Device(Streamer(frontend=0, backend=0, interface="127.0.0.1", rcvhwm=10)) as device:
    device.pause()
    print(device.endpoints["frontend"][0], device.endpoints["backend"][0], flush=True)
    device.serve_forever()
"""


def expect_idle(*programs):
    """Each of them uses less than 1 % of a CPU from now on."""
    processes = [psutil.Process(program.pid) for program in programs]
    began = time.monotonic()
    before = [used_s(process) for process in processes]
    # Not a wait for anything: this is how long the measurement takes.
    time.sleep(IDLE_S)
    used = [used_s(process) - start_s for process, start_s in zip(processes, before, strict=True)]
    took = time.monotonic() - began
    for program, seconds in zip(programs, used, strict=True):
        print(f"{seconds / took:.2%} of a CPU over {took:.1f} s: {' '.join(program.command[3:5])}")
        assert program.lives, program.report()
        # The operating system counts in ticks, usually of 10 ms, and one may fall into any time.
        assert seconds <= SHARE * took, f"{seconds / took:.1%} of a CPU over {took:.1f} s\n{program.report()}"


def used_s(process):
    times = process.cpu_times()
    return times.user + times.system


def test_idle_with_or_without_peers_it_uses_no_cpu(start, peers):
    relay = ["relay", "--sub-port", "0", "--pub-port", "0", "--push-port", "0"]
    alone = [start(*relay), *(start(pattern, *ENDS) for pattern in ("forwarder", "queue", "streamer"))]
    server = start(*relay)
    publisher = peers.publisher(server["sub"])
    connected(publisher, peers.subscriber(server["pub"]))
    fence(publisher, peers.connect(zmq.PULL, server["push"]))
    expect_idle(server, *alone)


def test_paused_with_tasks_waiting_it_uses_no_cpu(run, peers):
    program = run([sys.executable, "-c", PAUSED])
    program.until_said("\n")
    frontend, backend = program.output.split()
    worker = peers.connect(zmq.PULL, backend)
    fill_way(peers.connect(zmq.PUSH, frontend, sndhwm=10), BODY)
    expect_idle(program)
    assert not worker.recv_now()


def test_with_no_worker_for_a_flood_it_uses_no_cpu(start, peers):
    servers = [start("streamer", *ENDS, *SMALL, *QUICK_END), start("queue", *ENDS, *SMALL, *QUICK_END)]
    for server, (client, message) in zip(servers, CLIENTS, strict=True):
        fill_way(peers.connect(client, server["frontend"], sndhwm=10), *message)
    expect_idle(*servers)
    for server in servers:
        assert untaken(server.stop())


def test_with_a_full_backend_it_uses_no_cpu(start, peers):
    servers = [start("streamer", *ENDS, *SMALL, *QUICK_END), start("queue", *ENDS, *SMALL, *QUICK_END)]
    behind = []
    for server, (client, message), worker in zip(servers, CLIENTS, (zmq.PULL, zmq.DEALER), strict=True):
        behind.append(peers.connect(worker, server["backend"], rcvhwm=1))
        fill_way(peers.connect(client, server["frontend"], sndhwm=10), *message)
    expect_idle(*servers)
    # They were not stuck, either: room at the other end sets them going again.
    for worker in behind:
        worker.recv_all(50)


def test_with_a_blocked_slow_subscriber_it_uses_no_cpu(start, peers):
    server = start("forwarder", *ENDS, *SMALL, *QUICK_END, "--slow-subscriber", "block")
    publisher = peers.connect(zmq.XPUB, server["frontend"], sndhwm=10, xpub_nodrop=True)
    slow = peers.subscriber(server["backend"], rcvhwm=1)
    assert publisher.recv() == [b"\x01"]
    fill_way(publisher, BODY)
    expect_idle(server)
    slow.recv_all(50)


def test_with_a_relay_blocked_by_its_puller_it_uses_no_cpu(start, peers):
    server = start("--sub-port", "0", "--push-port", "0", "--push-when-full", "block", *SMALL, *QUICK_END)
    publisher = peers.publisher(server["sub"], sndhwm=10, xpub_nodrop=True)
    fill_way(publisher, BODY)
    expect_idle(server)
    peers.connect(zmq.PULL, server["push"]).recv_all(20)
