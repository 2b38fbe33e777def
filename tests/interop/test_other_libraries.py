"""Other libraries and versions of ZeroMQ at both ends of each pattern, with both engines; skipped where they are not.

Debian's libzmq: package python3-zmq. An older pyzmq: `GEVENTRELAY_OTHER_PYTHON` names a Python that has it. zeromq.js:
`npm install zeromq`, where `NODE_PATH` names its node_modules.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.process import Program

from geventrelay import Forwarder, Queue, Streamer
from geventrelay.testing import LOCAL, eventually

PYTHON = r"""
import sys, time
import zmq

context = zmq.Context()

def connected(kind, endpoint):
    made = context.socket(kind)
    made.linger, made.rcvtimeo = 0, 10000
    made.connect(endpoint)
    return made

push, pull = connected(zmq.PUSH, sys.argv[1]), connected(zmq.PULL, sys.argv[2])
push.send_multipart([b"", b"task", bytes(1000000)])
print("pulled", *[len(part) for part in pull.recv_multipart()], flush=True)

req, rep = connected(zmq.REQ, sys.argv[3]), connected(zmq.REP, sys.argv[4])
req.send(b"question")
rep.send(rep.recv() + b", answered")
print("got", req.recv().decode(), flush=True)

pub, sub = connected(zmq.PUB, sys.argv[5]), connected(zmq.SUB, sys.argv[6])
sub.subscribe(b"a")
sub.rcvtimeo, came = 50, None
for turn in range(200):
    pub.send(b"b not wanted")
    pub.send(b"a wanted")
    try:
        came = sub.recv()
        break
    except zmq.Again:
        pass
print("took", came.decode(), flush=True)
"""
NODE = r"""
const zmq = require("zeromq")

function connected(kind, endpoint, options) {
  const made = new zmq[kind]({linger: 0, ...options})
  made.connect(endpoint)
  return made
}

async function main(where) {
  const push = connected("Push", where[0]), pull = connected("Pull", where[1])
  await push.send(["", "task", Buffer.alloc(1000000)])
  console.log("pulled", ...(await pull.receive()).map(part => part.length))

  const req = connected("Request", where[2]), rep = connected("Reply", where[3])
  await req.send("question")
  await rep.send((await rep.receive()) + ", answered")
  console.log("got", String(await req.receive()))

  const pub = connected("Publisher", where[4]), sub = connected("Subscriber", where[5], {receiveTimeout: 50})
  sub.subscribe("a")
  for (let turn = 0; turn < 200; turn++) {
    await pub.send("b not wanted")
    await pub.send("a wanted")
    try {
      console.log("took", String(await sub.receive()))
      break
    } catch (error) {}
  }
  process.exit(0)
}

main(process.argv.slice(2))
"""


def works(*command: str) -> bool:
    """Whether the program is there and has what this needs."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def only_with(name: str, text: str, *command: str) -> object:
    """The case of one library; skipped where `command` does not find it."""
    missing = not works(*command)
    return pytest.param(text, command[0], id=name, marks=pytest.mark.skipif(missing, reason=f"there is no {name}"))


CLIENTS = [
    only_with("libzmq of Debian", PYTHON, "/usr/bin/python3", "-c", "import zmq"),
    only_with("other pyzmq", PYTHON, os.environ.get("GEVENTRELAY_OTHER_PYTHON", "no-python"), "-c", "import zmq"),
    only_with("zeromq.js", NODE, "node", "-e", 'require("zeromq")'),
]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
@pytest.mark.parametrize(("text", "program"), CLIENTS)
def test_every_pattern_serves_other_libraries(run, tmp_path: Path, text: str, program: str, engine: str):
    peer = tmp_path / "peer.js"
    peer.write_text(text)
    patterns = (Streamer, Queue, Forwarder)
    devices = [run(pattern(frontend=LOCAL, backend=LOCAL, engine=engine)) for pattern in patterns]
    where = [device.endpoints[key][0] for device in devices for key in ("frontend", "backend")]
    with Program([program, peer, *where], folder=tmp_path) as client:
        # The hub has to go on: the devices are in this process.
        eventually(lambda: client.output.count("\n") == 3, client.report, 30)
    assert client.output.splitlines() == ["pulled 0 4 1000000", "got question, answered", "took a wanted"]
