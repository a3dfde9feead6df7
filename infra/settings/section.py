"""A section of the settings, and the way from one to those within it."""

from collections.abc import Iterator
from typing import get_args, get_origin

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that stand together. Unknown ones are refused; the text below an attribute is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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


def place_of(section: type[Section], name: str, place: str) -> str:
    """Where a setting of the section that stands at `place` stands itself."""
    is_list = get_origin(section.model_fields[name].annotation) is tuple
    return f"{place}.{name}".lstrip(".") + ("[]" if is_list else "")


def _section_in(annotation: object) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
