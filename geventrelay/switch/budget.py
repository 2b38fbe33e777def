"""The memory budget: one limit for what all devices of a hub keep for peers with engine zmtp."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

from .contract import Account

DEFAULT_BUDGET_BYTES = 1 << 30
"""How much may be kept where `set_budget` says nothing else."""


class _Shared:
    """What the devices of one hub share: an account for each kind of core, which is one kind outside of tests."""

    def __init__(self) -> None:
        self.limit_bytes = DEFAULT_BUDGET_BYTES
        self.accounts: dict[Callable[[], Account], Account] = {}


_shared: weakref.WeakKeyDictionary[Any, _Shared] = weakref.WeakKeyDictionary()


def _of_this_hub() -> _Shared:
    return _shared.setdefault(get_hub(), _Shared())


def shared_account(make: Callable[[], Account]) -> Account:
    """The account that all cores of this hub share; `make` is what makes one for their kind. Does not yield."""
    shared = _of_this_hub()
    if make not in shared.accounts:
        shared.accounts[make] = make()
        shared.accounts[make].limit_bytes = shared.limit_bytes
    return shared.accounts[make]


def set_budget(limit_bytes: int) -> None:
    """Let the devices of this hub keep so much, from now on. Does not yield.

    :param limit_bytes: how much; 0 for no limit.
    """
    shared = _of_this_hub()
    shared.limit_bytes = limit_bytes
    for account in shared.accounts.values():
        account.limit_bytes = limit_bytes


def limit_bytes() -> int:
    """How much the devices of this hub may keep for peers; 0 for no limit. Does not yield."""
    return _of_this_hub().limit_bytes


def used_bytes() -> int:
    """How much the devices of this hub keep for peers now. Does not yield."""
    return sum(account.used_bytes for account in _of_this_hub().accounts.values())
