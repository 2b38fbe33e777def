"""``geventrelay init``: a configuration file to begin with."""

from __future__ import annotations

from ..command import Command, Options
from ..output import print_stdout

EXAMPLE = """\
# A configuration of geventrelay. It runs as it is, and everything stays on this machine:
#
#   geventrelay check relay.toml     says what is wrong with it, or what it would run
#   geventrelay run relay.toml       runs it
#
# docs/configuration.rst lists all options that can stand here: those of the command line, without dashes.

# A page that shows what is going on, the JSON API and the metrics: http://127.0.0.1:8080
http = "127.0.0.1:8080"

# A client that knows the first line of this file may also pause, resume, drain and reload over HTTP.
# http-token-file = "/etc/geventrelay/token"

# Everything else about the process.
# log-level = "info"          # debug, info, warning or error
# log-format = "text"         # or json
# fail-fast = false           # true: end when a device fails, instead of starting it again


# Publish and subscribe: publishers connect to the frontend, subscribers to the backend.
[device.prices]
pattern = "forwarder"
frontend = "tcp://127.0.0.1:5555"
backend = "tcp://127.0.0.1:5556"
# slow-subscriber = "block"   # wait for the slowest subscriber, instead of losing messages for it


# Requests and replies: REQ clients connect to the frontend, REP workers to the backend.
[device.orders]
pattern = "queue"
# Where commands to pause, resume and so on come in: geventrelay ctl tcp://127.0.0.1:5559 pause
# control = "tcp://127.0.0.1:5559"
# Where messages can be watched: geventrelay tap tcp://127.0.0.1:5561
# tap = "tcp://127.0.0.1:5561"

# A socket can have a table of its own: where it binds and connects, and ZeroMQ's own options.
[device.orders.frontend]
bind = "tcp://127.0.0.1:5557"
# maxmsgsize = 1_000_000      # bytes; a client that sends more is disconnected
# router-handover = true      # a client that comes back takes its routing id over

[device.orders.backend]
bind = "tcp://127.0.0.1:5558"
# Environment variables can stand in any text, and for numbers too.
# connect = ["tcp://${WORKER_HOST:-127.0.0.1}:5560"]
# sndhwm = "${ORDERS_SNDHWM:-1000}"
"""


def execute(options: Options) -> int:
    """Print the example; the exit code. Of `options`, none matters."""
    print_stdout(EXAMPLE.rstrip("\n"))
    return 0


INIT = Command(
    "init", "", "Prints a file to begin with, which runs as it is: geventrelay init > relay.toml", execute, {}
)
