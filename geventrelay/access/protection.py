"""What the rules of a socket ask for, read: its keys, and the policy that decides who may connect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import SettingsError
from ..terms import Mechanism
from .keys import KeyPair, read_clients, read_pair, read_public_key
from .networks import Networks
from .options import ANY
from .passwords import Passwords, read_passwords
from .policy import AskUser, Policy
from .socket_rules import Role, SocketRules


@dataclass(frozen=True, slots=True)
class Protection:
    """What protects a socket.

    :ivar rules: what it was read from.
    :ivar keys: with CURVE: its own pair; None where libzmq's own option has it.
    :ivar server_key: with CURVE, of a client: the key of the one that it connects to, 32 bytes.
    :ivar policy: of a server: who may connect.
    """

    rules: SocketRules
    keys: KeyPair | None = None
    server_key: bytes | None = None
    policy: Policy | None = None

    @property
    def knows_no_peer(self) -> bool:
        """Whether this is a server of keys or passwords, and there is none. Does not yield."""
        if self.policy is None or self.policy.mechanism is Mechanism.NULL:
            return False
        known = self.policy.passwords.users if self.policy.mechanism is Mechanism.PLAIN else self.policy.clients
        return isinstance(known, Mapping) and not known


def read(rules: SocketRules) -> Protection:
    """What `rules` ask for. Blocks while files are read.

    :raises SettingsError: with a line for each thing that is wrong.
    """
    keys = None if rules.curve_secret is None else read_pair("curve-secret", rules.curve_secret)
    if rules.role is Role.CLIENT:
        assert rules.curve_serverkey is not None  # without one, there are no rules
        return Protection(rules, keys, read_public_key("curve-serverkey", rules.curve_serverkey))
    return Protection(rules, keys, policy=_policy(rules))


def _policy(rules: SocketRules) -> Policy:
    passwords = Passwords()
    if rules.mechanism is Mechanism.PLAIN:
        assert rules.plain_passwords is not None  # that makes it PLAIN
        passwords = read_passwords("plain-passwords", rules.plain_passwords)
    clients = _clients(rules) if rules.mechanism is Mechanism.CURVE else {}
    return Policy(rules.mechanism, Networks(rules.allow, rules.deny), clients, passwords)


def _clients(rules: SocketRules) -> dict[bytes, str] | AskUser | None:
    if rules.curve_clients == ANY:
        return None
    if isinstance(rules.curve_clients, Path):
        return read_clients("curve-clients", rules.curve_clients)
    if callable(rules.curve_clients):
        return rules.curve_clients
    raise SettingsError("curve-clients", "a folder, any or a function", rules.curve_clients)
