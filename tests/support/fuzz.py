"""The fuzzer itself, which scripts/fuzz starts; its arguments are libFuzzer's."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["geventrelay.zmtp", "geventrelay.switch.core_python"]):
    from support.fuzz_target import try_input

atheris.Setup(sys.argv, try_input)
atheris.Fuzz()
