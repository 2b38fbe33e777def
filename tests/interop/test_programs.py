"""Programs that speak protocols of their own over ZeroMQ: zerorpc, and a Jupyter kernel. Skipped where they are not."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import zmq
from support.process import Program

from geventrelay import Custom, Device, Forwarder, Queue
from geventrelay.testing import LOCAL, eventually

pytestmark = pytest.mark.slow
LIMIT_S = 60


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: .venv-test/bin/pip install {' '.join(missing)}")


ZERORPC = """
    import gevent, zerorpc
    from geventrelay import Device, Queue

    class Server:
        def double(self, number):
            return 2 * number

        @zerorpc.stream
        def many(self, number):
            return iter(range(number))

    ANY = "tcp://127.0.0.1:0"
    with Device(Queue(frontend=ANY, backend=ANY)) as device:
        server = zerorpc.Server(Server(), heartbeat=1)
        server.connect(device.endpoints["backend"][0])
        gevent.spawn(server.run)
        clients = [zerorpc.Client(timeout=20, heartbeat=1) for _ in range(2)]
        for client in clients:
            client.connect(device.endpoints["frontend"][0])
        print([client.double(4) for client in clients], sum(clients[0].many(500)))
"""


@needs("zerorpc")
def test_calls_and_streams_of_zerorpc_go_through_a_queue_with_one_server():
    program = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(ZERORPC)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.stdout, done.returncode) == ("[8, 8] 124750\n", 0), done.stderr


NOTEBOOK = """
import sys
from jupyter_client import BlockingKernelClient

client = BlockingKernelClient()
client.load_connection_file(sys.argv[1])
client.start_channels()
client.wait_for_ready(timeout=40)
printed = []

def output(message):
    if message["msg_type"] == "stream":
        printed.append(message["content"]["text"])

reply = client.execute_interactive(
    "print(input() * 2)", output_hook=output, stdin_hook=lambda _: client.input("ab"), timeout=20
)
print(client.hb_channel.is_beating(), reply["content"]["status"], "".join(printed).strip(), flush=True)
client.shutdown()
client.stop_channels()
"""


@needs("jupyter_client", "ipykernel")
def test_a_jupyter_kernel_is_used_through_a_device_for_each_of_its_channels(run, tmp_path: Path):
    kernel_file, client_file = tmp_path / "kernel.json", tmp_path / "client.json"
    kernel = Program([sys.executable, "-m", "ipykernel_launcher", "-f", kernel_file], folder=tmp_path)
    # The kernel makes it, with free ports.
    with kernel:
        eventually(lambda: kernel_file.exists() and kernel_file.read_text().endswith("}"), kernel.report, LIMIT_S)
        connection = json.loads(kernel_file.read_text())
        for channel, device in through(run, connection).items():
            side = "backend" if channel == "iopub" else "frontend"
            connection[f"{channel}_port"] = int(device.endpoints[side][0].rpartition(":")[2])
        client_file.write_text(json.dumps(connection))
        with Program([sys.executable, "-c", NOTEBOOK, client_file], folder=tmp_path) as notebook:
            eventually(lambda: not notebook.lives, notebook.report, LIMIT_S)
            assert notebook.output == "True ok abab\n", notebook.report()
        eventually(lambda: not kernel.lives, "the kernel to end as it was told", LIMIT_S)


def through(run, connection: dict[str, object]) -> dict[str, Device]:
    """A device for each channel of a kernel, to which it connects."""
    # The kernel asks for input at stdin under the name that it knows from shell.
    named = {"backend": {zmq.ROUTING_ID: b"relay"}}
    devices: dict[str, Device] = {}
    for channel in ("shell", "control", "stdin"):
        kernel = f">tcp://127.0.0.1:{connection[f'{channel}_port']}"
        devices[channel] = run(Queue(name=channel, frontend=LOCAL, backend=kernel, socket_options=named))
    beats, news = (f">tcp://127.0.0.1:{connection[f'{channel}_port']}" for channel in ("hb", "iopub"))
    devices["hb"] = run(Custom(frontend_type="ROUTER", frontend=LOCAL, backend_type="DEALER", backend=beats))
    devices["iopub"] = run(Forwarder(frontend=news, backend=LOCAL))
    return devices
