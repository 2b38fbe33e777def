"""Other libraries and versions of ZeroMQ at both ends of each pattern, with both engines, also with PLAIN and CURVE.

They are skipped where they are not. Debian's libzmq: package python3-zmq. An older pyzmq: `GEVENTRELAY_OTHER_PYTHON`
names a Python that has it. zeromq.js: `npm install zeromq`, where `NODE_PATH` names its node_modules.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.process import Program
from zmq.utils import z85

from geventrelay import Forwarder, Queue, Streamer
from geventrelay.access.keys import new_pair, write_pair
from geventrelay.access.passwords import set_password
from geventrelay.testing import LOCAL, eventually

PYTHON = r"""
import json, sys, time
import zmq

context = zmq.Context()
options = json.loads(sys.argv.pop())

def connected(kind, endpoint):
    made = context.socket(kind)
    made.linger, made.rcvtimeo = 0, 10000
    for name, value in options.items():
        setattr(made, name, value.encode())
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
const names = {
  plain_username: "plainUsername", plain_password: "plainPassword", curve_publickey: "curvePublicKey",
  curve_secretkey: "curveSecretKey", curve_serverkey: "curveServerKey",
}
const given = Object.entries(JSON.parse(process.argv.pop())).map(([name, value]) => [names[name], value])

function connected(kind, endpoint, options) {
  const made = new zmq[kind]({linger: 0, ...Object.fromEntries(given), ...options})
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


def secured(mechanism: str, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The rules of a device whose peers have a `mechanism`, and the options by which alice gets in."""
    if mechanism == "PLAIN":
        set_password("test", folder / "users", "alice", "secret")
        return {"plain_passwords": folder / "users"}, {"plain_username": "alice", "plain_password": "secret"}
    if mechanism == "CURVE":
        server, alice = new_pair(), new_pair()
        write_pair("test", folder, "server", server)
        write_pair("test", folder / "clients", "alice", alice)
        keys = {"curve_publickey": alice.public, "curve_secretkey": alice.secret, "curve_serverkey": server.public}
        rules = {"curve_secret": folder / "server.key_secret", "curve_clients": folder / "clients"}
        return rules, {name: z85.encode(key).decode() for name, key in keys.items()}
    return {}, {}


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN", "CURVE"])
@pytest.mark.parametrize("engine", ["libzmq", "zmtp"])
@pytest.mark.parametrize(("text", "program"), CLIENTS)
def test_every_pattern_serves_other_libraries(
    run, tmp_path: Path, text: str, program: str, engine: str, mechanism: str
):
    rules, shows = secured(mechanism, tmp_path)
    peer = tmp_path / "peer.js"
    peer.write_text(text)
    patterns = (Streamer, Queue, Forwarder)
    devices = [run(pattern(frontend=LOCAL, backend=LOCAL, engine=engine, **rules)) for pattern in patterns]
    where = [device.endpoints[key][0] for device in devices for key in ("frontend", "backend")]
    with Program([program, peer, *where, json.dumps(shows)], folder=tmp_path) as client:
        # The hub has to go on: the devices are in this process.
        eventually(lambda: client.output.count("\n") == 3, client.report, 30)
    assert client.output.splitlines() == ["pulled 0 4 1000000", "got question, answered", "took a wanted"]
