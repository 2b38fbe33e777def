"""Imports go down only: the layers of docs/design.rst, held against the package as it is installed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import geventrelay

PACKAGE = Path(geventrelay.__file__).parent
LAYERS = ["errors", "engine", "components", "devices", "server", "web", "cli"]
GROUND = {"errors", "log", "endpoints", "version", "terms"}
SHARED = {"settings", "recording"} | GROUND
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

MAY_IMPORT = {
    "errors": set(),
    "log": set(),
    "terms": set(),
    "version": set(),
    "endpoints": {"errors"},
    "settings": {"settings", "errors", "endpoints", "terms"},
    "recording": {"recording", "errors"},
    "engine": {"engine", "errors", "log", "terms"},
    "components": {"components", "engine"} | SHARED,
    "dropin": {"dropin", "components", "engine"} | GROUND,
    "devices": {"devices", "components", "dropin", "engine"} | SHARED,
    "server": {"server", "devices", "components", "engine"} | SHARED,
    "web": {"web", "server", "devices", "components", "engine"} | SHARED,
    "cli": {"cli", "web", "server", "devices", "components", "engine"} | SHARED,
    "testing": {"testing", "server", "devices", "engine"} | SHARED,
    "__main__": {"cli"},
    "__init__": {"devices", "dropin", "engine"} | SHARED,
}


def unit_of(path: Path) -> str:
    """The row of the table in which a module stands: its folder, or its own name at the top level."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_units(path: Path) -> Iterator[tuple[str, int]]:
    """What of the package a module imports, wherever in the module it does so, and in which line."""
    package = ("geventrelay", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            # `from . import errors` names the module last; `from .errors import X` does not.
            names = [(*module, alias.name) if len(module) == 1 else module for alias in node.names]
        for name in names:
            if name[0] == "geventrelay":
                yield (name[1] if len(name) > 1 else "__init__"), node.lineno


def test_a_module_imports_only_what_lies_below_it():
    wrong = []
    for path in MODULES:
        unit = unit_of(path)
        assert unit in MAY_IMPORT, f"{unit} has no row in this table; give it one here and a place in docs/design.rst"
        for imported, line in imported_units(path):
            if imported not in MAY_IMPORT[unit]:
                wrong.append(f"{path}:{line}: {unit} must not import {imported}")
    assert not wrong, "\n".join(wrong)


def test_the_table_allows_no_way_up():
    for lower, unit in enumerate(LAYERS):
        assert not MAY_IMPORT[unit] & set(LAYERS[lower + 1 :])


def test_every_layer_is_there():
    found = {unit_of(path) for path in MODULES}
    assert {*LAYERS, *SHARED} <= found
