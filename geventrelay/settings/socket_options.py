"""ZeroMQ's socket options, as zmq_setsockopt(3) of libzmq 4.3.5 has them: which a device takes, for which sockets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import zmq

from ..errors import SettingsError
from .checks import Check, flag, whole

_ALIASES = {"identity": "routing_id", "connect_rid": "connect_routing_id"}
_Z85 = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")


class _Secret:
    """Stands in an error for a value that nobody is to read."""

    def __repr__(self) -> str:
        return "something else"


@dataclass(frozen=True, slots=True)
class SocketOption:
    """An option that a device's socket can be given.

    :ivar name: as in zmq_setsockopt(3), in lower case and without the ZMQ. :ivar number: libzmq's.
    :ivar check: turns a value into what libzmq is given: an int or bytes.
    :ivar types: the socket types that it is for; empty for every one. :ivar reason: why not for the others.
    :ivar secret: whether its value must not be shown.
    """

    name: str
    number: int
    check: Check
    types: Collection[str] = ()
    reason: str = ""
    secret: bool = False

    def read(self, name: str, value: Any) -> int | bytes:
        """What libzmq is given for a value that a user wrote.

        :param name: what to call the input in an error. :param value: what was written.
        :raises SettingsError: if it breaks the option's rule; the value of a secret is not in it.
        """
        try:
            kept: int | bytes = self.check(name, value)
        except SettingsError as error:
            if not self.secret:
                raise
            raise SettingsError(name, error.rule, _Secret()) from None
        return kept

    def misfit(self, name: str, socket_type: str) -> SettingsError | None:
        """What is wrong with giving this to a socket; None if nothing is.

        :param name: what to call the input. :param socket_type: the socket's, e.g. ``"PUB"``.
        """
        if not self.types or socket_type in self.types:
            return None
        reason = f" ({self.reason})" if self.reason else ""
        return SettingsError(name, f"a socket of the type {' or '.join(self.types)}{reason}", socket_type)


def option_of(written: str) -> SocketOption:
    """The option of a name.

    :param written: the option's name, with ``-`` or ``_``.
    :raises SettingsError: if there is none, or none that a device takes, with the reason.
    :raises KeyError: if ZeroMQ has no such option.
    """
    plain = written.replace("-", "_")
    plain = _ALIASES.get(plain, plain)
    if plain in REFUSED:
        raise SettingsError(written, f"no {plain} ({REFUSED[plain]})", written)
    return OPTIONS[plain]


def _switch(name: str, value: Any) -> int:
    return value if type(value) is int and value in (0, 1) else int(flag(name, value))


def _switch_or_unset(name: str, value: Any) -> int:
    return int(value) if type(value) is not bool and value in (-1, "-1", "0", "1") else _switch(name, value)


def _text(limit_bytes: int = 255) -> Check:
    rule = f"text of 1 to {limit_bytes} bytes without NUL"

    def check(name: str, value: Any) -> bytes:
        text = value.encode(errors="surrogateescape") if isinstance(value, str) else value
        if not isinstance(text, bytes) or not 1 <= len(text) <= limit_bytes or b"\0" in text:
            raise SettingsError(name, rule, value)
        return text

    return check


def _message(name: str, value: Any) -> bytes:
    text = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    if not isinstance(text, bytes):
        raise SettingsError(name, "text", value)
    return text


def _routing_id(name: str, value: Any) -> bytes:
    text = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    if not isinstance(text, bytes) or not 1 <= len(text) <= 255 or text[0] == 0:
        raise SettingsError(name, "a routing id: 1 to 255 bytes, the first of which is not NUL", value)
    return text


def _key(name: str, value: Any) -> bytes:
    if isinstance(value, bytes) and len(value) == 32:
        return value
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or len(text) != 40 or not set(text) <= _Z85:
        raise SettingsError(name, "a CURVE key: 40 characters of Z85", value)
    return text.encode()


def _host_and_port(name: str, value: Any) -> bytes:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or not re.fullmatch(r"[^\s:]+:[0-9]{1,5}", text, re.ASCII):
        raise SettingsError(name, "HOST:PORT", value)
    return text.encode()


def _unset_or_positive(name: str, value: Any) -> int:
    number: int = whole(-1)(name, value)
    if number == 0:
        raise SettingsError(name, "-1 or an integer from 1 to 2147483647", value)
    return number


def _network(name: str, value: Any) -> bytes:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    try:
        return str(ipaddress.ip_network(text if isinstance(text, str) else "", strict=False)).encode()
    except ValueError:
        raise SettingsError(name, "a network of IP addresses, e.g. 10.0.0.0/8", value) from None


_MS, _SWITCH, _FROM_0 = whole(0), _switch, whole(0)
_SENDERS = ("PUB", "XPUB", "PUSH", "ROUTER", "DEALER", "PAIR", "REP")
_RECEIVERS = ("SUB", "XSUB", "XPUB", "PULL", "ROUTER", "DEALER", "PAIR", "REP")
_ROUTED = ("ROUTER", "DEALER", "REP")
_Row = tuple[str, Check] | tuple[str, Check, Collection[str]] | tuple[str, Check, Collection[str], str]
_SECRETS = frozenset({"curve_secretkey", "plain_password", "socks_password"})
_ROWS: tuple[_Row, ...] = (
    # Queues
    ("sndhwm", _FROM_0, _SENDERS, "the others send subscriptions at most, and lose without a word what is above it"),
    ("rcvhwm", _FROM_0, _RECEIVERS, "the others receive nothing that is queued"),
    ("linger", _MS),
    ("immediate", _SWITCH, ("PUSH", "PUB"), "with a broken connection, the others lose what has come in unread"),
    ("maxmsgsize", whole(-1, 2**63 - 1)),
    ("sndbuf", whole(-1)),
    ("rcvbuf", whole(-1)),
    # Connections
    ("affinity", whole(0, 2**63 - 1)),
    ("backlog", whole(1)),
    ("bindtodevice", _text(15)),
    ("connect_timeout", _MS),
    ("handshake_ivl", _MS),
    ("heartbeat_ivl", _MS),
    ("heartbeat_timeout", _MS),
    ("heartbeat_ttl", whole(0, 6_553_599)),
    ("ipc_filter_gid", whole(0)),
    ("ipc_filter_pid", whole(1)),
    ("ipc_filter_uid", whole(0)),
    ("ipv6", _SWITCH),
    ("reconnect_ivl", whole(-1)),
    ("reconnect_ivl_max", _MS),
    ("reconnect_stop", whole(0, 7)),
    ("socks_password", _text()),
    ("socks_proxy", _host_and_port),
    ("socks_username", _text()),
    ("tcp_accept_filter", _network),
    ("tcp_keepalive", _switch_or_unset),
    ("tcp_keepalive_cnt", _unset_or_positive),
    ("tcp_keepalive_idle", _unset_or_positive),
    ("tcp_keepalive_intvl", _unset_or_positive),
    ("tcp_maxrt", _MS),
    ("tos", whole(0, 255)),
    # Security
    ("curve_publickey", _key),
    ("curve_secretkey", _key),
    ("curve_server", _SWITCH),
    ("curve_serverkey", _key),
    ("plain_password", _text()),
    ("plain_username", _text()),
    # Of one type or a few
    ("connect_routing_id", _routing_id, ("ROUTER",)),
    ("invert_matching", _SWITCH, ("PUB", "XPUB", "SUB")),
    ("only_first_subscribe", _SWITCH, ("XPUB", "XSUB")),
    ("probe_router", _SWITCH, _ROUTED),
    ("router_handover", _SWITCH, ("ROUTER",)),
    ("routing_id", _routing_id, _ROUTED),
    ("xpub_verbose", _SWITCH, ("XPUB",)),
    ("xpub_verboser", _SWITCH, ("XPUB",)),
    ("xpub_welcome_msg", _message, ("XPUB",)),
)


def _option(name: str, check: Check, types: Collection[str] = (), reason: str = "") -> SocketOption:
    return SocketOption(name, int(zmq.SocketOption[name.upper()]), check, types, reason, name in _SECRETS)


OPTIONS: dict[str, SocketOption] = {row[0]: _option(*row) for row in _ROWS}
"""The options that a device's socket can be given, by name."""

BY_NUMBER: dict[int, SocketOption] = {option.number: option for option in OPTIONS.values()}
"""The same by libzmq's numbers."""

_REASONS: dict[str, tuple[str, ...]] = {
    "a device's own option subscribe says what it takes": ("subscribe", "unsubscribe"),
    "slow-subscriber = \"block\" does this": ("xpub_nodrop",),
    "a device waits for its sockets without blocking, and for as long as it takes": ("rcvtimeo", "sndtimeo"),
    "it keeps the last part of all, and the others are lost uncounted": ("conflate",),
    "it is always on, so that a reply that cannot be routed is counted": ("router_mandatory",),
    "messages would no longer be ZeroMQ's": ("router_raw", "stream_notify"),
    "a forwarder passes subscriptions on by itself": ("xpub_manual", "xpub_manual_last_value"),
    "the device sets it, so that bytes that are not ZMTP are refused": ("zap_domain",),
    "nobody answers ZAP here, so that every peer would be refused": ("zap_enforce_domain", "plain_server"),
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
"""Why no device takes each of ZeroMQ's other options."""


def check_options(
    given: Any, keys: Collection[str], types: Mapping[str, str]
) -> tuple[dict[str, dict[int, int | bytes]], list[SettingsError]]:
    """The options of several sockets as they are kept, and all that is wrong with them.

    :param given: socket key -> libzmq's number of an option -> its value.
    :param keys: the sockets that there can be. :param types: the types of those whose type is known.
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
                option = _numbered(key, number)
                taken[option.name] = option.read(f"{key}.{option.name}", value)
            except SettingsError as error:
                errors.append(error)
        kept[key] = {OPTIONS[name].number: value for name, value in taken.items()}
        errors += _misfits(key, types.get(key), taken)
    return kept, errors


def _numbered(key: str, number: Any) -> SocketOption:
    option = BY_NUMBER.get(number)
    if option is not None:
        return option
    try:
        name = zmq.SocketOption(number).name.lower()
    except ValueError:
        raise SettingsError(key, "libzmq's number of a socket option", number) from None
    raise SettingsError(f"{key}.{name}", f"no {name} ({REFUSED.get(name, 'it cannot be set')})", name)


def _misfits(key: str, socket_type: str | None, options: Mapping[str, Any]) -> Iterator[SettingsError]:
    """What is wrong with giving `options`, by name, to the socket `key` of a type that may be known."""
    for name in options if socket_type is not None else ():
        error = OPTIONS[name].misfit(f"{key}.{name}", str(socket_type))
        if error is not None:
            yield error
    if options.get("curve_server") and "curve_secretkey" not in options:
        yield SettingsError(f"{key}.curve_server", "curve_secretkey beside it", options["curve_server"])
    missing = {"curve_publickey", "curve_secretkey"} - set(options)
    if "curve_serverkey" in options and missing:
        yield SettingsError(f"{key}.curve_serverkey", f"{' and '.join(sorted(missing))} beside it", "it alone")
