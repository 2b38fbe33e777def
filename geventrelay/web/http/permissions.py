"""Access rules: other sites' pages may do nothing, and only a client with the token may change anything."""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Callable
from http import HTTPStatus

from .messages import Refusal, Request

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?::[0-9]{1,5})?")


class Guard:
    """Checks requests before they are answered.

    A page of another site can make a browser send requests to us, even at a loopback address: the site gives its own
    name our address (DNS rebinding). But the Host header then has that name, and the page cannot change it. So a name
    in the Host header is accepted only if it is ours; an IP address is always accepted.

    :param host: the host at which the server listens; its name is accepted.
    :param token: gives the token that a change needs, now; None forbids every change.
    """

    def __init__(self, host: str, token: Callable[[], str] | None) -> None:
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._token = token

    @property
    def has_token(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def check_host(self, request: Request) -> None:
        """Refuse a `request` that was meant for another server.

        :raises Refusal: 421 for another name in the Host header, 400 without a Host header.
        """
        host = request.headers.get("host")
        if host is None:
            # HTTP/1.0 need not have one, and no browser speaks it.
            if request.version == "HTTP/1.0":
                return
            raise Refusal(HTTPStatus.BAD_REQUEST, "a Host header is needed")
        match = _HOST.fullmatch(host)
        if match is None or not self._is_ours(match["name"]):
            rule = "an IP address, localhost, this host's name, or the name that --http was given"
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, f"Host: expected {rule}, got {host[:100]!r}")

    def check_change(self, request: Request) -> None:
        """Refuse a `request` to change something, unless it has the token and does not come from another site.

        :raises Refusal: 403 if no token was set or it comes from another site, 401 without the right one.
        """
        if _from_elsewhere(request):
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of other sites cannot change anything here")
        self.check_bearer(request, "nothing can be changed here")

    def check_bearer(self, request: Request, refused: str) -> None:
        """Refuse a `request` without the token.

        :param refused: the first words of the error if the server has no token.
        :raises Refusal: 403 if no token was set, 401 without the right one.
        """
        if self._token is None:
            raise Refusal(HTTPStatus.FORBIDDEN, f"{refused}: the server has no --http-token-file")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token().encode())
        if scheme.lower() != "bearer" or not right:
            challenge = {"WWW-Authenticate": 'Bearer realm="geventrelay"'}
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Authorization: expected Bearer and the server's token", challenge)

    def _is_ours(self, name: str) -> bool:
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.lower().rstrip(".") in self._names
        return True


def _from_elsewhere(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        # Browsers set this header, and a page cannot change it.
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    return origin is not None and origin not in (f"http://{host}", f"https://{host}")
