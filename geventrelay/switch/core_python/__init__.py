"""The core of the switch in Python; see `geventrelay.switch.contract`.

* `run`: consecutive messages in one piece of bytes;
* `reading`: the bytes of a connection to runs and commands;
* `way`: runs from one side to others;
* `side`, and a module for each kind of socket that has more: `push`, `publish`, `subscribe`, `router`;
* `topics`: who wants which messages;
* `topic_counts`: what is published and what is lost by topic, in tables of the `busiest`;
* `queue`: what waits for a peer;
* `account`: what all that takes, and what is done when it is too much;
* `peer`: its connection, read and written;
* `core`: makes them, and knows which peers have something to write.
"""

from .account import Account
from .core import PythonCore

__all__ = ["Account", "PythonCore"]
