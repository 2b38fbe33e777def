"""Which burst a process uses: the one that GEVENTRELAY_BURST names, else the native one where it loads."""

from __future__ import annotations

import importlib
import logging

import pytest

from geventrelay.engine.native import choose as module
from geventrelay.engine.native.choose import _choice, warn_if_slow
from geventrelay.errors import SettingsError


def choose():
    """Without the cache, which keeps what this process has chosen."""
    return _choice.__wrapped__()[0]


@pytest.fixture
def not_built(monkeypatch):
    def refuse(name):
        raise ImportError(f"no {name}")

    monkeypatch.setattr(importlib, "import_module", refuse)


def test_python_is_chosen_without_a_look_at_the_native_one(monkeypatch, not_built, caplog):
    monkeypatch.setenv("GEVENTRELAY_BURST", "python")
    assert choose() is None
    assert not caplog.records


@pytest.mark.parametrize("wish", ["", None])
def test_without_a_wish_python_serves_where_the_native_one_does_not_load(monkeypatch, not_built, caplog, wish):
    monkeypatch.delenv("GEVENTRELAY_BURST", raising=False)
    if wish is not None:
        monkeypatch.setenv("GEVENTRELAY_BURST", wish)
    assert choose() is None
    # The log has it when messages move, not before: a command that cannot start says that in one line.
    assert not caplog.records


def test_the_slow_one_is_told_in_one_warning_with_the_reason_and_the_remedy(monkeypatch, caplog):
    monkeypatch.setattr(module, "_choice", lambda: (None, "no compiler was there"))
    warn_if_slow.__wrapped__()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith('slow-burst burst=python reason="no compiler was there" remedy="install a C ')


@pytest.mark.parametrize("choice", [(None, ""), (module, "")], ids=["asked for", "native"])
def test_nothing_is_told_where_the_slow_one_was_asked_for_or_the_native_one_serves(monkeypatch, caplog, choice):
    monkeypatch.setattr(module, "_choice", lambda: choice)
    warn_if_slow.__wrapped__()
    assert not caplog.records


def test_the_native_one_is_refused_where_it_does_not_load_with_the_reason(monkeypatch, not_built):
    monkeypatch.setenv("GEVENTRELAY_BURST", "native")
    with pytest.raises(SettingsError) as refused:
        choose()
    assert str(refused.value) == (
        "GEVENTRELAY_BURST: expected python, for there is no other (no geventrelay.engine.native.burst), got 'native'"
    )


def test_any_other_wish_is_refused(monkeypatch):
    monkeypatch.setenv("GEVENTRELAY_BURST", "rust")
    with pytest.raises(SettingsError) as refused:
        choose()
    assert str(refused.value) == "GEVENTRELAY_BURST: expected native or python, got 'rust'"
