"""One request to a server over HTTP: what is sent, and how a missing answer is explained."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from geventrelay.cli.api_answer import StrangeAnswer
from geventrelay.cli.http_client import FAILURES, HttpClient, Refused

ANSWERS = {
    "/api": (200, {}, b"{}"),
    "/moved": (302, {"Location": "/api"}, b""),
    "/page": (200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"),
    "/refused": (401, {}, json.dumps({"error": "expected a token"}).encode()),
    "/strange": (404, {}, b"<html>"),
}


class Server(ThreadingHTTPServer):
    seen: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"]))
        status, headers, body = ANSWERS[self.path]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(server: Server) -> HttpClient:
    return HttpClient(f"http://127.0.0.1:{server.server_port}", 5)


def test_the_token_goes_to_the_server_that_was_asked_and_nowhere_else(server):
    with pytest.raises(Refused) as refused:
        client(server).get("/moved", "secret")
    assert refused.value.status == 302
    assert server.seen == [("/moved", "Bearer secret")]


def test_an_answer_of_another_media_type_is_refused(server):
    with pytest.raises(StrangeAnswer, match="text/html"):
        client(server).get("/page", kind="application/json")
    for kind in (None, "text/html"):
        client(server).get("/page", kind=kind).close()


@pytest.mark.parametrize(
    ("path", "status", "sentence", "text"),
    [("/refused", 401, "expected a token", "expected a token"), ("/strange", 404, None, "404 Not Found")],
)
def test_an_error_of_the_server_is_raised_with_what_it_says(server, path, status, sentence, text):
    with pytest.raises(Refused) as refused:
        client(server).get(path)
    assert (refused.value.status, refused.value.sentence, str(refused.value)) == (status, sentence, text)


def test_a_missing_answer_has_a_reason(server):
    asked = HttpClient("http://127.0.0.1:1", 5)
    with pytest.raises(FAILURES) as failure:
        asked.get("/api")
    assert asked.reason(failure.value) == "Connection refused"
