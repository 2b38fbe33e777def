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
