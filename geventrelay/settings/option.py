"""Fields of settings that the command line and the configuration file know by the name of an option."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..errors import SettingsError
from .checks import Check


def setting(option: str | None, check: Check | None = None, **kwargs: Any) -> Any:
    """A field of a settings dataclass.

    :param option: the command line's name of it, e.g. ``--sndhwm``; None for a field that it does not know.
    :param check: what turns a value into the one that is kept; None for a field that holds endpoints.
    :param kwargs: as for `dataclasses.field`.
    """
    return dataclasses.field(metadata={"option": option, "check": check}, **kwargs)


def options_of(cls: Any) -> dict[str, str]:
    """The options that make settings of the class `cls`, each with the name of its field."""
    fields = [field for field in dataclasses.fields(cls) if field.metadata.get("option")]
    return {field.metadata["option"]: field.name for field in fields}


def needed_options(cls: Any) -> list[str]:
    """The options without which there are no settings of the class `cls`."""
    needed = {field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
    return [option for option, name in options_of(cls).items() if name in needed]


def by_option(cls: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `options` that belong to settings of the class `cls`, by the names of its fields."""
    return {name: options[option] for option, name in options_of(cls).items() if option in options}


def named_by_option(cls: Any, error: SettingsError) -> SettingsError:
    """The same `error` under the name that the command line has for the field of `cls` that it names."""
    options = {name: option for option, name in options_of(cls).items()}
    return SettingsError(options.get(error.name, error.name), error.rule, error.value)


def checks_of(cls: Any) -> dict[str, Check]:
    """What holds each single setting of the class `cls` against its rule, by the name of its field."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    return {name: fields[name].metadata["check"] for name in options_of(cls).values()}
