"""A stack's settings from its config; what cannot work is told in one sentence an error.

A sentence names the setting, what is wrong and what would be right.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.settings.section import Section, is_text, secrets, within
from infra.settings.stack import StackSettings

_Section = TypeVar("_Section", bound=Section)

_SHAPES = {
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "names with their values",
    "model_type": "a section, which is settings by their names",
    "int_type": "a number",
    "bool_type": "true or false",
    "string_unicode": "text",
    "invalid_key": "text",
}
"""What a value that has another shape is not, by pydantic's type of error. It is not repeated: it may be a secret."""
_SCALARS = {
    "int_parsing": "a number",
    "int_parsing_size": "a number in its range",
    "int_from_float": "a whole number",
    "finite_number": "a number",
    "bool_parsing": "true or false",
}
"""What a number or a word is not."""


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
    if not isinstance(value, str) or is_text(StackSettings, name):
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
        known = _section_at(root, error["loc"][:-1]) or root
        what = f"there is no such setting; known here are {', '.join(sorted(known.model_fields))}"
    if error["type"] == "missing":
        what = "it is missing and has no default"
    elif error["loc"] and error["loc"][-1] in set(secrets(root)):
        what = what if error["type"] == "value_error" else "it is not text"  # and is not repeated
    elif shape := _SHAPES.get(error["type"]):
        what = f"it is not {shape}"
    elif shape := _SCALARS.get(error["type"]):
        what = f"{error['input']!r} cannot be used: it is not {shape}"
    elif what.startswith(("Input ", "String ")):
        given = f"{error['input']!r} cannot be used: " if isinstance(error["input"], int | float | str) else ""
        what = f"{given}it {what.partition(' ')[2]}"
    return f"{where}: {what}." if error["loc"] else f"meshgate: {what}."


def _section_at(section: type[Section], path: tuple[int | str, ...]) -> type[Section] | None:
    """The section at an error's path, such as ("gateways", 0); None where that leads to a plain value."""
    for name in path:
        if isinstance(name, str):
            inner = within(section, name) if name in section.model_fields else None
            if inner is None:
                return None
            section = inner
    return section
