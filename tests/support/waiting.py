"""The harness under the names that some tests know it by."""

from geventrelay.testing import LIMIT_S, let_run, within
from geventrelay.testing import eventually as until

__all__ = ["LIMIT_S", "let_run", "until", "within"]
