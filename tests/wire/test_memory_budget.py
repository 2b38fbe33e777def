"""The memory budget of engine zmtp, over real connections: what it does is counted and told, and memory is bounded."""

from __future__ import annotations

import dataclasses
import re

import gevent
import psutil
import pytest
import zmq
from support.serving import serve
from support.strangers import frame, stranger
from support.traffic import pump

from geventrelay import Drop, Relay, Streamer
from geventrelay.switch import budget
from geventrelay.testing import LOCAL, Peers, eventually, within

__all__ = ["serve"]

MIB = 1 << 20
BUDGET = 4 * MIB
LARGE = b"x" * 100_000


@pytest.fixture(params=["native", "python"], autouse=True)
def small_budget(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    budget.set_budget(BUDGET)
    yield
    budget.set_budget(budget.DEFAULT_BUDGET_BYTES)


def test_the_option_counts_from_the_start_and_a_reload_changes_it(serve):
    serving = serve(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp"), memory_budget_bytes=2 * MIB)
    assert budget.limit_bytes() == 2 * MIB
    serving.configured = dataclasses.replace(serving.server.settings, memory_budget_bytes=0)
    serving.server.reload()
    assert budget.limit_bytes() == 0


def message(body: bytes) -> bytes:
    return b"\x02" + len(body).to_bytes(8, "big") + body


def send_or_end(connection, data: bytes) -> None:
    """Send `data` as far as the other end takes it."""
    try:
        connection.sendall(data)
    except OSError:
        return


def test_subscribers_that_stall_lose_messages_and_a_good_one_none(run, peers: Peers, caplog):
    device = run(Relay(sub=LOCAL, pub=LOCAL, sndhwm=0, engine="zmtp"))
    address = device.endpoints["pub"][0]
    stalled = [stranger(address, b"SUB") for _ in range(3)]
    for one in stalled:
        one.sendall(frame(b"\1"))
    good = peers.connect(zmq.SUB, address, subscribe=b"")

    def are_subscribed():
        found = device.peers(accounts=True)["pub"].peers
        return len(found) == 4 and all(one.account.subscriptions for one in found)

    eventually(are_subscribed, "the subscriptions")
    publisher = peers.publisher(*device.endpoints["sub"], sndhwm=0)
    before = psutil.Process().memory_info().rss
    most = 0
    for number in range(300):
        publisher.send(b"%d" % number, LARGE)
        if number % 10 == 9:
            good.recv_all(10)
            most = max(most, budget.used_bytes())
    assert most <= BUDGET + MIB
    assert psutil.Process().memory_info().rss - before < 5 * BUDGET
    (outlet,) = pump(device, "sub").outlets
    lost = outlet.lost[Drop.MEMORY]
    assert lost > 500
    assert outlet.lost == {Drop.MEMORY: lost}
    told = re.compile(r"memory-short device=relay dropped=(\d+) option=memory-budget")
    eventually(lambda: sum(map(int, told.findall(caplog.text))) == lost, "the log")
    assert outlet.matched == outlet.delivered + lost + outlet.waiting
    for one in stalled:
        one.close()
    eventually(lambda: len(device.peers()["pub"].peers) == 1, "the end of the others")


def test_the_largest_of_the_messages_without_end_is_ended_and_the_log_names_the_option(run, caplog):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, engine="zmtp"))
    senders = [stranger(device.endpoints["frontend"][0], b"PUSH") for _ in range(3)]
    before = budget.used_bytes()
    with within("the end of one"):
        for one, size in zip(senders, (MIB, MIB, BUDGET), strict=True):
            send_or_end(one, b"\x02" + (4 * BUDGET).to_bytes(8, "big") + b"x" * size)
    eventually(lambda: device.peers()["frontend"].cut_off == {"memory": 1}, "the count")
    eventually(lambda: "cut-off" in caplog.text, "the log")
    assert "reason=memory" in caplog.text
    assert "option=memory-budget" in caplog.text
    assert len(device.peers()["frontend"].peers) == 2
    for one in senders:
        one.close()
    eventually(lambda: budget.used_bytes() == before, "the memory")


def test_senders_to_a_worker_that_is_full_are_held_back_and_nothing_is_lost(run):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, sndhwm=0, engine="zmtp"))
    with stranger(device.endpoints["backend"][0], b"PULL") as worker:
        eventually(lambda: len(device.peers()["backend"].peers) == 1, "the worker")
        sender = stranger(device.endpoints["frontend"][0], b"PUSH")
        sent = [message(b"%d" % number + LARGE) for number in range(150)]
        sending = gevent.spawn(sender.sendall, b"".join(sent))
        eventually(lambda: budget.used_bytes() > BUDGET // 2, "what waits")
        got = 0
        with within("all messages"):
            while got < sum(map(len, sent)):
                got += len(worker.recv(MIB))
                assert budget.used_bytes() <= BUDGET + MIB
        sending.get()
        sender.close()
    assert "memory" not in device.peers()["frontend"].cut_off
