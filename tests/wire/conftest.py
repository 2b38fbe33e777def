"""What several tests of a server's HTTP share."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.http import TOKEN


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with the token, which only its owner may read."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(autouse=True)
def answers_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has no answer over HTTP serve twice, however long it took to make: tests read what they have just done."""
    monkeypatch.setattr("geventrelay.web.recent.CHEAP_S", 60.0)
