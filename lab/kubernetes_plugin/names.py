"""Names of objects whose program gives none: the resource's name and eight hexadecimal digits."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTONAMED = "pulumi.com/autonamed"
"""Annotation on an object whose name was made here: it may get another one when it is replaced."""

_DIGITS = 8
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MAX_LENGTH = 253
_FREE_FORM_GROUPS = frozenset({"rbac.authorization.k8s.io"})
"""Groups whose object names may hold what a DNS name may not ("system:node")."""


@dataclass(frozen=True)
class Autonaming:
    """The engine's wish (`pulumi:autonaming` config): `proposed` name, or `disabled`."""

    proposed: str = ""
    disabled: bool = False


def is_autonamed(inputs: Mapping[str, Any]) -> bool:
    """Whether the object's name was made here."""
    return bool(annotations(inputs).get(AUTONAMED) == "true")


def annotations(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an object's annotations, empty where it has none or not yet."""
    metadata = obj.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def unique_name(resource: str, seed: bytes) -> str:
    """Return "web-1a2b3c4d" for resource "web"; the same again for the same (non-empty) seed."""
    digits = hashlib.sha256(seed).hexdigest()[:_DIGITS] if seed else secrets.token_hex(_DIGITS // 2)
    return f"{resource}-{digits}"


def name_problem(name: str, group: str) -> str | None:
    """Say what is wrong with an object's name, None when nothing is."""
    if group in _FREE_FORM_GROUPS:
        return "must not hold '/' or '%'" if "/" in name or "%" in name else None
    if len(name) > _MAX_LENGTH or not _SUBDOMAIN.fullmatch(name):
        return (
            f"must be at most {_MAX_LENGTH} lower-case letters, digits, '-' and '.', "
            "beginning and ending with a letter or digit"
        )
    return None
