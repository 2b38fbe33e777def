"""What ``help()`` shows of settings: a signature that is wrapped, and a line for each option."""

from __future__ import annotations

import inspect
import textwrap

from .option import Group, Option, options_of

_WIDTH = 100


class WrappedSignature(inspect.Signature):
    """A signature like any other, but for its text: without types, and in lines that a terminal has room for."""

    __slots__ = ()

    def __str__(self) -> str:
        words = ["*"] if any(one.kind is one.KEYWORD_ONLY for one in self.parameters.values()) else []
        words += [one.name if one.default is one.empty else f"{one.name}=..." for one in self.parameters.values()]
        lines = textwrap.wrap(", ".join(words), _WIDTH - 4, break_long_words=False, break_on_hyphens=False)
        return "(\n" + "\n".join("    " + line for line in lines) + "\n)"


def describe(cls: type[Group]) -> None:
    """Give the settings class `cls` that signature, and its docstring the options. To be called once for a class."""
    signature = inspect.signature(cls)
    cls.__signature__ = WrappedSignature(list(signature.parameters.values()))  # type: ignore[attr-defined]
    cls.__init__.__signature__ = cls.__signature__  # type: ignore[attr-defined]
    lines = [f":param {one.field}: {_text(one)}" for one in options_of(cls)]
    cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__ or ""), "", *lines])


def _text(option: Option) -> str:
    unit = f" ({option.unit})" if option.unit else ""
    values = f"; one of {', '.join(option.values)}" if option.values else ""
    default = "" if option.needed else f" [default: {option.default_text}]"
    return f"{option.help}{unit}{values}{default}"
