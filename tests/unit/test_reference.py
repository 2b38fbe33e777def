"""The tables of options in docs are made from the options' descriptions, and none is missing."""

from __future__ import annotations

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from geventrelay.cli import command
from geventrelay.settings import PATTERNS, DeviceSettings, ServerSettings
from geventrelay.settings.file.keys import keys_of
from geventrelay.settings.option import options_of
from geventrelay.settings.socket_options import OPTIONS, REFUSED

ROOT = Path(__file__).resolve().parents[2]


def script(name):
    """The program scripts/`name` as a module."""
    loader = SourceFileLoader(name, str(ROOT / "scripts" / name))
    module = module_from_spec(spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


reference = script("reference")
TEXT = {page: (ROOT / page).read_text(encoding="utf-8") for page in reference.PAGES}
# Patterns' options are keys of the file too, and stand there.
WITH_OPTIONS = [name for name in command.COMMANDS if command.load(name).options and name != "run"]


def rows(name: str) -> set[str]:
    """What stands in the first column of a table, without its head."""
    (text,) = [text for text in TEXT.values() if f"reference: {name}\n" in text]
    table = text.partition(f"reference: {name}\n")[2].partition(f".. end of {name}\n")[0]
    return set(re.findall(r"^   \* - ``([^`]+)``$", table, re.MULTILINE))


@pytest.mark.parametrize("page", reference.PAGES)
def test_the_tables_are_those_that_the_descriptions_make(page):
    assert TEXT[page] == reference.updated(TEXT[page]), "run scripts/reference"


def test_every_key_has_a_row():
    every, some = rows("options of every pattern"), rows("options of some patterns")
    assert rows("options of the process") == set(keys_of(ServerSettings))
    assert every == {"pattern", *keys_of(DeviceSettings)}
    assert every | some == {"pattern", *(key for cls in PATTERNS.values() for key in keys_of(cls))}


def test_every_socket_option_has_a_row():
    assert rows("options of sockets") == set(OPTIONS)


@pytest.mark.parametrize("name", REFUSED)
def test_every_option_that_is_refused_is_named(name):
    assert f"``{name}``" in TEXT["docs/configuration.rst"].partition("reference: refused options\n")[2]


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_every_option_of_a_command_has_a_row(name):
    flags = {row.partition(" ")[0] for row in rows(f"options of {name}")}
    assert flags == {option.flag for option in command.load(name).options}


@pytest.mark.parametrize("cls", [ServerSettings, *PATTERNS.values()])
def test_a_default_in_a_table_is_the_one_that_settings_have(cls):
    for option in options_of(cls):
        if not option.needed:
            assert option.unset or option.default is not None, f"{option.name}: say what its default None means"
            if not option.unset:
                assert option.read(option.name, option.default_text) == option.default
