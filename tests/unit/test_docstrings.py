"""Every public name states its contract, mentions every argument, and has one field a line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import geventrelay

PACKAGE = Path(geventrelay.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_public(name: str) -> bool:
    return not name.startswith("_")


def public_nodes(path: Path) -> Iterator[tuple[str, ast.AST, str]]:
    """Each public module, class, function and method: its name, itself, and the docstring of its class."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    yield path.stem, tree, ""
    if not is_public(path.stem) and path.stem not in ("__init__", "__main__"):
        return
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, *Function)) and is_public(node.name):
            yield node.name, node, ""
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            text = ast.get_docstring(node) or ""
            for inner in node.body:
                if isinstance(inner, Function) and (is_public(inner.name) or inner.name == "__init__"):
                    yield f"{node.name}.{inner.name}", inner, text


def arguments(node: ast.AST) -> list[str]:
    if not isinstance(node, Function):
        return []
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [one.arg for one in every if one.arg not in ("self", "cls") and is_public(one.arg)]


def complaints(path: Path) -> Iterator[str]:
    """What is missing in the docstrings of a module."""
    for name, node, of_class in public_nodes(path):
        own = ast.get_docstring(node) or ""
        # A constructor's arguments stand in the class's docstring; a magic method has Python's own contract.
        if not own and not name.endswith(".__init__"):
            yield f"{name} (line {getattr(node, 'lineno', 1)}) has no docstring"
            continue
        for argument in arguments(node):
            if not re.search(rf"\b{re.escape(argument)}\b", own + of_class):
                yield f"{name} does not mention its argument {argument!r}"


def test_every_public_name_has_a_docstring_that_mentions_each_argument():
    wrong = [f"{path.relative_to(PACKAGE)}: {complaint}" for path in MODULES for complaint in complaints(path)]
    assert not wrong, "\n".join(wrong)


TO_MEND = (
    "engine/", "devices/", "components/", "settings/", "server/server.py", "server/supervisor.py", "server/reload.py",
    "cli/commands/", "cli/top/", "cli/arguments.py", "cli/help.py", "cli/main.py", "cli/process.py",
    "dropin/foreign_socket.py", "web/report.py", "web/metrics.py", "web/scrape.py", "web/history.py",
)  # fmt: skip
"""Where lines with several fields still stand; this list only gets shorter."""

_FIELD = re.compile(r":(?:param \w+|ivar \w+|raises [\w.]+|returns):")


def crowded_lines(path: Path) -> Iterator[int]:
    """The lines of a module with a field that does not begin its line: docutils shows such a field as text."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if any(line[: field.start()].strip(' "') for field in _FIELD.finditer(line)):
            yield number


def test_a_line_of_a_docstring_has_one_field():
    names = ((path, path.relative_to(PACKAGE).as_posix()) for path in MODULES)
    wrong = [f"{name}:{line}" for path, name in names if not name.startswith(TO_MEND) for line in crowded_lines(path)]
    assert not wrong, "\n".join(wrong)


def test_what_the_package_exports_exists_and_is_documented():
    for name in geventrelay.__all__:
        value = getattr(geventrelay, name)
        assert value.__doc__, f"geventrelay.{name} has no docstring"
