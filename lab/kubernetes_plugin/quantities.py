"""Kubernetes quantities ("500m", "1Gi"): the API server rewrites them, so equal ones may be spelled differently."""

import re
from collections.abc import Sequence
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_PARENTS = frozenset({"requests", "limits", "capacity", "hard", "min", "max", "default", "defaultRequest", "overhead"})
_FIELDS = frozenset({"sizeLimit"})


def parse_quantity(text: object) -> Decimal | None:
    """Return a quantity's value ("1Ki" → 1024), None for what is no quantity."""
    match = _QUANTITY.fullmatch(str(text)) if isinstance(text, str | int | float) else None
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    value = Decimal(number + (exponent or ""))
    if suffix in _BINARY:
        return value * (1 << _BINARY[suffix])
    return value.scaleb(_DECIMAL.get(suffix, 0))


def same_quantity(path: Sequence[str | int], left: object, right: object) -> bool:
    """Whether the field at `path` holds a quantity and both spellings mean the same."""
    if not path or not (path[-1] in _FIELDS or (len(path) > 1 and path[-2] in _PARENTS)):
        return False
    value = parse_quantity(left)
    return value is not None and value == parse_quantity(right)
