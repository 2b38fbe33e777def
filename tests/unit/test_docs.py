"""README.rst, CHANGES.rst and docs: they parse, and they name every log event and every module."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path

from docutils.core import publish_doctree

import geventrelay

PACKAGE = Path(geventrelay.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.rst", ROOT / "CHANGES.rst", *sorted((ROOT / "docs").glob("*.rst"))]

_WARNING = 2


def messages_of(page: Path) -> str:
    """What docutils complains about in a page, warnings and errors."""
    complaints = io.StringIO()
    settings = {
        "warning_stream": complaints, "report_level": _WARNING, "halt_level": 5,
        # Colours for code blocks would need Pygments.
        "syntax_highlight": "none", "_disable_config": True,
    }  # fmt: skip
    publish_doctree(page.read_text(encoding="utf-8"), source_path=str(page), settings_overrides=settings)
    return complaints.getvalue()


def test_every_page_parses():
    found = {page.name: messages_of(page) for page in PAGES}
    assert not any(found.values()), "\n".join(found.values())


def logged_events() -> set[str]:
    """The names of all events that the package can log: arguments of calls of `event`, `_note` and `tell`."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                names.update(_event_name(node))
    return names


def _event_name(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "id", getattr(call.func, "attr", None))
    # A socket's monitor notes a level before the name.
    place = {"event": 0, "_note": 1, "tell": 1}.get(name)
    if place is not None and len(call.args) > place:
        argument = call.args[place]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value


def test_every_log_event_is_in_the_table_and_no_other():
    text = (ROOT / "docs" / "operating.rst").read_text(encoding="utf-8")
    section = re.split(r"\n[^\n]+\n-+\n", text.partition("\nThe log\n-------\n")[2])[0]
    table = section.partition(".. list-table::")[2]
    rows = re.findall(r"^   \* - ``([a-z-]+)``$", table, re.MULTILINE)
    assert rows == sorted(set(rows))
    assert set(rows) == logged_events()


def modules_in_layout() -> set[str]:
    """The modules that the layout in docs/design.rst shows, as paths in the package."""
    layout = (ROOT / "docs" / "design.rst").read_text(encoding="utf-8").partition("\nLayout\n---")[2]
    folder, found = "", set[str]()
    for line in layout.partition("    geventrelay/\n")[2].partition("\n\n")[0].splitlines():
        indent, name = re.match(r"( +)(\S+)", line).groups()
        if len(indent) == 6:
            folder = name if name.endswith("/") else ""
        if name.endswith(".py"):
            found.add(folder + name)
    return found


def test_the_layout_shows_every_module_and_no_other():
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__")}
    assert modules_in_layout() == there
