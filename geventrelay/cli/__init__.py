"""The command line: what ``geventrelay`` does at a shell."""

from .main import main

__all__ = ["main"]
