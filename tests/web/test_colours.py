"""Every pair of colours that the page puts on one another can be read (WCAG 2.2, level AA)."""

from __future__ import annotations

import re

import pytest
from support.stub_server import PAGE

TEXTS = [
    ("text", "card"), ("text", "inset"), ("text", "page"), ("text", "lost-soft"), ("text", "good-soft"),
    ("muted", "card"), ("muted", "inset"), ("muted", "page"), ("flow", "card"), ("on-flow", "flow"),
    ("lost", "card"), ("lost", "page"), ("lost", "lost-soft"), ("on-lost", "lost"),
    ("wait", "card"), ("wait", "inset"), ("wait", "wait-soft"), ("good", "page"), ("good", "good-soft"),
    ("page", "text"), ("good", "inset"), ("text", "wait-soft"),
]  # fmt: skip
SHAPES = [
    ("control-edge", "card"), ("control-edge", "page"), ("focus", "card"), ("focus", "page"),
    ("flow", "card"), ("lost", "card"), ("wait", "card"),
]  # fmt: skip

LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\n\s*\}", (PAGE / "style.css").read_text(), re.DOTALL)
)


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_differ_enough(scheme):
    found = {pair: contrast(scheme[pair[0]], scheme[pair[1]]) for pair in TEXTS + SHAPES}
    assert {pair: found[pair] for pair in TEXTS if found[pair] < 4.5} == {}
    assert {pair: found[pair] for pair in SHAPES if found[pair] < 3} == {}
