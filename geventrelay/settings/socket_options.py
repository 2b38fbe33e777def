"""ZeroMQ's socket options, as zmq_setsockopt(3) of libzmq 4.3.5 has them: which a device takes, for which sockets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import zmq

from ..errors import SettingsError
from .checks import LONGEST_KEEPALIVE_S, SMALLEST_MESSAGE_LIMIT_BYTES, Check, whole
from .concealed import ConcealedText, Unshown
from .option import with_unit
from .socket_checks import (
    curve_key,
    host_and_port,
    limited_text,
    message,
    network,
    routing_id,
    switch,
    switch_or_unset,
)

_ALIASES = {"identity": "routing_id", "connect_rid": "connect_routing_id"}


@dataclass(frozen=True, slots=True)
class SocketOption:
    """An option that a device's socket can be given.

    :ivar name: as in zmq_setsockopt(3), in lower case and without the ZMQ.
    :ivar number: libzmq's.
    :ivar check: turns a value into what libzmq is given: an int or bytes.
    :ivar help: which values it takes.
    :ivar sockets: which sockets it is for, in words; empty where the `types` say it.
    :ivar unit: what its number counts.
    :ivar types: the socket types that it is for; empty for every one.
    :ivar reason: why not for the others.
    :ivar secret: whether its value must not be shown.
    """

    name: str
    number: int
    check: Check
    help: str
    sockets: str
    unit: str = ""
    types: Collection[str] = ()
    reason: str = ""
    secret: bool = False

    def read(self, name: str, value: Any) -> int | bytes:
        """What libzmq is given for a value that a user wrote.

        :param name: what to call the input in an error.
        :param value: what was written.
        :raises SettingsError: if it breaks the option's rule; the unit is named, and the value of a secret is not.
        """
        try:
            kept: int | bytes = self.check(name, value)
        except SettingsError as error:
            hidden = self.secret and not isinstance(value, ConcealedText)
            raise with_unit(SettingsError(name, error.rule, Unshown() if hidden else value), self.unit) from None
        return kept

    @property
    def written(self) -> str:
        """Its name as a file and the docs have it: with ``-``."""
        return self.name.replace("_", "-")

    def shown(self, kept: int | bytes) -> object:
        """What an error shows of `kept`, a value that `read` has returned."""
        if self.secret:
            return Unshown()
        if self.check is switch:
            return bool(kept)
        return kept.decode(errors="backslashreplace") if isinstance(kept, bytes) else kept

    def misfit(self, name: str, socket_type: str) -> SettingsError | None:
        """What is wrong with giving this to a socket; None if nothing is.

        :param name: what to call the input.
        :param socket_type: the socket's, e.g. ``"PUB"``.
        """
        if not self.types or socket_type in self.types:
            return None
        reason = f" ({self.reason})" if self.reason else ""
        return SettingsError(name, f"a socket of the type {' or '.join(self.types)}{reason}", socket_type)


def option_of(written: str, value: Any) -> SocketOption:
    """The option of a name.

    :param written: the option's name, with ``-`` or ``_``.
    :param value: what it is given, for the error.
    :raises SettingsError: if there is none, or none that a device takes, with the reason.
    :raises KeyError: if ZeroMQ has no such option.
    """
    plain = written.replace("-", "_")
    plain = _ALIASES.get(plain, plain)
    if plain in REFUSED:
        raise SettingsError(written, _no(plain, REFUSED[plain]), value)
    return OPTIONS[plain]


def _no(name: str, reason: str) -> str:
    return f"no {name.replace('_', '-')} ({reason})"


_FROM_0 = whole(0)
_SIZE = whole(SMALLEST_MESSAGE_LIMIT_BYTES, 2**63 - 1, besides=-1)
_KEEPALIVE = whole(1, LONGEST_KEEPALIVE_S, besides=-1)
_SENDERS = ("PUB", "XPUB", "PUSH", "ROUTER", "DEALER", "PAIR", "REP")
_RECEIVERS = ("SUB", "XSUB", "XPUB", "PULL", "ROUTER", "DEALER", "PAIR", "REP")
_ROUTED = ("ROUTER", "DEALER", "REP")
_SECRETS = frozenset({"curve_secretkey", "plain_password", "socks_password"})
_BINDS, _CONNECTS = "all that bind", "all that connect"


ZAP_DOMAIN = b"geventrelay"
"""Keeps ZMTP 1.0 and 2.0 out: libzmq refuses them where there is a domain (session_base_t::zap_enabled)."""


def _legacy_peers(name: str, value: Any) -> bytes:
    if value in (b"", ZAP_DOMAIN):
        return bytes(value)
    return b"" if switch(name, value) else ZAP_DOMAIN


def lets_legacy_peers_in(key: str, settings: Any) -> bool:
    """Whether the socket `key` of a device takes peers that speak ZMTP 1.0 or 2.0.

    :param settings: the device's `geventrelay.settings.DeviceSettings`.
    """
    own = settings.socket_options.get(key, {}).get(zmq.ZAP_DOMAIN)
    if own is not None:
        return bool(own == b"")
    # Commands and watchers are for programs of today; a table of their own may say otherwise.
    return bool(settings.legacy_peers) and key not in ("control", "tap")


def _option(
    name: str,
    check: Check,
    help: str,
    sockets: str = "",
    *,
    unit: str = "",
    types: Collection[str] = (),
    reason: str = "",
    number: int | None = None,
) -> SocketOption:
    number = int(zmq.SocketOption[name.upper()] if number is None else number)
    for_all = "" if types else "all"
    return SocketOption(name, number, check, help, sockets or for_all, unit, types, reason, name in _SECRETS)


_EVERY = (
    # Queues
    _option(
        "sndhwm",
        _FROM_0,
        "0 is no limit",
        "all that send: not SUB, XSUB, PULL",
        unit="messages",
        types=_SENDERS,
        reason="the others send subscriptions at most, and lose without notice what is above it",
    ),
    _option(
        "rcvhwm",
        _FROM_0,
        "0 is no limit",
        "all that receive: not PUB, PUSH",
        unit="messages",
        types=_RECEIVERS,
        reason="the others receive nothing that is queued",
    ),
    _option("linger", _FROM_0, "how long a closing socket goes on sending", unit="ms"),
    _option(
        "immediate",
        switch,
        "true or false",
        types=("PUSH", "PUB"),
        reason="with a broken connection, the others lose what has come in unread",
    ),
    _option("maxmsgsize", _SIZE, "from 1024 up; -1 is no limit", unit="bytes"),
    _option("sndbuf", whole(-1), "the kernel's buffer; -1 leaves it", unit="bytes"),
    _option("rcvbuf", whole(-1), "the kernel's buffer; -1 leaves it", unit="bytes"),
    # Connections
    _option("affinity", whole(0, 2**63 - 1), "a bit for each I/O thread; 0 is every one"),
    _option("backlog", whole(1), "connections that wait to be accepted", _BINDS, unit="connections"),
    _option("bindtodevice", limited_text(15), "a network interface (needs privileges)"),
    _option("connect_timeout", _FROM_0, "0 leaves it", _CONNECTS, unit="ms"),
    _option("handshake_ivl", _FROM_0, "how long a handshake may take; 0 is no limit", unit="ms"),
    _option("heartbeat_ivl", _FROM_0, "think before you set it, see below", unit="ms"),
    _option("heartbeat_timeout", _FROM_0, "how long to wait for the answer", unit="ms"),
    _option("heartbeat_ttl", whole(0, 6_553_599), "what the peer is asked to wait", unit="ms"),
    _option("ipc_filter_gid", whole(0), "a group's number; others are refused", "all that bind ipc"),
    _option("ipc_filter_pid", whole(1), "a process's number", "all that bind ipc"),
    _option("ipc_filter_uid", whole(0), "a user's number", "all that bind ipc"),
    _option("ipv6", switch, "true or false"),
    _option("reconnect_ivl", whole(1, besides=-1), "-1 is never", _CONNECTS, unit="ms"),
    _option("reconnect_ivl_max", _FROM_0, "0 is reconnect_ivl", _CONNECTS, unit="ms"),
    _option("reconnect_stop", whole(0, 7), "a sum of flags, 0 to 7", _CONNECTS),
    _option("socks_password", limited_text(), "text, never shown", _CONNECTS),
    _option("socks_proxy", host_and_port, "HOST:PORT", _CONNECTS),
    _option("socks_username", limited_text(), "text", _CONNECTS),
    _option("tcp_accept_filter", network, "a network, e.g. 10.0.0.0/8", "all that bind tcp"),
    _option("tcp_keepalive", switch_or_unset, "true or false; -1 leaves it"),
    _option("tcp_keepalive_cnt", whole(1, 127, besides=-1), "1 to 127; -1 leaves it", unit="probes"),
    _option("tcp_keepalive_idle", _KEEPALIVE, "1 to 32767; -1 leaves it", unit="seconds"),
    _option("tcp_keepalive_intvl", _KEEPALIVE, "1 to 32767; -1 leaves it", unit="seconds"),
    _option("tcp_maxrt", _FROM_0, "0 leaves it", unit="ms"),
    _option("tos", whole(0, 255), "0 to 255"),
    # Security
    _option("curve_publickey", curve_key, "a key of 40 characters"),
    _option("curve_secretkey", curve_key, "a key of 40 characters, never shown"),
    _option("curve_server", switch, "true or false, with curve_secretkey and curve-clients"),
    _option("curve_serverkey", curve_key, "a key of 40 characters, with both keys of its own"),
    _option("plain_password", limited_text(), "text, never shown", _CONNECTS),
    _option("plain_username", limited_text(), "text", _CONNECTS),
    _option("legacy_peers", _legacy_peers, "true or false; wins over the device's legacy-peers", number=zmq.ZAP_DOMAIN),
    # Of one type or a few
    _option("connect_routing_id", routing_id, "text, for the first peer connected to", types=("ROUTER",)),
    _option("invert_matching", switch, "true or false", types=("PUB", "XPUB", "SUB")),
    _option("only_first_subscribe", switch, "true or false", types=("XPUB", "XSUB")),
    _option("probe_router", switch, "true or false", types=_ROUTED),
    _option("router_handover", switch, "true or false", types=("ROUTER",)),
    _option("routing_id", routing_id, "text; identity is the same", types=_ROUTED),
    _option("xpub_verbose", switch, "true or false, see below", types=("XPUB",)),
    _option("xpub_verboser", switch, "true or false, the same here", types=("XPUB",)),
    _option("xpub_welcome_msg", message, "text", types=("XPUB",)),
)

OPTIONS: dict[str, SocketOption] = {option.name: option for option in _EVERY}
"""The options that a device's socket can be given, by name."""

BY_NUMBER: dict[int, SocketOption] = {option.number: option for option in OPTIONS.values()}
"""The same by libzmq's numbers."""

AFFINITY = OPTIONS["affinity"].number
"""libzmq's number of the option that chooses I/O threads."""

_REASONS: dict[str, tuple[str, ...]] = {
    "a device's own option subscribe says what it takes": ("subscribe", "unsubscribe"),
    "slow-subscriber = \"block\" does this": ("xpub_nodrop",),
    "a device waits for its sockets without blocking, and for as long as it takes": ("rcvtimeo", "sndtimeo"),
    "it keeps the last part of all, and the others are lost uncounted": ("conflate",),
    "it is always on, so that a reply that cannot be routed is counted": ("router_mandatory",),
    "messages would no longer be ZeroMQ's": ("router_raw", "stream_notify"),
    "a forwarder passes subscriptions on by itself": ("xpub_manual", "xpub_manual_last_value"),
    "the device sets it, so that bytes that are not ZMTP are refused": ("zap_domain",),
    "the device sets it where there are rules of who may connect": ("zap_enforce_domain", "plain_server"),
    "the server gives it to sockets that it was started with": ("use_fd",),
    "ipv6 is its successor": ("ipv4only",),
    "no device has a REQ": ("req_correlate", "req_relaxed"),
    "multicast is no transport of a device": (
        "multicast_hops", "multicast_loop", "multicast_maxtpdu", "rate", "recovery_ivl", "norm_mode",
        "norm_unicast_nack", "norm_buffer_size", "norm_segment_size", "norm_block_size", "norm_num_parity",
        "norm_num_autoparity", "norm_push",
    ),
    "vmci is no transport of a device": (
        "vmci_buffer_size", "vmci_buffer_min_size", "vmci_buffer_max_size", "vmci_connect_timeout",
    ),
    "pyzmq's libzmq is built without GSSAPI": (
        "gssapi_plaintext", "gssapi_principal", "gssapi_principal_nametype", "gssapi_server",
        "gssapi_service_principal", "gssapi_service_principal_nametype",
    ),
    "it is a draft, which libzmq's releases leave out": (
        "busy_poll", "disconnect_msg", "hello_msg", "hiccup_msg", "in_batch_size", "metadata", "out_batch_size",
        "priority", "router_notify", "xsub_verbose_unsubscribe",
    ),
}  # fmt: skip

REFUSED: dict[str, str] = {name: reason for reason, names in _REASONS.items() for name in names}
"""ZeroMQ's other options, each with the reason why a device does not take it."""


def check_options(
    given: Any, keys: Collection[str], types: Mapping[str, str]
) -> tuple[dict[str, dict[int, int | bytes]], list[SettingsError]]:
    """The options of several sockets as they are kept, and all that is wrong with them.

    :param given: socket key -> libzmq's number of an option -> its value.
    :param keys: the sockets that there can be.
    :param types: the types of those whose type is known.
    """
    if not isinstance(given, Mapping) or not all(isinstance(options, Mapping) for options in given.values()):
        return {}, [SettingsError("socket_options", "numbers of options with values, for each socket", given)]
    kept: dict[str, dict[int, int | bytes]] = {}
    errors: list[SettingsError] = []
    for key, options in given.items():
        if key not in keys:
            errors.append(SettingsError("socket_options", "sockets out of " + ", ".join(keys), key))
            continue
        taken: dict[str, int | bytes] = {}
        for number, value in options.items():
            try:
                option = _numbered(key, number, value)
                taken[option.name] = option.read(f"{key}.{option.name}", value)
            except SettingsError as error:
                errors.append(error)
        kept[key] = {OPTIONS[name].number: value for name, value in taken.items()}
        errors += _misfits(key, types.get(key), taken)
    return kept, errors


def _numbered(key: str, number: Any, value: Any) -> SocketOption:
    option = BY_NUMBER.get(number)
    if option is not None:
        return option
    try:
        name = zmq.SocketOption(number).name.lower()
    except ValueError:
        raise SettingsError(key, "libzmq's number of a socket option", number) from None
    raise SettingsError(f"{key}.{name}", _no(name, REFUSED.get(name, "it cannot be set")), value)


def _misfits(key: str, socket_type: str | None, options: Mapping[str, Any]) -> Iterator[SettingsError]:
    """What is wrong with giving `options`, by name, to the socket `key` of a type that may be known."""
    for name in options if socket_type is not None else ():
        error = OPTIONS[name].misfit(f"{key}.{name}", str(socket_type))
        if error is not None:
            yield error
    if options.get("curve_server") and "curve_secretkey" not in options:
        yield SettingsError(f"{key}.curve_server", "curve-secretkey beside it", True)
    secure = [name for name in ("curve_server", "curve_serverkey", "plain_username") if options.get(name)]
    if options.get("legacy_peers") == b"" and secure:
        yield SettingsError(
            f"{key}.legacy_peers", f"no {OPTIONS[secure[0]].written} beside it, for that needs ZMTP 3", True
        )
    missing = {"curve_publickey", "curve_secretkey"} - set(options)
    if "curve_serverkey" in options and missing:
        names = " and ".join(OPTIONS[name].written for name in sorted(missing))
        yield SettingsError(f"{key}.curve_serverkey", f"{names} beside it", Unshown("it alone"))
