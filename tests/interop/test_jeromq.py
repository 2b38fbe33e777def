"""JeroMQ 0.3, which speaks ZMTP 1.0, through devices with --legacy-peers: Debian's package libjeromq-java and a JDK."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import zmq
from support.process import Program

from geventrelay import Device, Forwarder, Queue, Streamer
from geventrelay.testing import LOCAL, Peers, eventually

JAR = Path("/usr/share/java/jeromq.jar")
PEER = """
import org.zeromq.ZMQ;

public class Peer {
    static ZMQ.Context context = ZMQ.context(1);

    static ZMQ.Socket connected(int type, String endpoint) {
        ZMQ.Socket made = context.socket(type);
        made.setReceiveTimeOut(10000);
        made.connect(endpoint);
        return made;
    }

    static void say(String text) {
        System.out.println(text);
        System.out.flush();
    }

    public static void main(String[] where) throws InterruptedException {
        ZMQ.Socket bound = context.socket(ZMQ.PUSH);
        say("bound " + bound.bindToRandomPort("tcp://127.0.0.1", 20000, 32000));

        ZMQ.Socket push = connected(ZMQ.PUSH, where[0]), pull = connected(ZMQ.PULL, where[1]);
        push.send("task");
        say("pulled " + pull.recvStr());

        ZMQ.Socket req = connected(ZMQ.REQ, where[2]), rep = connected(ZMQ.REP, where[3]);
        req.send("question");
        rep.send(rep.recvStr() + ", answered");
        say("got " + req.recvStr());

        ZMQ.Socket pub = connected(ZMQ.PUB, where[4]), sub = connected(ZMQ.SUB, where[5]);
        sub.subscribe("a".getBytes());
        sub.setReceiveTimeOut(50);
        String came = null;
        for (int turn = 0; came == null && turn < 200; turn++) {
            pub.send("b not wanted");
            pub.send("a wanted");
            came = sub.recvStr();
        }
        say("took " + came);
        bound.send("of a bound one");
        // The end of this thread is the end of the process, also before the message has gone out.
        Thread.currentThread().join();
    }
}
"""


def reason_to_skip() -> str | None:
    if not JAR.exists():
        return "there is no JeroMQ 0.3; on Debian: apt-get install libjeromq-java"
    # A program of one file needs the compiler.
    return None if shutil.which("javac") else "there is no javac; on Debian: apt-get install default-jdk-headless"


pytestmark = [pytest.mark.slow, pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip()))]


@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
def test_every_pattern_serves_jeromq_and_a_bound_one_is_connected_to(run, peers: Peers, tmp_path: Path, engine: str):
    (tmp_path / "Peer.java").write_text(PEER)
    devices: list[Device] = [
        run(pattern(frontend=LOCAL, backend=LOCAL, legacy_peers=True, engine=engine))
        for pattern in (Streamer, Queue, Forwarder)
    ]
    where = [device.endpoints[key][0] for device in devices for key in ("frontend", "backend")]
    with Program(["java", "-cp", JAR, "Peer.java", *where], folder=tmp_path) as program:

        def said(number: int) -> str:
            # The hub has to go on: the devices are in this process.
            eventually(lambda: program.output.count("\n") > number, program.report, 60)
            return program.output.splitlines()[number]

        port = said(0).removeprefix("bound ")
        assert [said(number) for number in (1, 2, 3)] == ["pulled task", "got question, answered", "took a wanted"]
        there = f">tcp://127.0.0.1:{port}"
        outward = run(Streamer(frontend=there, backend=LOCAL, legacy_peers=True, engine=engine))
        assert peers.connect(zmq.PULL, *outward.endpoints["backend"]).recv() == [b"of a bound one"]
