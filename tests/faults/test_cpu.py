"""A device with nothing to move uses no CPU, whatever the reason."""

from __future__ import annotations

import os
import sys
import time

import psutil
import zmq
from support.process import until_subscribed, warm_up

# 2 s by default; the full acceptance is GEVENTRELAY_IDLE_S=5.
IDLE_S = float(os.environ.get("GEVENTRELAY_IDLE_S", "2"))
SHARE = 0.01
SMALL = ["--sndhwm", "10", "--rcvhwm", "10"]
ENDS = ["--frontend", "0", "--backend", "0"]
QUICK_END = ["--drain", "0.1", "--linger", "0"]

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


def fill(socket, message=bytes(100_000)):
    """Send until nothing has been taken for half a second: every queue on the way is full."""
    socket.sndtimeo = 500
    sent = 0
    while True:
        try:
            socket.send(message) if socket.type != zmq.DEALER else socket.send_multipart([b"", message])
        except zmq.Again:
            assert sent, "nothing was taken at all"
            return
        sent += 1


def test_idle_with_or_without_peers_it_uses_no_cpu(start, peers):
    relay = ["relay", "--sub-port", "0", "--pub-port", "0", "--push-port", "0"]
    alone = [start(*relay), *(start(pattern, *ENDS) for pattern in ("forwarder", "queue", "streamer"))]
    server = start(*relay)
    publisher = peers.connect(zmq.XPUB, server["sub"])
    until_subscribed(publisher)
    warm_up(publisher, peers.connect(zmq.SUB, server["pub"]), peers.connect(zmq.PULL, server["push"]))
    expect_idle(server, *alone)


def test_paused_with_tasks_waiting_it_uses_no_cpu(run, peers):
    program = run([sys.executable, "-c", PAUSED])
    program.until_said("\n")
    frontend, backend = program.output.split()
    worker = peers.connect(zmq.PULL, backend)
    fill(peers.connect(zmq.PUSH, frontend, sndhwm=10))
    expect_idle(program)
    assert not worker.poll(0)


def test_with_no_worker_for_a_flood_it_uses_no_cpu(start, peers):
    servers = [start("streamer", *ENDS, *SMALL, *QUICK_END), start("queue", *ENDS, *SMALL, *QUICK_END)]
    for server, client in zip(servers, (zmq.PUSH, zmq.DEALER), strict=True):
        fill(peers.connect(client, server["frontend"], sndhwm=10))
    expect_idle(*servers)
    for server in servers:
        assert server.stop()["held"] == 1


def test_with_a_full_backend_it_uses_no_cpu(start, peers):
    servers = [start("streamer", *ENDS, *SMALL, *QUICK_END), start("queue", *ENDS, *SMALL, *QUICK_END)]
    behind = []
    for server, client, worker in zip(servers, (zmq.PUSH, zmq.DEALER), (zmq.PULL, zmq.DEALER), strict=True):
        behind.append(peers.connect(worker, server["backend"], rcvhwm=1))
        fill(peers.connect(client, server["frontend"], sndhwm=10))
    expect_idle(*servers)
    # They were not stuck, either: room at the other end sets them going again.
    for worker in behind:
        for _ in range(50):
            worker.recv_multipart()


def test_with_a_blocked_slow_subscriber_it_uses_no_cpu(start, peers):
    server = start("forwarder", *ENDS, *SMALL, *QUICK_END, "--slow-subscriber", "block")
    publisher = peers.connect(zmq.XPUB, server["frontend"], sndhwm=10, xpub_nodrop=True)
    slow = peers.connect(zmq.SUB, server["backend"], rcvhwm=1)
    until_subscribed(publisher)
    fill(publisher)
    expect_idle(server)
    for _ in range(50):
        slow.recv()


def test_with_a_relay_blocked_by_its_puller_it_uses_no_cpu(start, peers):
    server = start("--sub-port", "0", "--push-port", "0", "--push-when-full", "block", *SMALL, *QUICK_END)
    publisher = peers.connect(zmq.XPUB, server["sub"], sndhwm=10, xpub_nodrop=True)
    until_subscribed(publisher)
    fill(publisher)
    expect_idle(server)
    puller = peers.connect(zmq.PULL, server["push"])
    for _ in range(20):
        puller.recv()
