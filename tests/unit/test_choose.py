"""Which burst a process uses: the one that GEVENTRELAY_BURST names, else the native one where it loads."""

from __future__ import annotations

import importlib
import logging

import pytest

from geventrelay.engine.native.choose import native_module
from geventrelay.errors import SettingsError

# Without the cache, which keeps what this process has chosen.
choose = native_module.__wrapped__


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
def test_without_a_wish_python_serves_where_the_native_one_does_not_load_and_the_log_says_why(
    monkeypatch, not_built, caplog, wish
):
    monkeypatch.delenv("GEVENTRELAY_BURST", raising=False)
    if wish is not None:
        monkeypatch.setenv("GEVENTRELAY_BURST", wish)
    with caplog.at_level(logging.INFO, "geventrelay"):
        assert choose() is None
    assert "burst=python" in caplog.text
    assert "no geventrelay.engine.native.burst" in caplog.text


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
