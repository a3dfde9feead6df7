"""Loads settings out of the environment and out of files, and says in a sentence each which of them cannot be used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

PREFIX = "MESHGATE_"

AnySettings = TypeVar("AnySettings", bound=BaseSettings)


class SettingsError(Exception):
    """The environment cannot be used; the text has one line per setting."""


def load(kind: type[AnySettings], lines: Mapping[str, str] | None = None) -> AnySettings:
    """Settings out of the environment; SettingsError with one sentence per setting that cannot be used.

    `lines` are more of it, by the variables' names, and count before it.
    """
    values: dict[str, Any] = {name.removeprefix(PREFIX).lower(): value for name, value in (lines or {}).items()}
    try:
        return kind(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from error


def _sentence(problem: ErrorDetails) -> str:
    if not problem["loc"]:  # of several settings
        return problem["msg"].removeprefix("Value error, ")
    name = f"{PREFIX}{problem['loc'][0]}".upper()
    if problem["type"] == "missing":
        return f"{name} is not set"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')} (it is {problem['input']!r})"


def environment_lines(name: str, text: str) -> dict[str, str]:
    """Lines NAME=VALUE, without empty ones and those that begin with #; SettingsError for any other.

    `name` is the setting that the text is from.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        variable, equals, value = line.strip().partition("=")
        if equals:
            found[variable] = value
        elif variable and not variable.startswith("#"):
            raise SettingsError(f"{name}: line {number} is not NAME=VALUE")
    return found


def read_file(name: str, path: Path) -> str:
    """What a file holds that a setting names; SettingsError if it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: {path} cannot be read: {getattr(error, 'strerror', 'not text')}") from error


def read_secret(name: str, path: Path) -> str:
    """The one line that a mounted secret holds; SettingsError if there is none."""
    secret = read_file(name, path).strip()
    if not secret:
        raise SettingsError(f"{name}: {path} is empty")
    return secret
