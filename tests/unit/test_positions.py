"""Each key of a TOML text is found in the line in which it stands, whatever is around it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geventrelay.settings.file.positions import MOST_PARTS, key_lines, loads, too_deep


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", {}),
        ("# nothing = 1\n\n", {}),
        ("a = 1\nb = 2", {("a",): 1, ("b",): 2}),
        ("\r\na = 1\r\n\r\nb = 2\r\n", {("a",): 2, ("b",): 4}),
        ("[t]\nk = 1", {("t",): 1, ("t", "k"): 2}),
        ("[a.b]\n[a]\nc = 1", {("a",): 1, ("a", "b"): 1, ("a", "c"): 3}),
        ("a.b.c = 1\na.d = 2", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1, ("a", "d"): 2}),
        ("'a b'.\"c\\\"d\" = 1", {("a b",): 1, ("a b", 'c"d'): 1}),
        ('a = """\nb = 1\n[c]\n"""\nd = 2', {("a",): 1, ("d",): 5}),
        ('a = """x\\""" = 1\n"""""\nb = 2', {("a",): 1, ("b",): 3}),
        ("a = '''\n\\'''''\nb = 2", {("a",): 1, ("b",): 3}),
        ("a = [ # b = 1\n 1, # ]\n\n 2,\n]\nb = 1", {("a",): 1, ("a", 0): 2, ("a", 1): 4, ("b",): 6}),
        ("a = {b = 1, c.d = '}'}\ne = 1", {("a",): 1, ("a", "b"): 1, ("a", "c"): 1, ("a", "c", "d"): 1, ("e",): 2}),
        ("a = [{b = 1},\n{b = 2}]", {("a",): 1, ("a", 0): 1, ("a", 0, "b"): 1, ("a", 1): 2, ("a", 1, "b"): 2}),
        ("[[t]]\na = 1\n[t.s]\n[[t]]\n[t.s]", {
            ("t",): 1, ("t", 0): 1, ("t", 0, "a"): 2, ("t", 0, "s"): 3, ("t", 1): 4, ("t", 1, "s"): 5,
        }),
        ("a = 1979-05-27 07:32:00 # b\nc = 2", {("a",): 1, ("c",): 2}),
        ("[ a . 'b' ]\n c . d = 1", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 2, ("a", "b", "c", "d"): 2}),
    ],
)  # fmt: skip
def test_a_key_is_where_it_stands(text, lines):
    loads(text)
    assert key_lines(text) == lines


class Writer:
    """Writes a TOML text in styles that `draw` decides on, and notes what stands in which line."""

    def __init__(self, draw: Any) -> None:
        self.text = ""
        self.lines: dict[tuple[str | int, ...], int] = {}
        self._draw = draw
        self._numbers = itertools.count()

    def __repr__(self) -> str:
        return repr(self.text)

    def pick(self, *choices: Any) -> Any:
        return self._draw(st.sampled_from(choices))

    def note(self, *path: str | int) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def space(self) -> None:
        self.text += self.pick("", "", " ", "\t ")

    def rest_of_line(self) -> None:
        self.space()
        self.text += self.pick("", "", "# [no] = '", '# """') + self.pick("\n", "\n", "\r\n", "\n\n", "\n  \n# x = 1\n")

    def new_key(self) -> str:
        return self.pick("a", "key", "k-_", "1", "a b", 'q"', "'", "\u00e9", "#", "a.b", "]", "=") + str(
            next(self._numbers)
        )

    def key(self, key: str) -> None:
        bare = key.isascii() and all(character.isalnum() or character in "-_" for character in key)
        quoted = ['"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"']
        if "'" not in key:
            quoted.append(f"'{key}'")
        self.text += self.pick(*([key] * 3 if bare else []), *quoted)

    def path_of_keys(self, keys: list[str]) -> None:
        for index, key in enumerate(keys):
            if index:
                self.space()
                self.text += "."
                self.space()
            self.key(key)

    def pairs(self, table: tuple[str | int, ...], count: int) -> None:
        for _ in range(count):
            self.space()
            self.pair(table, 0)
            self.rest_of_line()

    def pair(self, table: tuple[str | int, ...], depth: int) -> None:
        keys = [self.new_key() for _ in range(self.pick(1, 1, 1, 2, 3))]
        for end in range(1, len(keys) + 1):
            self.note(*table, *keys[:end])
        self.path_of_keys(keys)
        self.space()
        self.text += "="
        self.space()
        self.value((*table, *keys), depth)

    def value(self, path: tuple[str | int, ...], depth: int) -> None:
        self.note(*path)
        kind = self.pick("plain", "plain", "text", "text", *(["array", "inline"] if depth < 3 else []))
        if kind == "plain":
            self.text += self.pick(
                "1", "-0x1F".replace("-", ""), "1e3", "nan", "true", "1979-05-27 07:32:00Z", "07:32:00"
            )
        elif kind == "text":
            self.text += self.pick(
                '"# x"', '"\\\\"', '"\\"]"', "'\\'", "'[\"'", '""', "''", '"""\n[x]\ny = 1\n"""', '"""a""b\\"" """',
                "'''\n# ''\n'''", "'''a'''''", '"""\\\n  z"""', '"""x"""""', "'''\n\n'''",
            )  # fmt: skip
        elif kind == "array":
            self.array(path, depth)
        else:
            self.inline(path, depth)

    def array(self, path: tuple[str | int, ...], depth: int) -> None:
        self.text += "["
        count = self.pick(0, 1, 2, 3)
        for index in range(count):
            self.text += self.pick("", " ", "\n", "\n\n\t", " # ,]\n")
            self.value((*path, index), depth + 1)
            self.text += self.pick("", "\n", " # [\n")
            if index < count - 1 or self.pick(True, False):
                self.text += ","
        self.text += self.pick("", "\n", " # end\n") + "]"

    def inline(self, path: tuple[str | int, ...], depth: int) -> None:
        self.text += "{"
        for index in range(self.pick(0, 1, 2)):
            self.text += ", " if index else self.pick("", " ")
            self.pair(path, depth + 1)
        self.text += self.pick("", " ") + "}"

    def section(self) -> None:
        keys = [self.new_key() for _ in range(self.pick(1, 2, 3))]
        several = self.pick(0, 0, 1, 2)
        for index in range(several or 1):
            for end in range(1, len(keys) + 1):
                self.note(*keys[:end])
            path: tuple[str | int, ...] = (*keys, index) if several else tuple(keys)
            self.note(*path)
            self.header(keys, "[[" if several else "[")
            self.pairs(path, self.pick(0, 1, 2))
            if self.pick(True, False):
                below = self.new_key()
                self.note(*path, below)
                self.header([*keys, below], "[")
                self.pairs((*path, below), self.pick(0, 1))

    def header(self, keys: list[str], opening: str) -> None:
        self.space()
        self.text += opening
        self.space()
        self.path_of_keys(keys)
        self.space()
        self.text += {"[": "]", "[[": "]]"}[opening]
        self.rest_of_line()


@st.composite
def documents(draw: Any) -> Writer:
    writer = Writer(draw)
    writer.pairs((), writer.pick(0, 1, 3))
    for _ in range(writer.pick(0, 1, 2, 3)):
        writer.section()
    return writer


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(below, (*path, key))


@pytest.mark.slow
@settings(max_examples=300)
@given(documents())
def test_every_key_of_any_document_is_where_the_reader_finds_it(document):
    tables = loads(document.text.replace("\r\n", "\n"))
    found = key_lines(document.text)
    assert set(found) == set(paths(tables))
    assert found == document.lines


TEXTS = [
    "a = [ # ]\n 1, '[', {x = \"}\"},\n 2,\n]\nb = 1",
    "a = {b = 1, c.d = '}', e = [[1], [{f = 2}]]}\ng = 1\n[h]\ni = [{j = 1},\n{j = '''\n]'''}]\nk = 2",
    '[[t]]\na = [1,\n2]\n[t.s]\nb = """\n[x]"""\n[[t]]\n[t.s]\nc = [[]]',
]


@given(st.data())
@settings(deadline=None)
def test_what_is_asked_for_is_found_without_the_rest(data):
    text = data.draw(st.sampled_from(TEXTS))
    every = key_lines(text)
    wanted = data.draw(st.lists(st.sampled_from(sorted(every, key=str))))
    found = key_lines(text, wanted)
    assert {path: every[path] for path in wanted} == {path: found[path] for path in wanted}
    assert found.items() <= every.items()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\na" + ".b" * MOST_PARTS + " = 1", 3),
        ("[" + " . ".join(["'a.b'"] * (MOST_PARTS + 1)) + "]", 1),
        ("x = {a" + '."b"' * MOST_PARTS + " = 1}", 1),
        ("a" + ".b" * (MOST_PARTS - 1) + " = 1", None),
        ("a = '" + "a." * 100 + "'\n# " + "a." * 100, None),
        ("a = [" + "1.5, " * 100 + "]", None),
        ("a.b = 1\n" * 100, None),
        ("a = '''\n" + "a." * 100 + "'''", None),
        ("." * 100, 1),
    ],
)
def test_a_key_with_too_many_parts_is_found(text, line):
    assert too_deep(text) == line
