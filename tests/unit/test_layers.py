"""Imports go down only: the table of layers, held against the package as it is installed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import geventrelay

PACKAGE = Path(geventrelay.__file__).parent
LAYERS = ["errors", "engine", "components", "devices", "server", "web", "cli"]
GROUND = {
    "errors", "log", "endpoints", "version", "terms", "backoff", "printable", "topics", "first_process", "file_state",
    "regular_file", "secret_files",
}  # fmt: skip
SHARED = {"settings", "recording"} | GROUND
FEATURES = {"access", "retention", "balancing", "spool", "backbone"}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# What each room may import: whole rooms, or single modules of them. Where a module or folder has a row of its own, that
# row counts for it and not the room's.
MAY_IMPORT = {
    "errors": set(),
    "log": set(),
    "terms": set(),
    "backoff": set(),
    "printable": set(),
    "topics": set(),
    "first_process": set(),
    "file_state": set(),
    "regular_file": set(),
    "secret_files": {"errors", "regular_file"},
    "version": set(),
    "endpoints": {"errors"},
    # A feature has its own options, and rules of how they go together.
    "settings": {"settings", "errors", "endpoints", "terms"}
    | {
        "access.options",
        "access.socket_rules",
        "access.rights_options",
        "access.rights_rules",
        "retention.options",
        "backbone.options",
    },
    "recording": {"recording", "errors"},
    "engine": {"engine", "errors", "log", "terms"},
    # The protocol: no sockets, no hub, nothing of ours.
    "zmtp": {"zmtp"},
    "switch": {"switch", "zmtp", "engine"} | GROUND,
    "components": {"components", "engine", "switch", "zmtp"} | SHARED,
    # A feature knows no other feature, no device, and nothing of a server.
    **{feature: {feature, "components", "engine"} | SHARED for feature in FEATURES},
    # It answers what comes over connections of engine zmtp, which alone can.
    "retention": {"retention", "components", "engine", "switch", "zmtp"} | SHARED,
    # It speaks ZeroMQ's protocol to the sockets of its own device.
    "backbone": {"backbone", "components", "engine", "zmtp"} | SHARED,
    "dropin": {"dropin", "components", "engine"} | GROUND,
    # Values alone: what a backbone has done, and what a trace of it has found.
    "devices": {"devices", "components", "engine", "backbone.values", "backbone.trace.hops"} | SHARED,
    # One line a feature.
    "devices.features": {"devices", "components", "engine"} | SHARED | FEATURES,
    # The name that programs import pyzmq's classes from.
    "devices.background": {"dropin"},
    "devices.monitoredqueue": {"dropin"},
    "server": {"server", "devices", "components", "engine", "switch"} | SHARED,
    # Values only: the server itself is handed to it.
    "web": {"web", "devices.snapshot", "backbone.values", "backbone.trace.hops"}
    | {
        f"engine.{name}"
        for name in ("counters", "values", "peeraccount", "useraccount", "peertable", "native.choose", "fair")
    }
    | SHARED,
    "web.http": {"web.http", "settings"} | GROUND,
    "cli": {"cli", "web", "server", "devices", "components", "engine"} | SHARED,
    # They read and write the files that say who may connect.
    "cli.client_keys": {"cli", "access"} | SHARED,
    # It asks the servers of NATS that a file names.
    "cli.commands.check": {"cli", "backbone"} | SHARED,
    "cli.commands.keygen": {"cli", "access"} | SHARED,
    "cli.commands.passwd": {"cli", "access"} | SHARED,
    # For programs of users, without a server.
    "client": {"client", "errors", "retention.replay_wire", "settings.concealed"},
    "testing": {"testing", "devices", "engine"} | SHARED,
    "__main__": {"cli", "first_process"},
    "__init__": set(),
}

# What else they may name for type checkers, in an `if TYPE_CHECKING` block.
MAY_NAME = {
    "components": {"backbone.values", "backbone.trace.hops"},
    "web": {
        "server.server",
        "server.supervisor",
        "devices.device",
        "components.tap",
        "components.published",
        "switch.core_values",
        "switch.subscribers",
    },
    "__init__": {"devices", "dropin", "engine"} | SHARED,
}

# So that programs which only read settings or recordings, or subscribe, need no hub.
WITHOUT_GEVENT = SHARED | {"zmtp", "client", "retention.replay_wire"}
# These are imported by themselves: one writes in the hub's threadpool, and one waits in greenlets.
WITH_GEVENT = {"recording.file_writer", "client.green"}


class Import(NamedTuple):
    """What a module imports: by its whole name, in which line, and whether for type checkers only."""

    name: str
    line: int
    for_types: bool


def imports(path: Path) -> Iterator[Import]:
    """All that the module at `path` imports, wherever in the module it does so."""
    package = ("geventrelay", *path.relative_to(PACKAGE).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, node in for_types)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else ())))
            for alias in node.names:
                # `from . import report` names a module last; `from .report import device` does not.
                whole = f"{module}.{alias.name}"
                is_module = whole.removeprefix("geventrelay.") in MODULES or whole == "zmq.green"
                yield Import(whole if is_module else module, node.lineno, node in for_types)


def own_imports(path: Path) -> Iterator[Import]:
    """Those of the package itself, without its name."""
    for one in imports(path):
        if one.name == "geventrelay":
            yield one._replace(name="__init__")
        elif one.name.startswith("geventrelay."):
            yield one._replace(name=one.name.removeprefix("geventrelay."))


def is_within(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def row_of(module: str) -> str:
    """The row of the table that counts for a module: the longest that fits."""
    fitting = [row for row in MAY_IMPORT if is_within(module, {row})]
    assert fitting, f"no room for {module}: give it a row in MAY_IMPORT, and a place in docs/design.rst"
    return max(fitting, key=len)


def importers_of(*rooms: str, outside: str) -> set[str]:
    """The modules outside of one room that import something of `rooms`, at run time."""
    return {
        module
        for module, path in MODULES.items()
        if not is_within(module, {outside})
        for one in own_imports(path)
        if not one.for_types and is_within(one.name, set(rooms))
    }


@pytest.mark.slow
def test_a_module_imports_only_what_lies_below_it():
    wrong = []
    for module, path in MODULES.items():
        row = row_of(module)
        for one in own_imports(path):
            allowed = MAY_IMPORT[row] | (MAY_NAME.get(row, set()) if one.for_types else set())
            if not is_within(one.name, allowed):
                wrong.append(f"{path}:{one.line}: {row} must not import {one.name}")
    assert not wrong, "\n".join(wrong)


def test_the_table_allows_no_way_up():
    for lower, room in enumerate(LAYERS):
        above = set(LAYERS[lower + 1 :])
        assert not {one.partition(".")[0] for one in MAY_IMPORT[room]} & above


def test_every_layer_is_there():
    assert {*LAYERS, *SHARED} <= {module.partition(".")[0] for module in MODULES}


@pytest.mark.slow
def test_only_the_main_module_imports_the_command_line():
    assert importers_of("cli", outside="cli") == {"__main__"}


@pytest.mark.slow
def test_only_the_shims_for_programs_of_pyzmq_import_the_drop_in_calls():
    assert importers_of("dropin", outside="dropin") == {"devices.background", "devices.monitoredqueue"}


@pytest.mark.slow
def test_only_the_command_line_imports_the_server_and_the_web():
    assert all(is_within(module, {"cli"}) for module in importers_of("server", outside="server"))
    assert all(is_within(module, {"cli"}) for module in importers_of("web", outside="web"))


def test_a_feature_imports_no_other_feature_and_nothing_that_is_built_of_features():
    for feature in FEATURES:
        above = {"devices", "dropin", "server", "web", "cli", "testing"} | (FEATURES - {feature})
        assert not MAY_IMPORT[feature] & above


def test_settings_recordings_and_the_ground_import_neither_gevent_nor_green_sockets():
    wrong = [
        f"{path}:{one.line}: {one.name}"
        for module, path in MODULES.items()
        if is_within(module, WITHOUT_GEVENT) and module not in WITH_GEVENT
        for one in imports(path)
        if is_within(one.name, {"gevent", "greenlet", "zmq.green"})
    ]
    assert not wrong, "\n".join(wrong)
