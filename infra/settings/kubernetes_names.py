"""Names, labels and annotations as Kubernetes takes them; ours cannot be overridden."""

import re
from typing import Annotated

from pydantic import AfterValidator

_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OURS = re.compile(r"(meshgate|pulumi\.com)/.*|app\.kubernetes\.io/(name|instance|part-of|managed-by)")
"""Labels and annotations that the program sets: selectors, ownership and the provider go by them."""
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def _object_name(value: str) -> str:
    if not _DOMAIN.fullmatch(value):
        raise ValueError(f"{value!r} is not an object's name of lower-case letters, digits, inner dashes and dots")
    return value


def _key(value: str) -> str:
    domain, slash, word = value.rpartition("/")
    if not _WORD.fullmatch(word) or (slash and not _DOMAIN.fullmatch(domain)):
        raise ValueError(
            f"{value!r} is not a key such as team or example.com/team: an optional domain in lower case, and at most "
            "63 letters, digits, inner dashes, underscores and dots"
        )
    return value


def label_value(value: str) -> str:
    """The value, if a label can have it; else a ValueError."""
    if value and not _WORD.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a label's value of at most 63 letters, digits, inner dashes, underscores and dots"
        )
    return value


def _keys(values: dict[str, str]) -> dict[str, str]:
    for key in values:
        _key(key)
    return values


def _labels(values: dict[str, str]) -> dict[str, str]:
    for key, value in values.items():
        try:
            label_value(value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return _keys(values)


def _extra(values: dict[str, str]) -> dict[str, str]:
    if ours := sorted(filter(_OURS.fullmatch, values)):
        raise ValueError(f"{', '.join(ours)}: the stack sets that itself; leave it out")
    return values


ObjectName = Annotated[str, AfterValidator(_object_name)]
Key = Annotated[str, AfterValidator(_key)]
"""Of a label, an annotation or a taint."""
LabelValue = Annotated[str, AfterValidator(label_value)]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]
"""By which somebody else's things are found."""
ExtraLabels = Annotated[Labels, AfterValidator(_extra)]
"""Of objects of ours, besides our own."""
ExtraAnnotations = Annotated[dict[str, str], AfterValidator(_keys), AfterValidator(_extra)]
