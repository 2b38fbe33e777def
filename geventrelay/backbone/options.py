"""The options that make a device one of several with the same name, joined over NATS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..settings.checks import flag, one_of, path, whole
from ..settings.concealed import Unshown
from ..settings.device_options import DeviceGroup
from ..settings.option import option, options_of
from ..terms import WhenFull
from .nats.address import ServerAddress, addresses

SMALLEST_BUFFER_BYTES = 1024 * 1024
"""Below it, what comes in a few milliseconds would be too much."""

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_LOGINS = ("backbone_credentials", "backbone_nkey", "backbone_login")


def _prefix(name: str, value: Any) -> str:
    """Take what the subjects begin with: `name` is what to call the input in an error, `value` what was given."""
    if not isinstance(value, str) or len(value) > 64 or not _PREFIX.fullmatch(value):
        rule = "up to 64 letters, digits, '_' and '-', in words with a '.' between them, a letter or digit first"
        raise SettingsError(name, rule, value)
    return value


@dataclass(frozen=True, kw_only=True)
class BackboneOptions(DeviceGroup):
    """With which other devices this one acts as one. docs/scaling.rst says more.

    A base of the patterns whose messages have topics, or are for one worker each.
    """

    __slots__ = ()

    title = "Backbone"

    backbone: tuple[ServerAddress, ...] | str | None = option(
        addresses,
        "act as one with all devices of the same name, joined over NATS, say nats://n1:4222,n2:4222",
        default=None,
        unset="none",
        metavar="URLS",
        many=True,
        rare=True,
    )
    backbone_prefix: str = option(
        _prefix,
        "what the subjects begin with at NATS; devices with another one are no part of it",
        default="geventrelay",
        metavar="PREFIX",
        rare=True,
    )
    backbone_buffer_bytes: int = option(
        whole(SMALLEST_BUFFER_BYTES, 2**62),
        "keep so much for other devices while NATS is away or slow, and as much from them for slow subscribers",
        default=64 * 1024 * 1024,
        bound=True,
        rare=True,
    )
    backbone_when_full: WhenFull | str = option(
        one_of(WhenFull),
        "when that is used up",
        default=WhenFull.DROP,
        metavar="POLICY",
        values={
            "drop": "drop what is for other devices, and count it",
            "block": "wait; then publishers wait too",
        },
        rare=True,
    )
    backbone_login: Path | None = option(
        path,
        "a file with USER:PASSWORD, or with a token, for NATS",
        default=None,
        unset="none",
        metavar="FILE",
        rare=True,
    )
    backbone_credentials: Path | None = option(
        path, "a file with the credentials (JWT) for NATS", default=None, unset="none", metavar="FILE", rare=True
    )
    backbone_nkey: Path | None = option(
        path, "a file with the seed of the nkey for NATS", default=None, unset="none", metavar="FILE", rare=True
    )
    backbone_ca: Path | None = option(
        path,
        "a file with the certificates that vouch for NATS",
        default=None,
        unset="those of the system",
        metavar="FILE",
        rare=True,
    )
    backbone_cert: Path | None = option(
        path, "a file with the certificate of this device", default=None, unset="none", metavar="FILE", rare=True
    )
    backbone_key: Path | None = option(
        path, "a file with the key to that certificate", default=None, unset="none", metavar="FILE", rare=True
    )

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """A device with a backbone has a name that was given, and one way to be let in at NATS.

        :param values: those settings that are right, by field.
        """
        servers = values.get("backbone")
        if servers is None:
            if "backbone" in values:
                given = next(
                    (one for one in options_of(BackboneOptions) if values.get(one.field, one.default) != one.default),
                    None,
                )
                if given is not None:
                    yield SettingsError("backbone", f"URLs of NATS where {given.name} is given", Unshown("nothing"))
            return
        if values.get("name") == "":
            yield SettingsError("name", "a name where backbone is given: devices of one name act as one", "")
        names = {one.field: one.name for one in options_of(BackboneOptions)}
        logins = [names[field] for field in _LOGINS if values.get(field) is not None]
        logins += ["a login in its URLs"] if any(one.login for one in servers) else []
        if len(logins) > 1:
            yield SettingsError("backbone", "one login at NATS", Unshown(" and ".join(logins)))
        if (values.get("backbone_cert") is None) is not (values.get("backbone_key") is None):
            missing, given_one = ("cert", "key") if values.get("backbone_cert") is None else ("key", "cert")
            yield SettingsError(
                f"backbone_{missing}", f"a file where backbone-{given_one} is given", Unshown("nothing")
            )


@dataclass(frozen=True, kw_only=True)
class DurableOptions(DeviceGroup):
    """Whether NATS keeps the work that no worker here takes. docs/scaling.rst says more.

    A base of the patterns that send each message to one worker, without a reply.
    """

    __slots__ = ()

    title = "Work that is kept"

    durable: bool = option(
        flag,
        "have NATS keep what no worker here takes, in a JetStream work queue, until a worker somewhere has it",
        default=False,
        rare=True,
    )

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        """What is kept is kept by a backbone.

        :param values: those settings that are right, by field.
        """
        if not values.get("durable"):
            return
        if values.get("backbone", ()) is None:
            yield SettingsError("backbone", "URLs of NATS where durable is given", Unshown("nothing"))
        elif values.get("push", ()) is None:
            yield SettingsError("push", "an endpoint where durable is given", Unshown("nothing"))
