"""A configuration file: what it comes to, and every way in which it can be wrong."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from geventrelay import Endpoint, Forwarder, Queue, Relay, SlowSubscriber, Streamer
from geventrelay.cli import arguments, main
from geventrelay.cli.commands import pattern
from geventrelay.errors import ConfigurationError, Problem, SettingsError
from geventrelay.retention.options import ReplayOptions, RetentionOptions, TopicOptions
from geventrelay.settings import PATTERNS, HttpAddress, LogFormat, ServerSettings
from geventrelay.settings.file.load import LIMIT_BYTES, load
from geventrelay.settings.file.positions import loads
from geventrelay.settings.option import options_of
from geventrelay.settings.socket_options import OPTIONS

QUEUE = "[device.q]\npattern = 'queue'\nfrontend = 1\nbackend = 2\n"
FORWARDER = "[device.f]\npattern = 'forwarder'\nfrontend = 1\nbackend = 2\n"
SECRET = "sUx2hkU[.:sV1aMQ(kP<[=[6Oa%uq=4XoRQ3b8/v"


def read(folder: Path, text: str, **environ: str) -> ServerSettings:
    path = folder / "relay.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


def one(folder: Path, text: str, **environ: str):
    (device,) = read(folder, text, **environ).devices
    return device


# Each kind of mistake: the text of the file, a part of the problem that is told, and the line that it names.
BAD = {
    # The file as a whole
    "nothing in it": ("", "expected at least one table [device.NAME], got nothing", None),
    "only comments": ("# [device.q]\n", "expected at least one table [device.NAME], got nothing", None),
    "no device": ("log-level = 'info'\n\n[device]\n", "expected at least one table [device.NAME]", None),
    "no TOML": ("[device.q]\nfrontend: 5555\n", "expected TOML, in column 9: ", 2),
    "an open string": (QUEUE + "name = 'x\n", "expected TOML, got the end of the file: ", 5),
    "an open table": ("[device.q\n", "expected TOML, in column 10: ", 1),
    "ends too early": ("[device.q]\nfrontend =", "expected TOML, ", 2),
    "a key twice": (QUEUE + "backend = 3\n", "Cannot overwrite a value", 5),
    "a table twice": (QUEUE + QUEUE, "expected TOML, ", 5),
    "nested too deeply": ("a = " + "[" * 100_000 + "]" * 100_000, "nested too deeply", None),
    "a number of many digits": ("a = " + "9" * 5000, "expected integers of 64 bits, got a longer one", None),
    "a number of many hex digits": (
        "\nhttp = 0x" + "f" * 5000 + "\n" + QUEUE, "http: expected an integer of 64 bits, got 'one of", 2,
    ),
    # The process
    "an unknown key": ("htp = 1\n" + QUEUE, "htp: expected a known key (did you mean http?), got 'htp'", 1),
    "an underscore": ("log_level = 'info'\n" + QUEUE, "log_level: expected a known key (did you mean log-level?)", 1),
    "dashes": ("--http = 1\n" + QUEUE, "--http: expected a known key (did you mean http?)", 1),
    "devices for device": (
        QUEUE + "[devices.q]\nsub-port = 1\n", "devices: expected a known key (did you mean device?)", 5,
    ),
    "a key like no other": ("x = 1\n" + QUEUE, "x: expected a known key (see docs/configuration.rst)", 1),
    "no log level": ("log-level = 'loud'\n" + QUEUE, "log-level: expected one of debug, info, warning, error", 1),
    "no log format": ("\nlog-format = 'xml'\n" + QUEUE, "log-format: expected one of text, json, got 'xml'", 2),
    "no address": ("http = 'localhost'\n" + QUEUE, "http: expected HOST:PORT or a port", 1),
    "a port too high": ("http = '127.0.0.1:65536'\n" + QUEUE, "http: expected HOST:PORT or a port", 1),
    "a list of addresses": ("http = [8080]\n" + QUEUE, "http: expected HOST:PORT or a port", 1),
    "an empty path": ("ready-file = ''\n" + QUEUE, "ready-file: expected a path, got ''", 1),
    "a number for a path": ("http-token-file = 5\n" + QUEUE, "http-token-file: expected a path, got 5", 1),
    "neither true nor false": ("fail-fast = 1\n" + QUEUE, "fail-fast: expected true or false, got 1", 1),
    "a device's key outside of it": (
        "sndhwm = 5\n" + QUEUE,
        "sndhwm: expected a key of the process (sndhwm is an option of a device, and stands in [device.NAME])", 1,
    ),
    "an option of the process in a device": (
        QUEUE + "http = 1\n",
        "device.q.http: expected a key of queue (http is an option of the process, and stands at the top", 5,
    ),
    "a pattern outside of a device": (
        "pattern = 'queue'\n" + QUEUE,
        "pattern: expected a key of the process (pattern is an option of a device, and stands in [device", 1
    ),
    # What was meant
    "a pattern for a header": (
        "[queue]\nfrontend = 1\n", 'queue: expected a table [device.NAME] with pattern = "queue" in it, got a table', 1,
    ),
    "a pattern before a name": (
        "[streamer.tasks]\nfrontend = 1\n", 'streamer: expected a table [device.NAME] with pattern = "streamer" in', 1,
    ),
    "a device without a name": (
        "[device]\npattern = 'queue'\n",
        "device.pattern: expected pattern in a table [device.NAME]; this one has no NAME, got 'queue'", 2,
    ),
    "a type in the table of a socket": (
        "[device.t]\npattern = 'streamer'\nbackend = 2\n[device.t.frontend]\ntype = 'PULL'\nbind = 1\n",
        "device.t.frontend.type: expected no type: that of frontend comes with the pattern (custom has", 5,
    ),
    "a type in the table of a socket of custom": (
        "[device.t]\npattern = 'custom'\nbackend = 2\nfrontend-type = 'PULL'\nbackend-type = 'PUSH'\n"
        "[device.t.frontend]\ntype = 'PULL'\nbind = 1\n",
        "device.t.frontend.type: expected no type in this table; [device.t] has frontend-type, got 'PULL'", 7,
    ),
    "a type that is no frontend": (
        "[device.c]\npattern = 'custom'\nfrontend = 1\nbackend = 2\nfrontend-type = 'PUSH'\nbackend-type = 'PUB'\n",
        "nothing can be read from a PUSH; use one of DEALER, PAIR, PULL, ROUTER, SUB, XPUB, XSUB)", 5,
    ),
    "a socket for its port": (
        "[device.r]\nsub-port = 1\npub = 2\n", "expected a table [device.r.pub]; the endpoint is pub-port", 3,
    ),
    "a socket type for a pattern": (QUEUE.replace("'queue'", "'pub'"), "(did you mean forwarder?), got 'pub'", 2),
    "None for an endpoint": (QUEUE.replace("1", "'None'"), "(leave it away where there is none), got 'None'", 3),
    "None for a number": (QUEUE + "sndhwm = 'None'\n", "(leave it away where there is none), got 'None'", 5),
    "a list in quotes": (QUEUE.replace("1", "'[1, 3]'"), "(a list stands without quotes), got '[1, 3]'", 3),
    "a time in seconds": (QUEUE + "linger = '1s'\n", "(milliseconds, a number alone: 1000), got '1s'", 5),
    "a time in minutes": (QUEUE + "drain = '1.5 m'\n", "(seconds, a number alone: 90), got '1.5 m'", 5),
    "a size in megabytes": (QUEUE + "max-message-size = '1MB'\n", "(bytes, a number alone: 1000000), got '1MB'", 5),
    "a size in mebibytes": (QUEUE + "max-message-size = '1MiB'\n", "(bytes, a number alone: 1048576), got", 5),
    "text without quotes": (QUEUE.replace("'queue'", "queue"), '(text stands in quotes: pattern = "queue")', 2),
    "an endpoint without quotes": (
        QUEUE.replace("1", "tcp://a:1"), '(text stands in quotes: frontend = "tcp://a:1")', 3,
    ),
    "an address without quotes": (
        QUEUE.replace("1", "127.0.0.1:5555"), '(text stands in quotes: frontend = "127.0.0.1:5555")', 3,
    ),
    "an endpoint without quotes in a list": (
        QUEUE.replace("1", "[1, tcp://a:1]"), '(text stands in quotes: "tcp://a:1")', 3,
    ),
    "True": (QUEUE + "ipv6 = True\n", "(in small letters: ipv6 = true)", 5),
    "yes": (QUEUE + "ipv6 = yes\n", "(true or false, e.g. ipv6 = true)", 5),
    "None": (QUEUE + "control = None\n", "(TOML has no such value: leave the key away)", 5),
    "a tuple": (QUEUE.replace("1", "(1, 3)"), "(a list stands in brackets: frontend = [1, 3])", 3),
    "a number with its unit": (QUEUE + "linger = 1s\n", "(a number stands without its unit)", 5),
    "a key and a table of one name": (
        QUEUE + "[device.q.frontend]\nrcvhwm = 5\n",
        "(frontend stands above too; where it is a key there, take that away and write bind = or connect =", 5,
    ),
    "a key that stands there twice": (QUEUE + "frontend = 3\n", "(it stands in this file twice)", 5),
    # Devices
    "a device that is none": ("[device]\nq = 5\n", "device.q: expected a table device.q, got 5", 2),
    "a list of devices": ("[[device]]\nname = 'q'\n", "device: expected tables [device.NAME], got [[device]]", 1),
    "devices that are none": ("device = 'q'\n", "device: expected tables [device.NAME], got 'q'", 1),
    "a name with a space": (QUEUE.replace("q]", "'a b']"), "device.'a b': expected up to 64 letters, digits, ", 1),
    "a name with a slash": (QUEUE.replace("q]", "'a/b']"), "device.'a/b': expected up to 64 letters, digits, ", 1),
    "an empty name": (QUEUE.replace("q]", "'']"), "device.'': expected up to 64 letters, digits, ", 1),
    "a name too long": (QUEUE.replace("q]", f"{'q' * 65}]"), "expected up to 64 letters, digits, ", 1),
    "a name of its own": (QUEUE + "name = 'r'\n", "device.q.name: expected the device's name in the header", 5),
    "no such pattern": (QUEUE.replace("'queue'", "'queues'"), "pattern: expected a pattern (did you mean queue?)", 2),
    "a pattern like none": (
        QUEUE.replace("'queue'", "'x'"), "pattern: expected a pattern (relay, forwarder, queue, ", 2,
    ),
    "a pattern that is no text": (QUEUE.replace("'queue'", "5"), "device.q.pattern: expected a pattern", 2),
    "an unknown option": (QUEUE + "sndhwn = 5\n", "device.q.sndhwn: expected a known key (did you mean sndhwm?)", 5),
    "an option with underscores": (QUEUE + "io_threads = 2\n", "expected a known key (did you mean io-threads?)", 5),
    "another pattern's option": (
        QUEUE + "push_payload = 'auto'\n",
        "push_payload: expected a key of queue (push-payload is an option of relay, and stands in", 5
    ),
    "another pattern's socket": (
        QUEUE + "[device.q.sub]\nbind = 5\n",
        "device.q.sub: expected a key of queue (sub is a socket of relay, and its table", 5,
    ),
    "no backend": (QUEUE.replace("backend = 2\n", ""), "device.q.backend: expected tcp://HOST:PORT, ", 1),
    "nowhere to send to": (
        "[device.r]\nsub-port = 1\n", "device.r.push-port: expected an endpoint for push, for pub", 1,
    ),
    "no relay at all": ("[device.r]\npub-port = 2\n", "device.r.sub-port: expected tcp://HOST:PORT, ", 1),
    "a number out of range": (
        QUEUE + "sndhwm = -5\n",
        "expected an integer from 0 to 2147483647 (messages), got -5", 5,
    ),
    "a number that is none": (
        QUEUE + "sndhwm = 'many'\n",
        "expected an integer from 0 to 2147483647 (messages), got 'many'", 5,
    ),
    "a broken number": (QUEUE + "linger = 1.5\n", "an integer from 0 to 2147483647 (milliseconds), got 1.5", 5),
    "a truth for a number": (
        QUEUE + "rcvhwm = true\n",
        "expected an integer from 0 to 2147483647 (messages), got True", 5,
    ),
    "a list for a number": (
        QUEUE + "rcvhwm = [1]\n",
        "expected an integer from 0 to 2147483647 (messages), got [1]", 5,
    ),
    "a table for a number": (QUEUE + "rcvhwm = {a = 1}\n", "device.q.rcvhwm: expected a value, and not a table", 5),
    "a date for a time": (
        QUEUE + "drain = 2026-01-01\n",
        "device.q.drain: expected a number from 0 to 86400 (seconds)", 5,
    ),
    "an endless time": (QUEUE + "drain = inf\n", "device.q.drain: expected a number from 0 to 86400 (seconds)", 5),
    "text for a truth": (QUEUE + "ipv6 = 'yes'\n", "device.q.ipv6: expected true or false, got 'yes'", 5),
    "a number in a list of prefixes": (
        FORWARDER + "subscribe = ['a', 5]\n", "subscribe: expected text or bytes, got 5", 5,
    ),
    "no such policy": (FORWARDER + "slow-subscriber = 'kill'\n", "slow-subscriber: expected one of drop, ", 5),
    "no endpoint": (QUEUE.replace("1", "'tcp://a'"), "device.q.frontend: expected tcp://HOST:PORT", 3),
    "a truth for an endpoint": (QUEUE.replace("1", "true"), "device.q.frontend: expected tcp://HOST:PORT", 3),
    "a port below 0": (QUEUE.replace("1", "-1"), "device.q.frontend: expected a port from 0 to 65535, got -1", 3),
    "no endpoints": (QUEUE.replace("1", "[]"), "device.q.frontend: expected at least one endpoint, got []", 3),
    "a list in a list of endpoints": (QUEUE.replace("1", "[[1]]"), "frontend: expected tcp://HOST:PORT", 3),
    "an address bound twice": (QUEUE.replace("2", "1"), "device.q.backend: expected an endpoint that is bound once", 4),
    "an address within another": (
        QUEUE.replace("1", "5").replace("2", "'tcp://127.0.0.1:5'"),
        "backend: expected an endpoint that is bound once (frontend has it), got 'tcp://127.0.0.1:5'", 4,
    ),
    "an address of two devices": (
        QUEUE + "[device.r]\nsub-port = 3\npub-port = 'tcp://127.0.0.1:2'\n",
        "device.r.pub-port: expected an address that device.q.backend does not bind, got 'tcp://127.0.0.1:2'", 7,
    ),
    "an address of HTTP": (
        "http = 2\n" + QUEUE, "device.q.backend: expected an address that http does not bind, got 'tcp://*:2'", 5
    ),
    "types that cannot be joined": (
        "[device.c]\npattern = 'custom'\nfrontend = 1\nbackend = 2\nfrontend-type = 'REQ'\nbackend-type = 'PUB'\n",
        "device.c.frontend-type: expected a type that can be joined to the other side (a REQ must have", 5,
    ),
    "no such type": (
        "[device.c]\npattern = 'custom'\nfrontend = 1\nbackend = 2\nfrontend-type = 'PULL'\nbackend-type = 'PUBB'\n",
        "device.c.backend-type: expected one of PUSH, PUB, ", 6,
    ),
    "a device without the word": (
        "[orders]\npattern = 'queue'\nfrontend = 1\nbackend = 2\n" + QUEUE,
        "orders: expected a table [device.orders], got a table", 1,
    ),
    "no such frontend": (
        "[device.c]\npattern = 'custom'\nfrontend = 1\nbackend = 2\nfrontend-type = 'X'\nbackend-type = 'PUB'\n",
        "device.c.frontend-type: expected one of PULL, SUB, XSUB, XPUB, ROUTER, DEALER or PAIR, got 'X'", 5,
    ),
    "no type at all": (
        "[device.c]\npattern = 'custom'\nfrontend = 1\nbackend = 2\nfrontend-type = 'PULL'\n",
        "device.c.backend-type: expected one of PUSH, PUB, ", 1,
    ),
    "prefixes for nobody": (
        "[device.c]\npattern = 'custom'\nfrontend = 1\nbackend = 2\nfrontend-type = 'PULL'\nbackend-type = 'PUB'\n"
        "subscribe = 'a'\n", "device.c.subscribe: expected a SUB among the two sides, got 'PULL -> PUB'", 7,
    ),
    "a control type for no control": (QUEUE + "control-type = 'PAIR'\n", "device.q.control: expected an endpoint", 1),
    "a socket's option in a device": (
        QUEUE + "tos = 5\n",
        "tos: expected a key of queue (tos is an option of a socket, and stands in [device.NAME.SOC", 5
    ),
    "where a socket binds, in a device": (
        QUEUE + "bind = 5\n",
        "bind: expected a key of queue (bind is an option of a socket, and stands in [device.NAME.", 5
    ),
    # Sockets
    "a device's option in a socket": (
        QUEUE + "control = {bind = 5, drain = 1}\n",
        "device.q.control.drain: expected a key of a socket (drain is an option of a device, and stands in [device", 5
    ),
    "an option of the process in a socket": (
        QUEUE + "control = {bind = 5, log_level = 'info'}\n",
        "log_level: expected a key of a socket (log-level is an option of the process, and stands at the top of the", 5
    ),
    "another pattern's option in a socket": (
        QUEUE + "control = {bind = 5, slow-subscriber = 'drop'}\n",
        "expected a key of a socket (slow-subscriber is an option of relay, forwarder and custom, and stands in ", 5
    ),
    "a socket that is no table": ("[device.r]\nsub-port = 1\npush = 5\n", "push: expected a table [device.r.push]", 3),
    "a socket in two places": (
        "[device.r]\nsub-port = 1\npush-port = 2\n[device.r.sub]\nbind = 3\n",
        "device.r.sub: expected endpoints here or in sub-port, and not in both, got 'tcp://*:3'", 4,
    ),
    "a socket in two places, the other way round": (
        "[device.r]\nsub.bind = 3\nsub-port = 1\npush-port = 2\n",
        "device.r.sub-port: expected endpoints here or in the table sub, and not in both, got 1", 3,
    ),
    "options for a socket that goes nowhere": (
        "[device.r]\nsub-port = 1\npush-port = 2\n[device.r.pub]\ntos = 3\n",
        "device.r.pub: expected an endpoint for a socket that is given options, got nothing", 4,
    ),
    "a table of a replay port without a size, for two that need it": (
        FORWARDER + "stamp = true\n[device.f.replay]\nbind = 3\n",
        "device.f.replay.size: expected a size such as 100000 or 10min where replay-port is given, got nothing", 6,
    ),
    "a table of a replay port without an endpoint": (
        FORWARDER + "[device.f.replay]\nsize = '10min'\n",
        "device.f.replay.bind: expected an endpoint where replay is given, got nothing", 5,
    ),
    "a table with the name of an option": (
        FORWARDER + "[device.f.replay-port]\nbind = 3\n",
        "device.f.replay-port: expected a value, and not a table; the table is [device.f.replay], got a table", 5,
    ),
    "an option of the device in the table of its socket": (
        FORWARDER + "[device.f.replay]\nbind = 3\nsize = 5\nbytes = 6\n",
        "device.f.replay.bytes: expected a key of a socket (replay-bytes stands in [device.f]), got 'bytes'", 8,
    ),
    "a socket without endpoints": (
        QUEUE.replace("backend = 2", "[device.q.backend]\ntos = 5"), "device.q.backend: expected tcp://HOST:PORT", 4
    ),
    "an empty bind": (QUEUE.replace("= 2", "= {bind = []}"), "backend.bind: expected at least one endpoint, got []", 4),
    "a connect that binds": (
        QUEUE.replace("= 2", "= {connect = '@tcp://a:1'}"), "backend.connect: expected tcp://HOST:PORT, ipc://PATH", 4
    ),
    "the third of several": (
        QUEUE.replace("= 2", "= {bind = [\n2,\n3,\n'>tcp://a:4']}"), "backend.bind[2]: expected tcp://HOST:PORT", 7
    ),
    "a port to connect to that is none": (
        QUEUE.replace("= 2", "= {connect = 0}"), "backend.connect: expected a host and a port to connect to, got 0", 4
    ),
    "an unknown socket option": (
        QUEUE + "[device.q.control]\nbind = 5\ntcp-keepalve = 1\n",
        "device.q.control.tcp-keepalve: expected a known key (did you mean tcp-keepalive?), got 'tcp-keepalve'", 7,
    ),
    "a socket option in capitals": (
        QUEUE + "control.bind = 5\ncontrol.ZMQ_TOS = 1\n",
        "control.ZMQ_TOS: expected a known key (did you mean tos?)", 6,
    ),
    "a socket option twice": (
        QUEUE + "control = {bind = 5, tcp-keepalive = 1,  tcp_keepalive = 0}\n",
        "device.q.control.tcp_keepalive: expected tcp-keepalive once, got 'tcp_keepalive'", 5,
    ),
    "a socket option out of range": (
        QUEUE + "control = {bind = 5, tos = 256}\n",
        "device.q.control.tos: expected an integer from 0 to 255, got 256", 5,
    ),
    "a socket option of another type": (
        QUEUE.replace("= 2", "= {bind = 2, router-handover = true}"),
        "backend.router-handover: expected a socket of the type ROUTER, got 'DEALER'", 4,
    ),
    "a socket option of the type that it would have without prefixes": (
        FORWARDER.replace("= 2", "= {bind = 2, xpub-verbose = true}") + "subscribe = 'a'\n",
        "backend.xpub-verbose: expected a socket of the type XPUB, got 'PUB'", 4,
    ),
    "a mark for what is not sent": (
        FORWARDER.replace("= 1", "= {bind = 1, sndhwm = 5}"), "expected a socket of the type PUB or XPUB or PUSH or", 3
    ),
    "immediate where unread messages would be lost": (
        QUEUE.replace("= 2", "= {connect = 2, immediate = true}"), "with a broken connection, the others lose what", 4
    ),
    "conflate": (
        QUEUE.replace("= 2", "= {bind = 2, conflate = true}"), "expected no conflate (it keeps the last part", 4,
    ),
    "rcvtimeo": (QUEUE.replace("= 2", "= {bind = 2, rcvtimeo = 5}"), "expected no rcvtimeo (a device waits for its", 4),
    "router_mandatory off": (
        QUEUE.replace("= 1", "= {bind = 1, router_mandatory = 0}"), "expected no router-mandatory (it is always on", 3
    ),
    "zap_domain": (
        QUEUE.replace("= 2", "= {bind = 2, zap-domain = 'x'}"), "expected no zap-domain (the device sets", 4,
    ),
    "xpub_manual": (
        FORWARDER.replace("= 2", "= {bind = 2, xpub-manual = 1}"), "expected no xpub-manual (a forwarder", 4,
    ),
    "subscribe for a socket": (
        FORWARDER.replace("= 1", "= {bind = 1, subscribe = 'a'}"), "own option subscribe says", 3,
    ),
    "multicast": (FORWARDER.replace("= 1", "= {bind = 1, rate = 5}"), "expected no rate (multicast is no transport", 3),
    "a draft": (FORWARDER.replace("= 1", "= {bind = 1, metadata = 'X-a:b'}"), "expected no metadata (it is a draft", 3),
    "an empty routing id": (
        QUEUE.replace("= 2", "= {bind = 2, routing-id = ''}"), "routing-id: expected a routing id", 4,
    ),
    "0 for the probes": (QUEUE.replace("= 2", "= {bind = 2, tcp-keepalive-cnt = 0}"), "expected -1 or an int", 4),
    "more probes than the kernel takes": (
        QUEUE.replace("= 2", "= {bind = 2, tcp-keepalive-cnt = 128}"), "integer from 1 to 127 (probes), got 128", 4,
    ),
    "an affinity to no thread": (
        QUEUE.replace("= 2", "= {bind = 2, affinity = 4}") + "io-threads = 2\n",
        "device.q.backend.affinity: expected a bit of one of the 2 I/O threads (io-threads), got 4", 4,
    ),
    "a proxy without a port": (QUEUE.replace("= 2", "= {bind = 2, socks-proxy = 'a'}"), "expected HOST:PORT", 4),
    "no network": (
        QUEUE.replace("= 2", "= {bind = 2, tcp-accept-filter = 'a'}"), "expected a network of IP addresses", 4,
    ),
    "a CURVE server without its key": (
        QUEUE.replace("= 2", "= {bind = 2, curve-server = true}"), "curve-server: expected curve-secretkey beside it", 4
    ),
    "a CURVE client without one of its keys": (
        QUEUE.replace("= 2", f"= {{bind = 2, curve-publickey = '{SECRET}', curve-serverkey = '{SECRET}'}}"),
        "curve-serverkey: expected curve-secretkey beside it", 4,
    ),
    "a CURVE server of today": (
        QUEUE.replace("= 2", f"= {{bind = 2, curve-server = true, curve-secretkey = '{SECRET}'}}"),
        "curve-server: expected curve-clients, a folder with the keys that may connect, or any, beside it", 4,
    ),
    "a CURVE client without its keys": (
        QUEUE.replace("= 2", f"= {{bind = 2, identity = 'a', curve-serverkey = '{SECRET}'}}"),
        "curve-serverkey: expected a socket that connects", 4,
    ),
    "a key that is none": (
        QUEUE.replace("= 2", "= {bind = 2, curve-publickey = 'a'}"), "40 characters of Z85, got 'a'", 4,
    ),
    # Environment variables
    "a variable that is not set": (
        QUEUE + "interface = '${NOT_SET}'\n", "the environment variable NOT_SET to be set", 5,
    ),
    "a variable that is not set, in a list": (
        QUEUE.replace("= 1", "= [\n1,\n'${NOT_SET}',\n]"), "device.q.frontend[1]: expected the environment variable", 5
    ),
    "a variable that is not set, for a pattern": (QUEUE.replace("'queue'", "'${NOT_SET}'"), "NOT_SET to be set", 2),
    "a variable without a name": (QUEUE + "interface = '${}'\n", "expected ${NAME} or ${NAME:-text}, or $${ for ${", 5),
    "a variable that does not end": (QUEUE + "interface = 'a${B'\n", "expected ${NAME} or ${NAME:-text}", 5),
    "a variable with a wrong value": (
        QUEUE + "sndhwm = '${WORD}'\n", "expected an integer from 0 to 2147483647 (messages), got", 5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_configuration_is_told_with_its_line_and_exit_code_2(tmp_path, capsys, monkeypatch, kind):
    text, fragment, line = BAD[kind]
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("WORD", "many")
    path = tmp_path / "relay.toml"
    path.write_text(text, encoding="utf-8")
    assert main(["check", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    start = f"{path}:{line}: " if line else f"{path}: "
    (told,) = [told for told in err.splitlines() if fragment in told] or [err]
    assert fragment in told
    assert told.startswith(start), told
    # Whatever is wrong with one key is told once, and nothing else is wrong with these files.
    assert len(err.splitlines()) == 1, err


def test_there_are_enough_kinds():
    assert len(BAD) >= 40


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b"a = 1\nb = '\xff'\n"), ":2: expected text in UTF-8, got the byte 0xff"),
        (lambda path: path.write_bytes(b"\xff\xfea\x00"), ":1: expected text in UTF-8, got the byte 0xff"),
        (lambda path: path.write_bytes(b"#" * (LIMIT_BYTES + 1)), f"expected at most {LIMIT_BYTES} bytes, got more"),
        (lambda path: path.symlink_to("/dev/zero"), f"expected at most {LIMIT_BYTES} bytes, got more"),
        (lambda path: path.write_bytes(b"a = '\0'"), ":1: expected TOML, in column 6: "),
    ],
    ids=["missing", "folder", "link to itself", "not UTF-8", "UTF-16", "large", "endless", "NUL"],
)
def test_a_file_that_cannot_be_had_is_told_in_one_line(tmp_path, capsys, make, fragment):
    path = tmp_path / "relay.toml"
    make(path)
    assert main(["check", str(path)]) == main(["run", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == second
    assert first.startswith(str(path))
    assert fragment in first


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path):
    text = "log_level = 1\n[device.q]\npattern = 'queue'\nsndhwm = -1\nrcvhwm = 'x'\n"
    text += "frontend = {tos = 1, tes = 2}\n[device.r]\n"
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, text)
    assert [(problem.line, problem.key) for problem in error.value.problems] == [
        (1, "log_level"), (2, "device.q.backend"), (4, "device.q.sndhwm"), (5, "device.q.rcvhwm"),
        (6, "device.q.frontend.tes"), (6, "device.q.frontend"), (7, "device.r.sub-port"), (7, "device.r.push-port"),
    ]  # fmt: skip
    lines = str(error.value).splitlines()
    assert len(lines) == 8
    text = "expected an integer from 0 to 2147483647 (messages), got -1"
    assert lines[2] == f"{tmp_path}/relay.toml:4: device.q.sndhwm: {text}"
    assert isinstance(error.value, SettingsError)
    assert error.value.problems[2] == Problem(4, "device.q.sndhwm", text)


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        # What was meant is plain, and the other keys are held against it.
        ("quueue", ["device.q.frontend", "device.q.pattern", "device.q.push-port", "device.q.rcvhmw"]),
        ("req-rep", ["device.q.frontend", "device.q.pattern", "device.q.push-port", "device.q.rcvhmw"]),
        # It is not: only what no pattern has is wrong.
        ("xyz", ["device.q.pattern", "device.q.rcvhmw"]),
    ],
)
def test_wrong_keys_beside_a_wrong_pattern_are_told_too(tmp_path, pattern, keys):
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, f"[device.q]\npattern = '{pattern}'\nbackend = 1\npush-port = 3\nrcvhmw = 5\n")
    assert [problem.key for problem in error.value.problems] == keys


@pytest.mark.parametrize("option", ["curve-secretkey", "plain-password", "socks-password"])
def test_a_secret_is_not_told(tmp_path, option):
    for value in ("secret" * 50, "${SECRET}"):
        with pytest.raises(ConfigurationError) as error:
            read(tmp_path, QUEUE.replace("= 2", f"= {{bind = 2, {option} = '{value}'}}"), SECRET="secret" * 50)
        assert "secretsecret" not in str(error.value)
    device = one(tmp_path, QUEUE.replace("= 2", f"= {{bind = 2, {option} = '{SECRET}'}}"))
    assert SECRET.encode() in device.socket_options["backend"].values()
    assert SECRET not in repr(device)


HUSH = "HUSHHUSH \x1b\0"


BOMBS = {
    "a key of 100,000 parts": ("a" + ".a" * 100_000 + " = 1\n", 1, ":1: expected keys of at most 32 parts"),
    "a header of 100,000 parts": ("# x\n[a" + ". 'a.b'" * 100_000 + "]\n", 1, ":2: expected keys of at most 32 parts"),
    "100,000 unknown keys": ("".join(f"k{n}=1\n" for n in range(100_000)) + QUEUE, 101, "more problems than these"),
    "90,000 unknown keys of a socket": (
        QUEUE + "[device.q.control]\n" + "".join(f"k{n:06}=1\n" for n in range(90_000)), 101, "more problems",
    ),
    "58,000 devices": (
        "".join(f"[device.d{n}]\n" for n in range(58_000)), 1, "expected at most 5000 tables [device.NAME], got 58000",
    ),
    "5,000 empty devices": ("".join(f"[device.d{n}]\n" for n in range(5_000)), 101, "more problems than these"),
    "500,000 elements": ("x = [" + "1," * 500_000 + "]\n" + QUEUE, 1, "x: expected a known key"),
    "100,000 unset variables": ("x = [" + "'${A}'," * 100_000 + "]\n" + QUEUE, 101, "more problems than these"),
    "100,000 nested lists": ("x = " + "[" * 100_000, 1, "nested too deeply"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("text", "count", "said"), BOMBS.values(), ids=BOMBS)
def test_a_large_file_that_is_wrong_is_told_in_few_lines(tmp_path, text, count, said):
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, text)
    lines = str(error.value).splitlines()
    assert len(lines) == count
    assert said in lines[-1]


def test_long_texts_and_lists_are_no_deep_keys(tmp_path):
    dots = "a.b" * 50
    text = FORWARDER + f"# {dots}\nsubscribe = ['{dots}', \"{dots}\"]\ntap = 'ipc://{dots[:90]}'\n"
    assert one(tmp_path, text).subscribe == (dots.encode(),) * 2


def no_hush(folder: Path, text: str) -> None:
    """Nothing of the text may be in an error, and there has to be one."""
    with pytest.raises(ConfigurationError) as error:
        read(folder, text, HUSH=HUSH)
    assert "HUSHHUSH" not in str(error.value), error.value


@pytest.mark.parametrize("name", PATTERNS)
def test_what_a_variable_holds_is_not_told_by_any_option_of_a_device(tmp_path, name):
    table = f"[device.q]\npattern = '{name}'\n"
    for option in options_of(PATTERNS[name]):
        if option.name == "name":
            continue
        no_hush(tmp_path, table + f"{option.name} = 'a${{HUSH}}'\n")
        no_hush(tmp_path, table + f"{option.name} = ['${{HUSH}}']\n")
        no_hush(tmp_path, table + f"{option.name} = {{a = '${{HUSH}}'}}\n")
        if option.is_socket:
            no_hush(tmp_path, table + f"{option.field}.bind = ['${{HUSH}}', 1]\n{option.field}.connect = '${{HUSH}}'\n")


def test_what_a_variable_holds_is_not_told_by_the_process_or_a_socket(tmp_path):
    for option in options_of(ServerSettings):
        if option.name != "device":
            no_hush(tmp_path, f"{option.name} = '${{HUSH}}'\n" + QUEUE)
    for name in OPTIONS:
        no_hush(tmp_path, QUEUE.replace("= 2", f"= {{bind = 2, {name} = ['${{HUSH}}']}}"))
        no_hush(tmp_path, QUEUE.replace("= 2", f"= {{bind = 2, {name} = {{x = '${{HUSH}}'}}}}"))
    no_hush(tmp_path, "[device]\nq = '${HUSH}'\n")
    no_hush(tmp_path, "device = '${HUSH}'\n")
    no_hush(tmp_path, "[device.q]\npattern = '${HUSH}'\n")
    no_hush(tmp_path, QUEUE + "interface = '${HUSH}${NOT_SET}'\n")
    no_hush(tmp_path, QUEUE + "interface = '${HUSH}${'\n")


@pytest.mark.parametrize(
    "text",
    [
        "[device]\nplain-password = 'HUSHHUSH'\n",
        "[device]\nplain-password = ['HUSHHUSH']\n",
        "[device.q]\npattern = 'queue'\nplain-password = 'HUSHHUSH'\n",
        "http-token = 'HUSHHUSH'\n" + QUEUE,
        "http-token-file = ['HUSHHUSH']\n" + QUEUE,
        "http-token-file = {my-token = 'HUSHHUSH'}\n" + QUEUE,
        "http-token-file = 'HUSHHUSH\\u0000'\n".replace("'", '"') + QUEUE,
        QUEUE + "sndhwm = {token = 'HUSHHUSH'}\n",
        QUEUE + "sndhwm = [{token = 'HUSHHUSH'}]\n",
        QUEUE + "[[device.q.control]]\npassword = 'HUSHHUSH'\n",
        QUEUE + "tap = {plain-password = 'HUSHHUSH'}\n",
        QUEUE.replace("= 2", "= {bind = 2, password = 'HUSHHUSH'}"),
        QUEUE.replace("= 2", "= {bind = 2, plain-password = 'HUSHHUSH${'}"),
        QUEUE.replace("= 2", "= {bind = 2, plain-password = 'HUSHHUSH${NOT_SET}'}"),
        QUEUE.replace("= 2", "= {bind = 2, plain-password = '${NOT_SET:-HUSHHUSH\\u0000}'}").replace("'", '"'),
    ],
)
def test_a_secret_is_not_told_where_it_does_not_belong(tmp_path, text):
    no_hush(tmp_path, text)


def test_the_variable_is_named(tmp_path):
    for value, said in (
        ("${HUSH}", "got text with ${HUSH}"),
        ("x${HUSH}${OTHER:-y}", "got text with ${HUSH} and ${OTHER}"),
        ("x${NOT_SET}", "expected the environment variable NOT_SET to be set, got nothing"),
        ("x${", "or $${ for ${ itself, got a ${ without a name"),
    ):
        with pytest.raises(ConfigurationError) as error:
            read(tmp_path, QUEUE + f"sndhwm = '{value}'\n", HUSH=HUSH)
        assert str(error.value).endswith(said)


def test_what_is_kept_of_a_variable_is_plain_text(tmp_path):
    device = one(tmp_path, QUEUE + "interface = '${WHERE}'\n", WHERE="127.0.0.1")
    assert type(device.interface) is str
    assert "127.0.0.1" in repr(device)


def test_a_device_may_be_called_a_secret(tmp_path):
    with pytest.raises(ConfigurationError, match="got -7"):
        read(tmp_path, QUEUE.replace(".q]", ".token]") + "sndhwm = -7\n")


def test_a_configuration_comes_to_settings(tmp_path):
    text = """
        http = "[::1]:8080"
        http-token-file = "token"
        fail-fast = true
        log-level = "debug"
        log-format = "json"
        ready-file = "/run/ready"
        [device.relayed]
        sub-port = 1
        pub-port = [2, ">tcp://a:3"]
        push.connect = ["tcp://b:4", ">tcp://c:5"]
        push.bind = 6
        subscribe = ["a", "b"]
        [device.passed-on]
        pattern = "forwarder"
        frontend = "tcp://127.0.0.1:7"
        slow-subscriber = "block"
        [device.passed-on.backend]
        bind = ["@ipc:///tmp/x", "tcp://127.0.0.1:8"]
        xpub-verbose = true
        [device.tasks]
        pattern = "streamer"
        frontend = 9
        backend = 10
        sndhwm = 7
        drain = 1.5
        control = {bind = 11, tos = 8}
        control-type = "ROUTER"
    """
    read_settings = read(tmp_path, text)
    relay = Relay(
        name="relayed", sub=1, pub=[2, ">tcp://a:3"], push=[6, ">tcp://b:4", ">tcp://c:5"], subscribe=["a", "b"],
        socket_options={"push": {}},
    )  # fmt: skip
    forwarder = Forwarder(
        name="passed-on", frontend="tcp://127.0.0.1:7", backend=["ipc:///tmp/x", "tcp://127.0.0.1:8"],
        slow_subscriber=SlowSubscriber.BLOCK, socket_options={"backend": {zmq.XPUB_VERBOSE: 1}},
    )  # fmt: skip
    streamer = Streamer(
        name="tasks", frontend=9, backend=10, sndhwm=7, drain_s=1.5, control=11, control_type="ROUTER",
        socket_options={"control": {zmq.TOS: 8}},
    )  # fmt: skip
    assert read_settings == ServerSettings(
        devices=(relay, forwarder, streamer), http=HttpAddress("::1", 8080), http_token_file=Path("token"),
        fail_fast=True, ready_file=Path("/run/ready"), log_level="debug", log_format=LogFormat.JSON,
    )  # fmt: skip


def test_bare_ports_bind_the_interface_in_tables_too(tmp_path):
    text = "[device.r]\npub-port = 1\nsub.bind = 2\nsub.connect = 3\ninterface = '127.0.0.2'\n"
    assert one(tmp_path, text).endpoints == {
        "sub": (Endpoint("tcp://127.0.0.2:2"), Endpoint("tcp://127.0.0.2:3", binds=False)),
        "pub": (Endpoint("tcp://127.0.0.2:1"),),
    }


@pytest.mark.parametrize(
    ("interface", "hosts"),
    [
        (None, {"frontend": "*", "backend": "*", "control": "127.0.0.1", "tap": "127.0.0.1"}),
        ("*", dict.fromkeys(("frontend", "backend", "control", "tap"), "*")),
        ("10.0.0.1", dict.fromkeys(("frontend", "backend", "control", "tap"), "10.0.0.1")),
    ],
)
@pytest.mark.parametrize("form", ["keys", "tables", "python", "flags"])
def test_bare_ports_of_control_and_tap_are_for_this_host_unless_an_interface_is_given(tmp_path, form, interface, hosts):
    ports = {"frontend": 1, "backend": "2", "control": 3, "tap": "@4"}
    given = {} if interface is None else {"interface": interface}
    if form == "python":
        settings = Queue(**ports, **given)
    elif form == "flags":
        flags = [f"--{name}={value}" for name, value in {**ports, **given}.items()]
        (settings,) = pattern.settings(Queue, arguments.parse(["queue", *flags])[1]).devices
    else:
        lines = [f"interface = '{interface}'"] * len(given)
        bind = "" if form == "keys" else ".bind"
        lines += [f"{name}{bind if name in ('control', 'tap') else ''} = {value!r}" for name, value in ports.items()]
        settings = one(tmp_path, "\n".join(["[device.q]", "pattern = 'queue'", *lines]))
    assert {key: endpoint.host for key, (endpoint,) in settings.endpoints.items()} == hosts


def test_an_option_of_a_socket_has_either_sign_and_both_of_its_names(tmp_path):
    text = QUEUE.replace("= 2", "= {bind = 2, tcp-keepalive = 0, tcp_keepalive_idle = 5, identity = 'a'}")
    options = {zmq.TCP_KEEPALIVE: 0, zmq.TCP_KEEPALIVE_IDLE: 5, zmq.ROUTING_ID: b"a"}
    assert one(tmp_path, text).socket_options == {"backend": options}


def test_addresses_that_the_system_chooses_and_those_that_are_connected_to_may_be_the_same(tmp_path):
    text = "http = 0\n[device.a]\nsub-port = 0\npub-port = [0, '>tcp://a:1']\n"
    assert len(read(tmp_path, text + text.partition("\n")[2].replace("device.a", "device.b")).devices) == 2


def test_a_byte_order_mark_and_other_ends_of_lines_do_no_harm(tmp_path):
    assert one(tmp_path, "\ufeff" + QUEUE.replace("\n", "\r\n")) == Queue(name="q", frontend=1, backend=2)


@pytest.mark.parametrize(
    ("written", "environ", "expected"),
    [
        ("${A}", {"A": "5"}, 5),
        ("1${A}${B}", {"A": "2", "B": "3"}, 123),
        ("${A:-7}", {}, 7),
        ("${A:-7}", {"A": ""}, 7),
        ("${A:-7}", {"A": "8"}, 8),
        ("${A:-}9", {}, 9),
    ],
)
def test_a_variable_stands_for_text_and_for_numbers(tmp_path, written, environ, expected):
    assert one(tmp_path, QUEUE + f"sndhwm = '{written}'\n", **environ).sndhwm == expected


@pytest.mark.parametrize(
    ("written", "kept"),
    [("$${A}", "${A}"), ("$A", "$A"), ("$", "$"), ("$$", "$$"), ("${A}", "${B}"), ("$$${A}", "$${A}"), ("a$${", "a${")],
)
def test_what_is_no_variable_stays_and_what_a_variable_holds_is_not_read_again(tmp_path, written, kept):
    text = FORWARDER + f"subscribe = '{written}'\n"
    assert one(tmp_path, text, A="${B}", B="no").subscribe == (kept.encode(),)


def test_a_variable_can_stand_for_true_and_false_and_in_the_options_of_the_process(tmp_path):
    text = "fail-fast = '${A}'\nhttp = '${B}'\n" + QUEUE + "ipv6 = '${A}'\n"
    read_settings = read(tmp_path, text, A="true", B="127.0.0.1:80")
    assert read_settings.fail_fast is True
    assert read_settings.http == HttpAddress("127.0.0.1", 80)
    assert read_settings.devices[0].ipv6 is True


# A value for each option that is not its default, as the command line and as the file has it.
VALUES = {
    "--interface": "127.0.0.3", "--sndhwm": 5, "--rcvhwm": 6, "--linger": 7, "--drain": 2.5, "--io-threads": 2,
    "--engine": "libzmq",
    "--ipv6": True, "--max-message-size": 2048, "--max-parts": 77, "--heartbeat": 9, "--control": "tcp://127.0.0.1:10",
    "--max-topic-size": 300, "--subscriber-burst": 400, "--subscriber-rate": 500, "--max-unfinished": 600,
    "--immediate": True, "--legacy-peers": True, "--control-type": "PAIR",
    "--tap": "tcp://127.0.0.1:11", "--http": "127.0.0.1:12", "--http-token-file": "token",
    "--http-connections": 20, "--http-connections-per-client": 10, "--http-streams-per-client": 3,
    "--http-trusted-proxy": ["10.0.0.1", "fd00::/8"],
    "--memory-budget": 2097152,
    "--fail-fast": True, "--ready-file": "ready", "--log-level": "debug", "--log-format": "json",
    "--frontend": ["tcp://a:1", ">tcp://b:2"], "--backend": [3], "--sub-port": 4, "--pub-port": ">5",
    "--push-port": "ipc://x", "--subscribe": ["a", "SUB"], "--push-payload": "parts", "--push-when-full": "block",
    "--slow-subscriber": "block", "--subscriber-max-age": 0.0, "--sndhwm-bytes": 0, "--rcvhwm-bytes": 0,
    "--max-subscriptions": 100_000, "--max-connections-per-address": 4, "--max-peers": 50, "--handshake-timeout": 2.5,
    "--max-rate": 40, "--max-rate-bytes": 5000, "--max-rate-per": "device", "--when-over-rate": "drop",
    "--curve-secret": "none", "--curve-clients": "none", "--curve-serverkey": "none", "--plain-passwords": "none",
    "--backbone": ["nats://a:1,b:2", "tls://c:3"], "--backbone-prefix": "p.q", "--backbone-buffer": 2097152,
    "--backbone-when-full": "block", "--backbone-login": "none", "--backbone-ca": "none", "--backbone-cert": "none",
    "--backbone-key": "none", "--requests-per-worker": 3, "--durable": True,
    "--allow": ["none"], "--deny": ["none"], "--on-revoke": "disconnect",
    "--frontend-type": "SUB", "--backend-type": "PUB",
}  # fmt: skip


def on_command_line(option, value):
    if value is True:
        return [option]
    return [f"{option}={one}" for one in (value if isinstance(value, list) else [value])]


@pytest.mark.parametrize("name", PATTERNS)
def test_the_command_line_and_the_file_agree(tmp_path, name):
    # With libzmq, there are no rights beside legacy peers, no last values, no replay and no topics.
    kept = (*options_of(RetentionOptions), *options_of(ReplayOptions), *options_of(TopicOptions))
    # There is one way to be let in at NATS.
    without = {"name", "rights", "backbone-credentials", "backbone-nkey", *(option.name for option in kept)}
    flags = [option.flag for option in options_of(PATTERNS[name]) if option.name not in without]
    device = {flag: VALUES[flag] for flag in flags}
    # These sockets are open to every peer.
    flags = [option.flag for option in options_of(ServerSettings) if option.name != "require-auth"]
    process = {flag: VALUES[flag] for flag in flags}
    words = [word for option, value in (device | process).items() for word in on_command_line(option, value)]
    lines = [f"{option[2:]} = {json.dumps(value)}" for option, value in process.items()]
    lines += [f"[device.named]\npattern = '{name}'"]
    lines += [f"{option[2:]} = {json.dumps(value)}" for option, value in device.items()]
    command, options = arguments.parse([name, "--name=named", *words])
    assert command.name == name
    assert read(tmp_path, "\n".join(lines)) == pattern.settings(PATTERNS[name], options)


def test_last_values_are_the_same_on_the_command_line_and_in_the_file(tmp_path):
    words = [
        "--last-value", "--last-value-topics=5", "--last-value-bytes=6", "--last-value-prefix=a",
        "--last-value-prefix=b", "--last-value-max-age=1.5", "--topic-until=:",
    ]  # fmt: skip
    _, options = arguments.parse(["forwarder", "--frontend=1", "--backend=2", "--name=f", *words])
    (wanted,) = pattern.settings(PATTERNS["forwarder"], options).devices
    text = """
        last-value = true
        last-value-topics = 5
        last-value-bytes = 6
        last-value-prefix = ["a", "b"]
        last-value-max-age = 1.5
        topic-until = ":"
    """
    assert one(tmp_path, FORWARDER + text) == wanted
    assert (wanted.last_value_prefix, wanted.topic_until) == ((b"a", b"b"), b":")


def test_topics_are_the_same_on_the_command_line_and_in_the_file(tmp_path):
    words = ["--topics=5", "--topic-until=:"]
    _, options = arguments.parse(["forwarder", "--frontend=1", "--backend=2", "--name=f", *words])
    (wanted,) = pattern.settings(PATTERNS["forwarder"], options).devices
    assert one(tmp_path, FORWARDER + 'topics = 5\ntopic-until = ":"') == wanted
    assert (wanted.topics, wanted.topic_until, wanted.last_value) == (5, b":", False)


def test_replay_is_the_same_on_the_command_line_and_in_the_file(tmp_path):
    words = [
        "--replay=10min", "--replay-bytes=6", "--replay-port=7", "--replay-port=@tcp://*:8", "--stamp",
        "--replay-protocol=geventrelay",
    ]  # fmt: skip
    _, options = arguments.parse(["forwarder", "--frontend=1", "--backend=2", "--name=f", *words])
    (wanted,) = pattern.settings(PATTERNS["forwarder"], options).devices
    text = """
        replay = "10min"
        replay-bytes = 6
        replay-port = [7, "@tcp://*:8"]
        stamp = true
        replay-protocol = "geventrelay"
    """
    assert one(tmp_path, FORWARDER + text) == wanted
    assert [str(endpoint) for endpoint in wanted.replay] == ["tcp://127.0.0.1:7", "tcp://*:8"]
    assert (wanted.replay_size.age_s, wanted.log_bytes, wanted.stamp) == (600, 6, True)


def test_replay_has_a_table_of_its_own_where_its_socket_has_options(tmp_path):
    text = """
        [device.f.replay]
        size = "1GiB"
        bind = [7]
        sndhwm = 5
        allow = "127.0.0.1"
    """
    wanted = one(tmp_path, FORWARDER + text)
    assert [str(endpoint) for endpoint in wanted.replay] == ["tcp://127.0.0.1:7"]
    assert (wanted.replay_size.nbytes, wanted.log_bytes) == (1 << 30, 1 << 30)
    assert wanted.socket_options["replay"] == {zmq.SNDHWM: 5}
    assert wanted.access_rules["replay"].allow
    # TOML has no key of a value and of a table.
    with pytest.raises(ConfigurationError):
        one(tmp_path, FORWARDER + 'replay = "1GiB"\n' + text)


def test_rights_are_a_file_on_the_command_line_and_in_the_file(tmp_path):
    _, options = arguments.parse(["queue", "--frontend=1", "--backend=2", "--rights=rights.toml"])
    (wanted,) = pattern.settings(PATTERNS["queue"], options).devices
    assert wanted.rights == Path("rights.toml")
    assert one(tmp_path, QUEUE + "rights = 'rights.toml'\n").rights == wanted.rights


WORDS = ["device", "queue", "relay", "q", "pattern", "frontend", "backend", "sub", "pub", "bind", "connect", "http",
         "sndhwm", "tos", "linger", "subscribe", "control", "sub-port", "tcp-keepalive", "name", "drain", "identity",
         "fail-fast", "log-level", "interface", "curve-server"]  # fmt: skip
# What a TOML reader can give.
SCALARS = st.one_of(
    st.booleans(), st.integers(), st.integers(0, 9), st.floats(), st.text(max_size=20), st.sampled_from(WORDS),
    st.sampled_from(["tcp://*:1", ">tcp://a:2", "${A}", "${HOME", "ipc://x", "", "\0"]),
    st.datetimes(), st.dates(), st.times(),
)  # fmt: skip
KEYS = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
ANYTHING = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=4)),
    max_leaves=20,
)
DEVICE = st.dictionaries(KEYS, ANYTHING, max_size=8).flatmap(
    lambda table: st.sampled_from(list(PATTERNS)).map(lambda name: {"pattern": name, **table})
)
# Such that something is often right.
SOUND = [next(iter(loads(text)["device"].values())) for text in (FORWARDER, QUEUE)]
NEARLY = st.builds(
    lambda sound, table: {"device": {"q": {**sound, **table}}},
    st.sampled_from(SOUND),
    st.dictionaries(st.sampled_from(WORDS), ANYTHING, max_size=2),
)
DOCUMENTS = st.one_of(
    NEARLY,
    st.dictionaries(KEYS, ANYTHING, max_size=4),
    st.fixed_dictionaries({"device": st.dictionaries(KEYS, DEVICE, max_size=3)}),
    st.fixed_dictionaries({"device": st.fixed_dictionaries({"q": DEVICE})}),
)


def as_toml(value):
    """One value as TOML has it; a table is an inline one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(one):08X}" for one in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(one)}" for key, one in value.items()) + "}"
    return repr(value)


@pytest.mark.slow
@settings(max_examples=300)
@given(DOCUMENTS)
def test_any_document_is_taken_or_refused_with_its_problems(tmp_path, document):
    path = tmp_path / "relay.toml"
    text = "".join(f"{as_toml(key)} = {as_toml(value)}\n" for key, value in document.items())
    path.write_text(text, encoding="utf-8")
    try:
        taken = load(path, {"A": "1"})
    except ConfigurationError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.line is None or 1 <= problem.line <= len(document)
            assert len(str(problem)) < 2000
        assert len(str(error).splitlines()) == len(error.problems)
    else:
        assert taken.devices


@pytest.mark.slow
@given(st.text())
def test_any_text_is_taken_or_refused(tmp_path, text):
    path = tmp_path / "relay.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigurationError) as error:
        load(path, {})
    assert error.value.problems


@pytest.mark.parametrize(("written", "host", "port"), [
    ("8080", "127.0.0.1", 8080), (8080, "127.0.0.1", 8080), ("a:0", "a", 0), ("*:1", "0.0.0.0", 1), ("[::]:1", "::", 1),
])  # fmt: skip
def test_an_http_address_is_on_the_loopback_unless_told(written, host, port):
    read_address = HttpAddress.parse("http", written)
    assert (read_address.host, read_address.port) == (host, port)


def test_devices_of_one_server_must_differ_in_name():
    first = Queue(name="a", frontend=1, backend=2)
    with pytest.raises(SettingsError, match="names that differ"):
        ServerSettings(devices=(first, first))


CHAIN = """\
[device.one]
pattern = "streamer"
frontend = 1
backend = ">inproc://link"
io-threads = 2
[device.two]
pattern = "streamer"
frontend = "inproc://link"
backend = 2
"""


def test_devices_that_inproc_joins_have_the_same_number_of_io_threads(tmp_path):
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, CHAIN)
    assert [str(one) for one in error.value.problems] == [
        "device.one.io-threads: expected 1, which two has, since this connects to its inproc://link, got 2"
    ]
    assert [one.line for one in error.value.problems] == [5]
    same = CHAIN.replace("io-threads = 2\n", "")
    assert len(read(tmp_path, same).devices) == 2
    assert len(read(tmp_path, CHAIN + "io-threads = 2").devices) == 2
    # With nothing that binds it here, the address may belong to the program around it.
    assert len(read(tmp_path, CHAIN.replace('"inproc://link"', "3")).devices) == 2
    binds = Queue(name="two", frontend="inproc://x", backend=2)
    connects = Queue(name="one", frontend=1, backend=">inproc://x", io_threads=3)
    with pytest.raises(SettingsError, match=r"^io_threads: expected 1, which two has"):
        ServerSettings(devices=(binds, connects))


@pytest.mark.slow
def test_a_file_with_thousands_of_devices_and_addresses_is_read_in_seconds(tmp_path):
    text = "".join(f"[device.d{n}]\nsub-port = 'ipc://{n}'\npub-port = {n}\nsndhwm = 0\n" for n in range(1, 3000))
    text += "[device.many]\nsub-port = [" + ", ".join(str(n) for n in range(10_000, 60_000)) + "]\npub-port = 0\n"
    began = time.process_time()
    assert len(read(tmp_path, text).devices) == 3000
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, text.replace("sndhwm = 0", "sndhwm = -1"))
    assert len(error.value.problems) == 100
    # What took a time that grows with the square of their number took minutes.
    assert time.process_time() - began < 20
