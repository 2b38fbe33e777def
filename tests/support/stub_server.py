"""A server that serves the documented JSON of devices that somebody has made up, and the page.

For what a real one cannot be brought to do at will: many devices, failures, an old token, silence.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import mimetypes
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import geventrelay
from geventrelay.backbone.values import OF_BACKBONE, BackboneSnapshot, LinkState, Neighbour, StoreState
from geventrelay.backbone.words.mesh import About
from geventrelay.engine.counters import OF_OUTLET, OutletSnapshot
from geventrelay.engine.peeraccount import PeerAccount
from geventrelay.engine.peertable import PeerSnapshot, PeersSnapshot
from geventrelay.engine.values import Kind, as_json
from geventrelay.web import report

PAGE = Path(geventrelay.__file__).parent / "web" / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def count(messages: int, bytes_each: int = 100) -> dict[str, int]:
    return {"messages": messages, "parts": messages, "bytes": messages * bytes_each}


def socket(key: str, kind: str, address: str, peers: int = 1, **changes: Any) -> dict[str, Any]:
    """One socket of a device, bound to `address`; `changes` are further members."""
    return {
        "key": key, "type": kind, "bound": [address], "connects": [], "peers": peers, "certain": True,
        "disconnects": 0,
        "handshake_failures": {}, "cut_off": {}, "retries": 0,
    } | changes  # fmt: skip


def pump(source: str, received: int, **outlets: dict[str, Any]) -> dict[str, Any]:
    """One pump; `outlets` are members to change, by the key of the socket: ``backend={"dropped": {"full": 1}}``."""
    made = []
    for key, changes in outlets.items():
        gone = sum(changes.get("dropped", {}).values()) + changes.get("held", 0)
        sent = received - gone
        counted = OutletSnapshot(key, held=0, sent=sent, sent_parts=sent, sent_bytes=100 * sent)
        made.append({"socket": key, **as_json(OF_OUTLET, counted), **changes})
    held = max(one["held"] for one in made)
    return {"source": source, "received": count(received), "bursts": received // 10, "held": held, "outlets": made}


def device(name: str, pattern: str, sockets: list[Any], pumps: list[Any], **changes: Any) -> dict[str, Any]:
    """One device that runs; `changes` are members to change."""
    return {
        "name": name, "pattern": pattern, "state": "running", "failure": None, "restarts": 0,
        "started_at": time.time() - 7000, "next_start_in_s": None, "held": sum(one["held"] for one in pumps),
        "sockets": sockets, "pumps": pumps,
    } | changes  # fmt: skip


def queue(name: str = "orders", *, port: int = 5555, received: int = 0, **changes: Any) -> dict[str, Any]:
    """A queue with two clients and a worker."""
    sockets = [
        socket("frontend", "ROUTER", f"tcp://127.0.0.1:{port}", 2),
        socket("backend", "DEALER", f"tcp://127.0.0.1:{port + 1}"),
    ]
    return device(name, "queue", sockets, [
        pump("frontend", received, backend={}), pump("backend", received, frontend={}),
    ], **changes)  # fmt: skip


def peer(address: str, **account: Any) -> dict[str, Any]:
    """A peer of engine zmtp at an address; `account` has what is to be other than of a SUB that gets all."""
    usual = {
        "id": 17, "type": "SUB", "routing_id": b"", "version": "3.1", "topics": (b"prices",), "oldest_s": None,
        "received_per_s": 0.0, "delivered_per_s": 210.5, "subscriptions": 1, "matched": 1200, "delivered": 1200,
        "waiting": 0, "waiting_bytes": 0,
    }  # fmt: skip
    known = PeerSnapshot(address, time.time() - 90, "NULL", account=PeerAccount(**(usual | account)))
    made: dict[str, Any] = report.connections({"": PeersSnapshot((known,))})["sockets"][""][0]
    return made


def relay(name: str = "prices", *, received: int = 0, dropped: int = 0, **changes: Any) -> dict[str, Any]:
    """A relay whose pullers have gone, if messages were `dropped`."""
    sockets = [
        socket("sub", "SUB", "tcp://127.0.0.1:6001", 3),
        socket("pub", "PUB", "tcp://127.0.0.1:6002", 12),
        socket("push", "PUSH", "tcp://127.0.0.1:6003", 0 if dropped else 1),
    ]
    lost = {"dropped": {"no_peer": dropped}} if dropped else {}
    return device(name, "relay", sockets, [pump("sub", received, pub={}, push=lost)], **changes)


def neighbour(number: int, **changes: Any) -> dict[str, Any]:
    """Another relay of the same name; `changes` are members to change, `about` what it says of itself."""
    about = About(
        version="0.1.0", server="nats://n2:4222", peers={"sub": 2, "pub": 40}, received_per_s=310, sent_per_s=12400
    )
    known = Neighbour(
        relay=f"{number:016x}", host=f"site-{number}.example.net", silent_s=0.4, wants=1, served=True, serves=True,
        received=0, lost=0, round_trip_s=0.0021, about=dataclasses.replace(about, **changes.pop("about", {})),
    )  # fmt: skip
    return report.neighbour(dataclasses.replace(known, **changes))


def working(one: dict[str, Any]) -> dict[str, Any]:
    """The same device, with a backbone that takes work of others."""
    last = one["pumps"][0]["outlets"][-1]
    one["pumps"].append(pump("backbone_work_in", 50, **{last["socket"]: {}}))
    return one


def storing(**changes: Any) -> dict[str, Any]:
    """The attributes of a backbone whose work NATS keeps, for `backbone`; `changes` are others."""
    return {
        "store": StoreState.STORING, "store_replicas": 3, "store_waiting": 3, "store_packs": 12, "store_bytes": 31_000,
        "stored": 1200, "fetched": 900, "redelivered": 64, "stored_again": 10,
    } | changes  # fmt: skip


def backbone(neighbours: Sequence[Any], **changes: Any) -> dict[str, Any]:
    """How a device is joined with `neighbours`; `changes` are attributes of the snapshot to change."""
    nothing: dict[str, Any] = {one.attribute: 0 for one in OF_BACKBONE if one.kind is Kind.GAUGE and not one.optional}
    known = {"wanted": 3, "others": len(neighbours), "round_trip_s": 0.0004}
    snapshot = BackboneSnapshot(
        relay="9c3f5e0b1a2d4c68", host="here.example.net", state=LinkState.CONNECTED, server="nats://n1:4222",
        reason="", neighbours=(), **(nothing | known),
    )  # fmt: skip
    return report.backbone(dataclasses.replace(snapshot, **changes)) | {"neighbours": list(neighbours)}


def forwarder(name: str = "weather", *, topics: int = 1000, kept: int | None = None) -> dict[str, Any]:
    """A forwarder of engine zmtp that counts topics, and keeps `kept` last values."""
    values = {} if kept is None else {"last_values": {"kept": kept, "bytes": 40 * kept, "given": 0, "forgotten": {}}}
    sockets = [
        socket("frontend", "XSUB", "tcp://127.0.0.1:5560", 2),
        socket("backend", "XPUB", "tcp://127.0.0.1:5561", 3),
    ]
    pumps = [pump("frontend", 12000, backend=values), pump("backend", 3, frontend={})]
    return device(name, "forwarder", sockets, pumps, engine="zmtp", topics=topics)


def topic(name: str | bytes, messages: int, **changes: Any) -> dict[str, Any]:
    """A topic that is counted; `changes` are members to change."""
    data = name if isinstance(name, bytes) else name.encode()
    return {
        "topic": data.decode(errors="replace"), "hex": data.hex(), "messages": messages, "error": 0,
        "bytes": 100 * messages, "messages_per_s": messages / 60, "bytes_per_s": messages / 0.6,
        "last_seen": time.time() - 2, "lost": 0, "lost_error": 0, "subscribers": 2,
    } | changes  # fmt: skip


class StubServer:
    """Serves `devices` on a free port of 127.0.0.1 for a ``with`` block.

    :param devices: called for every event with the seconds since the start; gives the devices then.
    :param token: what a bearer must know; None lets nobody change anything.
    :ivar posted: the paths that were posted to with the right token.
    :ivar overrides: path -> (status, answer), for what is to go wrong.
    :ivar history: the past of each device, as /api/history has it. :ivar interval_s: seconds between two of its points.
    :ivar tapped: lines that every watcher gets at once; then its answer goes on until `tap_over` is set.
    :ivar watched: the queries of all watchers so far.
    :ivar topics: the topics that are counted, as /topics has them: it sorts them by what is asked for, and cuts them.
    :ivar subscribers: the answer of /subscribers. :ivar last: lines of /last.
    :ivar asked: the path of each request for one of these three, with its query.
    """

    def __init__(
        self, devices: Callable[[float], list[Any]], *, token: str | None = None, period_s: float = 0.2
    ) -> None:
        self.devices, self.token, self.period_s = devices, token, period_s
        self.posted: list[str] = []
        self.states: dict[str, str] = {}
        self.overrides: dict[str, tuple[int, Any]] = {}
        self.history: dict[str, Any] = {}
        self.interval_s = 5
        self.peers: dict[str, Any] = {}
        self.subscriptions: list[Any] | None = None
        self.tapped: list[str] = []
        self.watched: list[dict[str, str]] = []
        self.topics: list[Any] = []
        self.subscribers: dict[str, Any] = {"version": 1, "device": "", "by_topic": True, "sockets": {}}
        self.last: list[Any] = []
        self.asked: list[str] = []
        self.over, self.tap_over = threading.Event(), threading.Event()
        self._started, self.started_at = time.monotonic(), time.time() - 7200
        self._http: ThreadingHTTPServer | None = None

    def __enter__(self) -> StubServer:
        self.start(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, port: int) -> None:
        """Listen there; 0 is a free one."""
        stub = self
        self.over.clear()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"stub": stub}))
        self._http.daemon_threads = False
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, and end every connection."""
        self.over.set()
        if self._http is not None:
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()
            self._http = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def answer(self) -> dict[str, Any]:
        """What /api/devices says now."""
        devices = copy.deepcopy(self.devices(time.monotonic() - self._started))
        for one in devices:
            one["state"] = self.states.get(one["name"], one["state"])
        server = {
            "geventrelay": "0.1.0", "burst": "native", "pid": 4711, "started_at": self.started_at, "ready": True,
            "hub_delay_s": 0.0004, "log_dropped": 0, "can_change": self.token is not None,
        }  # fmt: skip
        return {"version": 1, "server": server, "devices": devices}


class _Handler(BaseHTTPRequestHandler):
    stub: StubServer
    timeout = 10

    def log_message(self, format: str, *arguments: Any) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.stub.overrides:
            self._send(*self.stub.overrides[path])
        elif path == "/api/events":
            self._send_events()
        elif path == "/api/devices":
            self._send(200, self.stub.answer())
        elif path == "/api/values":
            self._send(200, report.values())
        elif path == "/api/history":
            self._send(200, {"version": 1, "interval_s": self.stub.interval_s, "devices": self.stub.history})
        elif path == "/api/token":
            if self._has_token():
                self._send(200, {"version": 1})
        elif path.endswith("/tap"):
            self._send_tapped()
        elif path.rpartition("/")[2] in ("topics", "subscribers", "last"):
            self.stub.asked.append(self.path)
            self._send_published(path.rpartition("/")[2])
        elif path.endswith("/peers"):
            self._send(200, {"version": 1, "sockets": self.stub.peers})
        elif path.endswith("/subscriptions"):
            known = self.stub.subscriptions
            answer = {"error": "no subscriptions"} if known is None else {"version": 1, "subscriptions": known}
            self._send(404 if known is None else 200, answer)
        else:
            self._send_file("index.html" if path == "/" else path[1:])

    def _has_token(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.stub.token}":
            return True
        self._send(401, {"error": "the token is wrong"})
        return False

    def do_POST(self) -> None:
        if not self._has_token():
            return
        self.stub.posted.append(self.path)
        path = self.path.partition("?")[0]
        if path in self.stub.overrides:
            self._send(*self.stub.overrides[path])
            return
        *_, name, word = self.path.split("/")
        if word == "disconnect":
            self.stub.peers = {}
            self._send(200, {"version": 1})
            return
        self.stub.states[name] = {"pause": "paused", "resume": "running", "drain": "stopped"}[word]
        (found,) = (one for one in self.stub.answer()["devices"] if one["name"] == name)
        self._send(200, {"version": 1, "device": found})

    def _send(self, status: int, answer: Any) -> None:
        self._send_bytes(status, "application/json", json.dumps(answer).encode())

    def _send_file(self, name: str) -> None:
        file = PAGE / name
        if "/" in name or not file.is_file():
            self._send(404, {"error": f"nothing at {self.path}"})
            return
        self._send_bytes(200, mimetypes.guess_type(name)[0] or "text/plain", file.read_bytes())

    def _send_bytes(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send_published(self, what: str) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query, errors="surrogateescape"))
        if what == "subscribers":
            self._send(200, self.stub.subscribers)
        elif what == "topics":
            by = {"rate": "messages_per_s", "last": "last_seen"}.get(query["sort"], query["sort"])
            found = [one for one in self.stub.topics if one["topic"].startswith(query.get("prefix", ""))]
            found.sort(key=lambda one: one[by] or 0 if by != "topic" else one[by], reverse=by != "topic")
            head = {"messages": 1, "lost": 140, "counted": len(self.stub.topics), "most_error": 7}
            sockets = {"backend": {**head, "topics": found[: int(query["limit"])]}}
            self._send(200, {"version": 1, "device": "", "sockets": sockets})
        elif self._has_token():
            body = "".join(f"{json.dumps(one)}\n" for one in self.stub.last)
            self._send_bytes(200, "application/x-ndjson", body.encode())

    def _send_tapped(self) -> None:
        if not self._has_token():
            return
        self.stub.watched.append(dict(parse_qsl(urlsplit(self.path).query)))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        try:
            self.wfile.write("".join(f"{line}\n" for line in ["", *self.stub.tapped]).encode())
            while not self.stub.over.is_set() and not self.stub.tap_over.wait(self.stub.period_s):
                self.wfile.write(b"\n")
        except OSError:
            # The browser has gone.
            return

    def _send_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            while not self.stub.over.wait(self.stub.period_s):
                self.wfile.write(f"event: devices\ndata: {json.dumps(self.stub.answer())}\n\n".encode())
        except OSError:
            # The browser has gone.
            return
