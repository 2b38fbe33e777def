"""What rights ask of a device's sockets with engine libzmq, which asks a ZAP handler who each peer is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import SettingsError
from ..terms import Mechanism
from .socket_rules import Role, SocketRules, is_of_both_kinds, misfits_of_libzmq, role_of, rules_of

TO_SUBSCRIBERS = ("PUB", "XPUB")
"""The types of sockets to whose peers engine libzmq sends whatever they subscribe to."""
SENT_BY_PEERS = ("SUB", "XSUB", "PULL", "ROUTER", "XPUB")
"""The types of sockets whose messages are held against the rights of their senders. Others may refuse peers instead."""

_WHERE = "where there are rights with engine libzmq"


def rules_with_rights(values: Mapping[str, Any], key: str) -> SocketRules | None:
    """The rules of the socket `key` where peers have rights: each is asked who it is, also where all are let in.

    Does not yield. None for a socket to which no peer connects, or over inproc alone, where it is never asked.

    :param values: the device's settings by field.
    """
    if role_of(values, key) is not Role.SERVER:
        return None
    return rules_of(values, key) or SocketRules(Role.SERVER, Mechanism.NULL, None, None, None, None, (), ())


def problems_with_rights(values: Mapping[str, Any], types: Mapping[str, str]) -> Iterator[SettingsError]:
    """Why peers could not be held to rights by engine libzmq. Does not yield.

    :param values: the settings that are right one by one, by field.
    :param types: the type of each socket of the pattern, by key.
    """
    for key, kind in types.items():
        rules = rules_with_rights(values, key) if values.get(key) else None
        if rules is None:
            continue
        inproc = next((one for one in values[key] if one.transport == "inproc"), None)
        if inproc is not None and kind in SENT_BY_PEERS:
            # What comes over it could not be told from what has no right to come.
            yield SettingsError(key, f"no inproc beside other endpoints {_WHERE}", str(inproc))
        if rules_of(values, key) is None:
            if is_of_both_kinds(values[key]):
                rule = f"endpoints that all bind or all connect {_WHERE}"
                yield SettingsError(key, rule, ", ".join(map(str, values[key])))
            yield from misfits_of_libzmq(values, key, {}, rules, _WHERE)
