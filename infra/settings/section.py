"""A section of the settings, and the way from one to those within it."""

from collections.abc import Iterator
from datetime import date
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationInfo, field_validator

from infra.settings import secret_forms


class Section(BaseModel):
    """Settings that stand together. Unknown ones are refused. The text below one stands in docs/reference.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_plain(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 (whatever stands there)
        """As text where a text is meant, and no secret but where one is."""
        meant = cls.model_fields[str(info.field_name)].annotation
        if SecretStr not in _alternatives(meant) and _section_in(meant) is None:  # a section looks itself
            secret_forms.refuse(value)
        return _as_texts(meant, value)


def walk(
    section: type[Section], place: str = "", seen: set[type[Section]] | None = None
) -> Iterator[tuple[str, type[Section]]]:
    """The section and all within it, each with the place where it stands, such as `headscale.ingress`, `gateways[]`.

    One that stands in several places comes once, at the first of them.
    """
    seen = set() if seen is None else seen
    if section in seen:
        return
    seen.add(section)
    yield place, section
    for name in section.model_fields:
        if inner := within(section, name):
            yield from walk(inner, place_of(section, name, place), seen)


def within(section: type[Section], name: str) -> type[Section] | None:
    """The section that a setting is, or is a list of; None when it is a plain value."""
    return _section_in(section.model_fields[name].annotation)


def secrets(section: type[Section]) -> Iterator[str]:
    """The names of the secret settings in the section and in all within it."""
    for _, one in walk(section):
        yield from (name for name, field in one.model_fields.items() if _holds(field.annotation, SecretStr))


def place_of(section: type[Section], name: str, place: str) -> str:
    """Where a setting of the section that stands at `place` stands itself."""
    is_list = get_origin(section.model_fields[name].annotation) is tuple
    return f"{place}.{name}".lstrip(".") + ("[]" if is_list else "")


def _holds(annotation: object, kind: type) -> bool:
    return annotation is kind or any(_holds(inner, kind) for inner in get_args(annotation))


def _section_in(annotation: object) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def is_text(section: type[Section], name: str) -> bool:
    """Whether a setting is a text, and not something that text stands for."""
    field = section.model_fields.get(name)
    return field is not None and bool({str, SecretStr}.intersection(_alternatives(field.annotation)))


def _alternatives(annotation: object) -> Iterator[Any]:
    """What a setting may be: each type of a union, without what is annotated to it."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for one in get_args(annotation):
            yield from _alternatives(one)
    else:
        yield annotation


def _as_texts(annotation: object, value: object) -> object:
    """The value, with numbers and the like as text where that is meant.

    `pulumi config set --path` stores 2 and true as a number and a boolean, and YAML has dates besides.
    """
    for meant in _alternatives(annotation):
        inner = get_args(meant)
        if meant is str and isinstance(value, bool | int | float | date):
            return str(value).lower() if isinstance(value, bool) else str(value)
        if get_origin(meant) is tuple and isinstance(value, list | tuple):
            return [_as_texts(inner[0], one) for one in value]
        if get_origin(meant) is dict and isinstance(value, dict):
            return {_as_texts(inner[0], key): _as_texts(inner[1], one) for key, one in value.items()}
    return value
