"""Protects the sockets of a device: by libzmq, or at the door of engine zmtp."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping

import zmq

from ..components.door import Door, asking_door, guarded_door
from ..components.plan import SocketPlan
from ..engine.grant import Grant
from ..engine.peertable import PeersSnapshot
from ..engine.socket import RelaySocket
from ..engine.stages.contract import Stage
from ..engine.stages.senders import Senders
from ..errors import SettingsError, StartError
from ..log import event
from ..settings import DeviceSettings
from ..terms import Mechanism
from .disk import in_thread
from .guarded import Guarded
from .policy import Policy
from .protection import Protection, read
from .rights_file import Grants, grants_on_libzmq
from .rights_rules import SENT_BY_PEERS
from .socket_rules import Role
from .zap_handler import ZapHandler, give_back, take

log = logging.getLogger("geventrelay")

_ENFORCE = zmq.ZAP_ENFORCE_DOMAIN


class SocketGuard:
    """Protects the sockets of one start of a device; see `geventrelay.components.guard.Guard`.

    :param settings: the device's.
    :ivar on_change: see `Guard`.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        self._device = settings.name
        self._settings = settings
        self._rules = settings.access_rules
        self._with_rights = settings.rights_rules
        self.on_change: Callable[[], None] = _nothing
        self._grants: Grants | None = None
        self._handler: ZapHandler | None = None
        self._domains: dict[str, str] = {}
        self._guarded: dict[str, Guarded] = {}

    def protect(self, socket: RelaySocket, plan: SocketPlan) -> None:
        """Let no peer in at a new `socket` of a `plan` but those that its rules allow; see `Guard.protect`."""
        grant = self._grant(plan)
        rules = self._rules.get(plan.key) if grant is None else self._with_rights[plan.key]
        if rules is None:
            return
        try:
            protection = in_thread(read, rules)
            if rules.role is Role.SERVER:
                self._guard(socket, plan.key, protection, grant)
            _set_keys(socket, protection)
        except (SettingsError, zmq.ZMQError) as error:
            raise self._unprotected(plan, error) from error

    def _unprotected(self, plan: SocketPlan, error: SettingsError | zmq.ZMQError) -> StartError:
        reason = zmq.strerror(error.errno or 0) if isinstance(error, zmq.ZMQError) else error
        lines = str(reason).splitlines() or [""]
        return StartError("\n".join(f"cannot protect {self._device} {plan.key}: {line}" for line in lines))

    def stages(self, plan: SocketPlan) -> tuple[Stage, ...]:
        """What each message read from the socket of a `plan` has to pass; see `Guard.stages`."""
        guarded = self._guarded.get(plan.key)
        kind = zmq.SocketType(plan.type).name
        if guarded is None or guarded.grant is None or kind not in SENT_BY_PEERS:
            return ()
        return (Senders(subscriptions=kind == "XPUB"),)

    def door(self, plan: SocketPlan, door: Door) -> Door:
        """How peers come in at the socket of a `plan`, by its rules or by `door`; see `Guard.door`."""
        rules = self._rules.get(plan.key)
        if rules is None:
            return door
        try:
            protection = in_thread(read, rules)
        except SettingsError as error:
            raise self._unprotected(plan, error) from error
        secret = None if protection.keys is None else protection.keys.secret
        if protection.server_key is not None and secret is not None:
            return asking_door(protection.server_key, secret)
        guarded = self._guarded[plan.key] = Guarded(self._device, plan.key, self._policy(plan.key, protection))
        return guarded_door(rules.mechanism, secret, guarded.admit, door)

    def prepare(self, settings: DeviceSettings) -> Callable[[], None]:
        """Read what counts with other `settings`; see `Guard.prepare`."""
        if self._grants is not None:
            self._grants.refresh(anew=True)
        rules = settings.access_rules
        read_again = {key: in_thread(read, rules[key]) for key in list(self._guarded) if key in rules}
        policies = {key: self._policy(key, protection) for key, protection in read_again.items()}
        return functools.partial(self._go_on, policies)

    def complete(self, key: str, peers: PeersSnapshot) -> PeersSnapshot:
        """The `peers` of the socket `key` with who they are, and with what was refused; see `Guard.complete`."""
        guarded = self._guarded.get(key)
        return peers if guarded is None else guarded.ledger.complete(peers)

    def is_revoked(self, key: str, address: str) -> bool:
        """Whether a connection from `address` to the socket `key` may be one that counts no more; see `Guard`."""
        guarded = self._guarded.get(key)
        return guarded is not None and guarded.is_revoked(address)

    def forget_revoked(self, key: str) -> None:
        """Know nothing more of such connections to the socket `key`: they have been ended. Does not yield."""
        if key in self._guarded:
            self._guarded[key].forget_revoked()

    def close(self) -> None:
        """Let no more peers in: the sockets are closed. Yields; may be called twice."""
        handler, self._handler = self._handler, None
        if handler is not None:
            for domain in self._domains.values():
                handler.leave(domain)
            self._domains = {}
            self._guarded = {}
            give_back(handler)

    def _grant(self, plan: SocketPlan) -> Callable[[str], Grant | None] | None:
        """What a user may do at a socket of the pattern; None for everything."""
        if plan.key not in self._settings.socket_types:
            return None
        if self._grants is None:
            self._grants = grants_on_libzmq(self._settings)
            if self._grants is not None:
                self._grants.on_change = self._on_other_rights
        if self._grants is None or plan.key not in self._with_rights:
            return None
        return functools.partial(self._grants.grant, zmq.SocketType(plan.type).name)

    def _guard(
        self, socket: RelaySocket, key: str, protection: Protection, grant: Callable[[str], Grant | None] | None
    ) -> None:
        if self._handler is None:
            self._handler = take(socket.context)
        if grant is not None and not self._handler.answers:
            reason = "a ZAP handler of this program's own decides who may connect; --engine zmtp asks none"
            raise StartError(f"cannot hold peers to their rights ({self._device} {key}): {reason}")
        refresh = None if grant is None or self._grants is None else self._grants.refresh
        guarded = Guarded(self._device, key, self._policy(key, protection), grant, refresh)
        domain = self._handler.guard(f"{self._device}.{key}", guarded)
        self._domains[key], self._guarded[key] = domain, guarded
        socket.set(zmq.ZAP_DOMAIN, domain.encode())
        # Without it, libzmq lets every peer in while there is no handler.
        socket.set(_ENFORCE, 1)
        if protection.rules.mechanism is Mechanism.PLAIN:
            socket.set(zmq.PLAIN_SERVER, 1)
        elif protection.rules.mechanism is Mechanism.CURVE:
            socket.set(zmq.CURVE_SERVER, 1)

    def _policy(self, key: str, protection: Protection) -> Policy:
        """Who may connect to the socket `key`; the log says so if no peer can."""
        assert protection.policy is not None  # it is a server
        if protection.knows_no_peer:
            rules = protection.rules
            plain = rules.mechanism is Mechanism.PLAIN
            source, lacks = (rules.plain_passwords, "user") if plain else (rules.curve_clients, "public key (NAME.key)")
            reason = f"no peer can connect: there is no {lacks} in it"
            log.warning(event("no-peer-is-known", device=self._device, socket=key, path=source, reason=reason))
        return protection.policy

    def _on_other_rights(self) -> None:
        for guarded in self._guarded.values():
            guarded.note_other_rights()
        self.on_change()

    def _go_on(self, policies: Mapping[str, Policy]) -> None:
        for key, policy in policies.items():
            if key in self._guarded:
                self._guarded[key].go_on_with(policy)


def _nothing() -> None:
    pass


def _set_keys(socket: RelaySocket, protection: Protection) -> None:
    if protection.keys is not None:
        socket.set(zmq.CURVE_PUBLICKEY, protection.keys.public)
        socket.set(zmq.CURVE_SECRETKEY, protection.keys.secret)
    if protection.server_key is not None:
        socket.set(zmq.CURVE_SERVERKEY, protection.server_key)
