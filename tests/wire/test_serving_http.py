"""HTTP on a server as it runs: it comes with it, goes last, and its counts outlive its devices."""

from __future__ import annotations

import pytest
import zmq
from support.http import TOKEN, Client
from support.serving import serve

from geventrelay import Queue, SettingsError, StartError, Streamer
from geventrelay.settings import HttpAddress, ServerSettings
from geventrelay.testing import LOCAL, Peers, eventually

__all__ = ["serve"]

ANYWHERE = HttpAddress("127.0.0.1", 0)


def streamer(name: str, **settings) -> Streamer:
    return Streamer(name=name, frontend=LOCAL, backend=LOCAL, **settings)


def client_of(serving) -> Client:
    return Client(serving.server.url)


def move(peers: Peers, serving, name: str, count: int) -> None:
    """Send tasks through a streamer, whose peers then leave."""
    source = peers.connect(zmq.PUSH, serving.endpoint(name, "frontend"))
    sink = peers.connect(zmq.PULL, serving.endpoint(name, "backend"))
    for _ in range(count):
        source.send(b"task")
    sink.recv_all(count)
    source.close()
    sink.close()


def metrics(client: Client) -> dict[str, float]:
    lines = client.get("/metrics").body.decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_counts_go_on_over_failures_and_restarts(serve, peers: Peers):
    serving = serve(streamer("tasks"), http=ANYWHERE)
    client = client_of(serving)
    for life in range(1, 4):
        move(peers, serving, "tasks", 10)
        for key in ("frontend", "backend"):
            eventually(
                lambda life=life, key=key: serving.server.devices["tasks"].peers()[key].disconnected_total == life,
                f"the end at the {key}",
            )
        if life == 2:
            serving.reload(streamer("tasks", max_message_size_bytes=100_000), http=ANYWHERE)
        elif life == 1:
            serving.fail("tasks")
        eventually(lambda: serving.server.ready, "the device to be up again")
    told = metrics(client)
    assert told['geventrelay_received_messages_total{device="tasks",socket="frontend"}'] == 30
    assert told['geventrelay_sent_bytes_total{device="tasks",socket="backend"}'] == 120
    assert told['geventrelay_connects_total{device="tasks",socket="frontend"}'] == 3
    assert told['geventrelay_disconnects_total{device="tasks",socket="backend"}'] == 3
    assert told['geventrelay_device_restarts_total{device="tasks"}'] == 1
    (device,) = client.get("/api/devices").json["devices"]
    assert (device["pumps"][0]["received"]["messages"], device["restarts"], device["state"]) == (30, 1, "running")
    assert device["failure"] is not None
    assert [one["disconnects"] for one in device["sockets"]] == [3, 3]


def test_a_device_that_waits_for_its_next_start_says_when(serve):
    serving = serve(streamer("tasks"), http=ANYWHERE, first_s=60, longest_s=60)
    client = client_of(serving)
    serving.fail("tasks")
    (device,) = client.get("/api/devices").json["devices"]
    assert (device["state"], device["started_at"]) == ("failed", None)
    assert 30 < device["next_start_in_s"] <= 60
    assert client.get("/healthz").status == 200
    assert client.get("/readyz").status == 503


def test_reload_by_http(serve, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    http = {"http": ANYWHERE, "http_token_file": token}
    serving = serve(streamer("one"), **http)
    client = client_of(serving)
    serving.configured = ServerSettings(devices=(streamer("two"), Queue(frontend=LOCAL, backend=LOCAL)), **http)
    assert client.post("/api/reload").json["added"] == ["two", "queue"]
    assert [one["name"] for one in client.get("/api/devices").json["devices"]] == ["two", "queue"]
    serving.configured = SettingsError("sndhwm", "an integer", "x")
    answer = client.post("/api/reload")
    assert (answer.status, answer.json["problems"]) == (422, ["sndhwm: expected an integer, got 'x'"])


def test_a_token_that_is_replaced_counts_from_the_next_request_on(serve, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    client = client_of(serve(streamer("one"), http=ANYWHERE, http_token_file=token))
    assert client.post("/api/devices/one/pause").status == 200
    token.write_text("another-token")
    assert client.post("/api/devices/one/resume").status == 401
    assert client.post("/api/devices/one/resume", "another-token").status == 200


def test_the_last_device_that_is_drained_ends_the_server_and_its_http(serve, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    serving = serve(streamer("one"), http=ANYWHERE, http_token_file=token)
    client = client_of(serving)
    assert client.post("/api/devices/one/drain").status == 200
    assert serving.ended() is None
    with pytest.raises(ConnectionRefusedError):
        client.get("/healthz")


def test_an_address_that_cannot_be_had_undoes_the_devices(serve):
    first = serve(streamer("one"), http=ANYWHERE)
    taken = HttpAddress("127.0.0.1", client_of(first).port)
    second = serve(streamer("two"), http=taken, ready=False)
    outcome = second.ended()
    assert isinstance(outcome, StartError)
    assert str(outcome).startswith(f"cannot listen at {taken} (--http): ")
    assert not second.device("two").started


def test_without_http_there_is_none(serve):
    assert serve(streamer("one")).server.url is None
