"""An option's description, and everything that is made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from geventrelay import SettingsError, Streamer
from geventrelay.cli import help as texts
from geventrelay.cli.commands.pattern import command_of, settings
from geventrelay.devices.live_changes import restart_needed_by
from geventrelay.settings.checks import flag, one_of, seconds, text, whole
from geventrelay.settings.device_options import ControlType, DeviceGroup
from geventrelay.settings.file.keys import keys_of
from geventrelay.settings.option import Group, Scope, groups_of, option, options_of, read_group


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(DeviceGroup):
    """What a feature adds to every device."""

    __slots__ = ()

    title = "Feature"

    grace_ms: int = option(whole(0, 5), "how long to wait", default=3, live=True)
    label: str | None = option(text, "what to write", default=None, unset="nothing", metavar="TEXT")

    @classmethod
    def check_group(cls, values: Mapping[str, Any]) -> Iterator[SettingsError]:
        if values.get("label") == "slow" and values.get("grace_ms") == 0:
            yield SettingsError("grace", "more than 0 for slow", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Featured(Streamer, FeatureOptions):
    """A pattern that has the feature."""

    pattern = "featured"


SIDES = {"frontend": 1, "backend": 2}


def test_a_group_joins_by_being_a_base():
    assert FeatureOptions in groups_of(Featured)
    assert {"grace", "label"} <= set(keys_of(Featured))
    assert Featured(**SIDES).grace_ms == 3
    assert Featured(**SIDES, grace_ms="5").grace_ms == 5
    with pytest.raises(TypeError):
        vars(Featured(**SIDES))


def test_the_rules_of_a_group_are_kept():
    with pytest.raises(SettingsError, match=r"grace_ms: expected an integer from 0 to 5 \(milliseconds\), got 6"):
        Featured(**SIDES, grace_ms=6)
    with pytest.raises(SettingsError, match="grace: expected more than 0 for slow"):
        Featured(**SIDES, grace_ms=0, label="slow")


def test_help_and_the_command_line_have_the_options_of_a_group():
    command = command_of(Featured)
    lines = texts.text(command).splitlines()
    assert "Feature:" in lines
    assert "  --grace=MS                how long to wait (default: 3)" in lines
    assert "  --label=TEXT              what to write (default: nothing)" in lines
    given = {"--frontend": ["1"], "--backend": ["2"], "--grace": "4", "--label": None}
    assert settings(Featured, given).devices[0] == Featured(**SIDES, grace_ms=4)
    with pytest.raises(SettingsError, match=r"^--grace: expected an integer from 0 to 5 \(milliseconds\), got 'x'"):
        settings(Featured, given | {"--grace": "x"})


def test_a_live_option_needs_no_restart_and_another_does():
    device = Featured(**SIDES)
    assert restart_needed_by(device, dataclasses.replace(device, label="x")) == "label"
    assert dataclasses.replace(device, grace_ms=5) != device
    (live,) = [one for one in options_of(FeatureOptions) if one.live]
    assert live.field == "grace_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions(Group):
    """Options of a command."""

    target: str = option(text, "where to", name="to", metavar="PLACE")
    drain_s: float = option(seconds, "how long", default=1.0)
    size_bytes: int = option(whole(1), "how much", default=1)
    high_water: int = option(whole(0), "how many", default=10, unit="messages")
    loud: bool = option(flag, "say more", default=False)
    kind: ControlType = option(one_of(ControlType), "which", default=ControlType.REP, metavar="TYPE")


@pytest.mark.parametrize(
    ("field", "name", "unit", "metavar", "default"),
    [
        ("target", "to", "", "PLACE", ""),
        ("drain_s", "drain", "seconds", "SECONDS", "1"),
        ("size_bytes", "size", "bytes", "BYTES", "1"),
        ("high_water", "high-water", "messages", "N", "10"),
        ("loud", "loud", "", "VALUE", "false"),
        ("kind", "kind", "", "TYPE", "REP"),
    ],
)
def test_name_unit_and_metavar_follow_from_the_field(field, name, unit, metavar, default):
    (one,) = [one for one in options_of(CommandOptions) if one.field == field]
    assert (one.name, one.unit, one.metavar, one.default_text) == (name, unit, metavar, default)
    assert one.flag == f"--{name}"
    assert one.scope is Scope.COMMAND


def test_a_command_reads_its_group_from_the_command_line():
    read = read_group(CommandOptions, {"--to": "x", "--drain": "2", "--loud": True, "--other": "y"})
    assert read == CommandOptions(target="x", drain_s=2.0, loud=True)
    with pytest.raises(SettingsError, match=r"^--drain: expected a number from 0 to 86400 \(seconds\), got 'x'$"):
        read_group(CommandOptions, {"--to": "x", "--drain": "x"})
