"""Environment variables in text: ``${NAME}``, and ``${NAME:-text}`` with what stands for one that is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import SettingsError

_MARK = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")


def expand(name: str, text: str, environ: Mapping[str, str]) -> str:
    """The text with each variable's value in its place; ``$${`` stands for ``${``.

    :param name: what to call the input in an error. :param text: what was written.
    :param environ: the variables. One that is empty has its default too, as in a shell.
    :raises SettingsError: naming a variable that is not set, or a ``${`` that names none.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        variable = match["name"]
        if variable is None:
            raise SettingsError(name, "${NAME} or ${NAME:-text}, or $${ for ${ itself", text)
        default = match["default"]
        if default is not None:
            return environ.get(variable) or default
        if variable not in environ:
            raise SettingsError(name, f"the environment variable {variable} to be set", text)
        return environ[variable]

    return _MARK.sub(value, text)
