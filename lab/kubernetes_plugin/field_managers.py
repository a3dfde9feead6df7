"""Who owns which field: `metadata.managedFields` of server-side apply.

An object is created by a plain POST, whose fields belong to "pulumi-kubernetes" (operation Update).
Before the first apply those fields go over to the resource's own manager: otherwise a field that the
program gives up would stay, still owned by the create. Fields edited with kubectl go over too, so that
`pulumi up` repairs a drift instead of reporting a conflict with the hand that made it.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

_PREFIX = "pulumi-kubernetes-"
_TAKEN_OVER = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    ("pulumi-kubernetes", "Update"),
    ("pulumi-resource-kubernetes", "Update"),
)
"""Managers, by the start of their name and their operation, whose fields an update takes over."""

Entry = Mapping[str, Any]


def new_manager() -> str:
    """Return a field manager's name for a new resource; it is kept in the resource's state."""
    return f"{_PREFIX}{secrets.token_hex(4)}"


def take_over(entries: Sequence[Entry], manager: str) -> list[dict[str, Any]] | None:
    """Return managedFields in which `manager` owns what the create and kubectl owned; None: nothing to do."""
    taken = [entry for entry in entries if _is_taken_over(entry)]
    if not taken:
        return None
    own = [entry for entry in entries if entry["manager"] == manager and entry["operation"] == "Apply"]
    kept = [dict(entry) for entry in entries if entry not in taken and entry not in own]
    fields: dict[str, Any] = {}
    for entry in (*own, *taken):
        fields = _union(fields, entry.get("fieldsV1", {}))
    return [*kept, dict((own or taken)[0]) | {"manager": manager, "operation": "Apply", "fieldsV1": fields}]


def created_by_pulumi(entries: Sequence[Entry]) -> bool:
    """Whether fields still belong to a create or a client-side apply of the plugin."""
    return any(_is_taken_over(entry) and entry["manager"].startswith("pulumi-") for entry in entries)


def _is_taken_over(entry: Entry) -> bool:
    return not entry.get("subresource") and any(
        entry["manager"].startswith(name) and entry["operation"] == operation for name, operation in _TAKEN_OVER
    )


def _union(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(left)
    for key, members in right.items():
        merged[key] = _union(merged.get(key, {}), members)
    return merged
