"""A stack's settings from its config; what cannot work is told in one sentence an error.

A sentence names the setting, what is wrong and what would be right.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.settings.section import Section, within
from infra.settings.stack import SECRETS, StackSettings

_Section = TypeVar("_Section", bound=Section)


class SettingsError(ValueError):
    """Settings that cannot work; the text has one sentence a line."""


def load(get: Callable[[str], object | None], keys: Iterable[str] = ()) -> StackSettings:
    """The settings that `get` answers key by key, structured values as JSON text or as they are.

    `keys` are all keys that the stack sets: unknown ones are refused. Raises SettingsError, one sentence a line.
    """
    names = {*StackSettings.model_fields, *keys}
    values = {name: _decoded(name, value) for name in names if (value := get(name)) is not None}
    return checked(StackSettings, values)


def checked(section: type[_Section], values: Mapping[str, object]) -> _Section:
    """The section that these values make; raises SettingsError, one sentence a line."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(section, one) for one in error.errors())) from None


def _decoded(name: str, value: object) -> object:
    if not isinstance(value, str) or name in {"namespace", *SECRETS}:
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _sentence(root: type[Section], error: ErrorDetails) -> str:
    where = "meshgate:" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    where = where.replace("meshgate:.", "meshgate:")
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        what = f"there is no such setting; known here are {', '.join(_known(root, error['loc'][:-1]))}"
    if error["type"] == "missing":
        what = "it is missing and has no default"
    elif error["loc"] and error["loc"][0] in SECRETS:
        what = "it is not text"  # and is not repeated
    elif isinstance(error["input"], int | float | str) and what.startswith(("Input ", "String ")):
        what = f"{error['input']!r} cannot be used: it {what.partition(' ')[2]}"
    return f"{where}: {what}." if error["loc"] else f"meshgate: {what}."


def _known(section: type[Section], path: tuple[int | str, ...]) -> list[str]:
    """The settings of what is within a section at an error's path, such as ("gateways", 0)."""
    for name in path:
        if isinstance(name, str):
            section = within(section, name) or section
    return sorted(section.model_fields)
