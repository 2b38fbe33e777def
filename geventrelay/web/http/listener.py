"""HTTP on gevent.pywsgi, with a limit on everything that a client can send, request or leave unread."""

from __future__ import annotations

import json
import logging
import socket as stdlib_socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import gevent
from gevent import pywsgi, socket
from gevent.pool import Pool

from ...errors import StartError
from ...log import event
from ...settings import HttpAddress
from .door import HEALTH_PATHS, Door, have_run_out
from .head import HeadError, check_coding, check_field, check_request_line, content_length

log = logging.getLogger("geventrelay")

MAX_HEADER_BYTES = 16 * 1024
"""The limit for all headers of a request together; in pywsgi, the request line has half of that."""
MAX_BODY_BYTES = 64 * 1024
REQUEST_S = 20.0
"""The time from one answer, or the connect, to the last byte of the next request. It also limits an idle connection."""
SEND_S = 30.0
"""How long a client may leave an answer unread."""
SPARE_REQUEST_S = 2.0
"""The same where there are too many connections, and only a probe is answered."""
_BACKLOG = 128
# So many connections are accepted before anything else has its turn.
_ACCEPT = 16
# Connections wait in the backlog while no descriptor is free.
_RAN_OUT_S = 0.1
# At a stop, for requests that are being answered.
_STOP_S = 0.2


_REASONS = {
    HTTPStatus.REQUEST_TIMEOUT: "slow_request",
    HTTPStatus.SERVICE_UNAVAILABLE: "connections",
}


class Bad(ValueError):
    """A request that cannot be read: the `status`, and one `sentence` with the reason."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status

    def response(self) -> bytes:
        """The whole answer; the connection ends after it."""
        body = json.dumps({"error": str(self)}).encode() + b"\n"
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


class _Limited:
    """A file with the lines of a head, and a limit on the bytes of all of them together."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = MAX_HEADER_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise Bad(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"headers of more than {MAX_HEADER_BYTES} bytes")
        check_field(line)
        return line


class _Handler(pywsgi.WSGIHandler):
    """One connection. A whole request must arrive within `REQUEST_S`, even if it comes byte by byte."""

    bad: Bad | None = None
    deadline: gevent.Timeout | None = None
    on_spare_place = False
    client = ""

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        super().__init__(sock, address, server)
        self._door: Door = server.door
        # This limits each send as a whole. Reading has a shorter limit, the deadline.
        sock.settimeout(SEND_S)

    def handle(self) -> None:
        with self._door.connection(self.client_address[0]) as self.on_spare_place:
            try:
                super().handle()
            except OSError as error:
                # The client has gone before its answer.
                log.debug(event("http-ended", peer=self._peer, reason=error))

    def read_requestline(self) -> str:
        self.deadline = gevent.Timeout.start_new(SPARE_REQUEST_S if self.on_spare_place else REQUEST_S)
        try:
            line: str = super().read_requestline()
        except gevent.Timeout as expired:
            self._end_deadline(expired)
            return ""
        except BaseException:
            self._end_deadline()
            raise
        if not line:
            self._end_deadline()
        return line

    def read_request(self, raw_requestline: str) -> Any:
        try:
            self._read_request(raw_requestline)
        except gevent.Timeout as expired:
            self._end_deadline(expired)
            self.bad = Bad(HTTPStatus.REQUEST_TIMEOUT, f"the request took more than {expired.seconds:g} s to come")
        except Bad as bad:
            self.bad = bad
        except HeadError as error:
            self.bad = Bad(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            # The parsers raise exceptions of many types.
            self.bad = Bad(HTTPStatus.BAD_REQUEST, f"not a request: {error}"[:200])
        finally:
            self._end_deadline()
        if self.bad is not None:
            raise self.bad
        return True

    def MessageClass(self, file: Any, *args: Any) -> Any:
        limited: Any = _Limited(file)
        headers = super().MessageClass(limited, *args)
        # Here, because pywsgi then takes out a Content-Length that stands beside a Transfer-Encoding.
        check_coding(headers.get_all("transfer-encoding", []), headers.get_all("content-length", []))
        return headers

    def handle_one_request(self) -> Any:
        try:
            result = super().handle_one_request()
        finally:
            self._end_deadline()
        # pywsgi's own answer to an unreadable request is not JSON.
        if isinstance(result, tuple):
            bad = self.bad or Bad(HTTPStatus(int(result[0])), "this cannot be read as a request")
            self._door.refuse(_REASONS.get(bad.status, "bad_request"), self._peer, str(bad))
            return str(bad.status.value), bad.response()
        self._door.answered()
        return result

    def process_result(self) -> None:
        if isinstance(self.result, list):
            super().process_result()
            return
        with self._door.stream(self.client):
            super().process_result()

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["RAW_URI"] = self.path
        return environ

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        self.close_connection = True
        if isinstance(error, gevent.GreenletExit):
            return
        if isinstance(error, TimeoutError):
            self._door.refuse("slow_reader", self._peer, f"an answer was not read within {SEND_S:g} s")
            return
        if isinstance(error, OSError):
            # The client has gone.
            log.debug(event("http-ended", peer=self._peer, reason=error))
            return
        log.error(event("http-failed", path=self.path, error=error), exc_info=(kind, error, trace))

    def log_error(self, msg: str, *args: Any) -> None:
        # The door logs it, once, with all that is refused.
        return

    def log_request(self) -> None:
        log.debug(event("http-request", peer=self._peer, request=self.requestline, status=self.code))

    @property
    def _peer(self) -> str:
        return "{}:{}".format(*self.client_address)

    def _read_request(self, line: str) -> None:
        check_request_line(line.encode("latin-1"))
        if not line.split()[1].startswith(("/", "*")):
            raise Bad(HTTPStatus.BAD_REQUEST, "a path starts with /")
        super().read_request(line)
        if self.on_spare_place and self.path not in HEALTH_PATHS:
            raise Bad(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections (--http-connections)")
        self.client = self._door.request(self.client_address[0], self.headers.get_all("x-forwarded-for", []))
        if len(self.headers.get_all("host", [])) > 1:
            raise Bad(HTTPStatus.BAD_REQUEST, "one Host is enough")
        if self.headers.get("transfer-encoding") is not None:
            raise Bad(HTTPStatus.LENGTH_REQUIRED, "a body needs a Content-Length here")
        if self.headers.get("expect") is not None:
            raise Bad(HTTPStatus.EXPECTATION_FAILED, "nothing can be expected")
        self._drop_body()

    def _drop_body(self) -> None:
        # No route uses a body. It is read within the deadline, because the next request comes after it.
        length = content_length(self.headers.get_all("content-length", []))
        if length > MAX_BODY_BYTES:
            raise Bad(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of more than {MAX_BODY_BYTES} bytes")
        if len(self.rfile.read(length)) < length:
            raise Bad(HTTPStatus.BAD_REQUEST, "the body is shorter than its Content-Length")
        self.content_length = 0

    def _end_deadline(self, expired: gevent.Timeout | None = None) -> None:
        deadline, self.deadline = self.deadline, None
        if deadline is not None:
            deadline.close()
        if expired is not None and expired is not deadline:
            raise expired


class _Server(pywsgi.WSGIServer):
    max_accept = _ACCEPT
    door: Door

    def do_read(self) -> Any:
        """Accept a connection; None if there is none. gevent prints a traceback for what this raises."""
        try:
            return super().do_read()
        except OSError as error:
            if not have_run_out(error):
                raise
            self.door.refuse("descriptors", "unknown", error.strerror or "")
        self.stop_accepting()
        gevent.spawn_later(_RAN_OUT_S, self._accept_again)
        return None

    def _accept_again(self) -> None:
        if self.started:
            self.start_accepting()


class Listener:
    """Listens at an address and hands requests to a WSGI application.

    :param address: where to listen; port 0 takes a free port.
    :param app: the application.
    :param door: lets connections in.
    """

    def __init__(self, address: HttpAddress, app: Callable[..., Any], door: Door) -> None:
        self._address = address
        self._app = app
        self._door = door
        self._server: Any = None
        self.address: HttpAddress | None = None

    def start(self) -> None:
        """Begin to answer; then `address` has the port. Yields while a name is resolved.

        :raises StartError: if it cannot listen there.
        """
        listening = _listen(self._address)
        self.address = HttpAddress(self._address.host, listening.getsockname()[1])
        # Without a limit, which the door has: it ends connections where a pool would not accept any.
        pool: Any = Pool()
        self._server = _Server(listening, self._app, spawn=pool, handler_class=_Handler, log=None, error_log=None)
        self._server.door = self._door
        self._server.start()

    def stop(self) -> None:
        """Accept nothing new, and end every connection soon. Yields; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.stop(_STOP_S)


def _listen(address: HttpAddress) -> Any:
    try:
        flags, kind = stdlib_socket.AI_PASSIVE, stdlib_socket.SOCK_STREAM
        found = socket.getaddrinfo(address.host, address.port, type=kind, flags=flags)
        # A name such as localhost often has both; every client tries IPv4.
        family, _, _, _, where = min(found, key=lambda one: one[0] != stdlib_socket.AF_INET)
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise StartError(f"cannot listen at {address} (--http): {error.strerror or error}") from error
    return listening
