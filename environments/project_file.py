"""Writes `config` of Pulumi.yaml: what the engine is told of the top-level settings, as infra/settings has them."""

from typing import Any

import yaml

from environments.descriptions import descriptions
from infra.settings.section import Section, place_of, within
from infra.settings.stack import StackSettings

UNDECLARED = {
    "headscale_api_key": "a declared secret could not be optional",
    "headscale_ingress_key": "a declared secret could not be optional",
    "protect": "it has no default; a stack says itself what it may lose (docs/policies.md)",
    "recover": "it has no default; no stack has it but one whose state was lost (docs/operations.md)",
}
"""Settings that the engine is not told of, and why."""

_HEAD = "config:\n"
_WIDTH = 118


def written(text: str) -> str:
    """The text of Pulumi.yaml with its `config` made anew; what stands before that is kept."""
    kept, _, _ = text.partition(_HEAD)
    notes = [f"  # Not here: {name}, since {why}.\n" for name, why in UNDECLARED.items()]
    declared = {name: _declared(name) for name in StackSettings.model_fields if name not in UNDECLARED}
    content = yaml.safe_dump({"config": declared}, sort_keys=False, width=_WIDTH, allow_unicode=True)
    note = "  # Made by `make reference` from infra/settings.\n"
    return "".join([kept, _HEAD, note, *notes, content.removeprefix(_HEAD)])


def _declared(name: str) -> dict[str, Any]:
    field, section = StackSettings.model_fields[name], within(StackSettings, name)
    is_list = place_of(StackSettings, name, "").endswith("[]")
    kind = "object" if section else "boolean" if field.annotation is bool else "string"
    described = f"{_line(section.__doc__)} Its settings: {_names(section)} (docs/reference.md)." if section else None
    return {
        **({"type": "array", "items": {"type": kind}} if is_list else {"type": kind}),
        "description": described or _line(descriptions(StackSettings).get(name)),
        "default": [] if is_list else {} if section else field.default,
    }


def _names(section: type[Section], told: set[type[Section]] | None = None) -> str:
    """The names in it. Those of a section that stands in several places are told once, or at the top if it is there."""
    if told is None:
        told = {one for each in StackSettings.model_fields if (one := within(StackSettings, each))}
    parts = []
    for name in section.model_fields:
        inner = within(section, name)
        new = inner is not None and inner not in told
        told |= {inner} if inner else set()
        parts.append(f"{name} {{{_names(inner, told)}}}" if inner and new else name)
    return ", ".join(parts)


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
