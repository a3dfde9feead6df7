"""Environment variables of a Deployment's container: as a value, or as the name of a Secret and a key in it."""

from collections.abc import Mapping
from typing import Any


def variables(deployment: dict[str, Any], container: str) -> dict[str, Any]:
    """What a container has, as `entry` takes it; variables of other sources as the API has them."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    entries = next(one.get("env", []) for one in containers if one["name"] == container)
    return {entry["name"]: _value(entry) for entry in entries}


def _value(entry: dict[str, Any]) -> object:
    source = entry.get("valueFrom")
    if source is None:
        return entry.get("value", "")
    if set(source) == {"secretKeyRef"}:
        return {"secret": source["secretKeyRef"]["name"], "key": source["secretKeyRef"]["key"]}
    return source


def entry(name: str, value: str | Mapping[str, str]) -> dict[str, Any]:
    """A variable in the form of the API (core/v1 EnvVar)."""
    if isinstance(value, str):
        return {"name": name, "value": value}
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": value["secret"], "key": value["key"]}}}


def set_by(deployment: dict[str, Any], container: str, manager: str) -> set[str]:
    """The names that a field manager has applied, by the API server's own record."""
    names: set[str] = set()
    for managed in deployment["metadata"].get("managedFields", []):
        if managed["manager"] == manager and managed["operation"] == "Apply":
            path = ("f:spec", "f:template", "f:spec", "f:containers", f'k:{{"name":"{container}"}}', "f:env")
            fields: dict[str, Any] = managed["fieldsV1"]
            for step in path:
                fields = fields.get(step, {})
            names |= {key.removeprefix('k:{"name":"').removesuffix('"}') for key in fields if key.startswith("k:")}
    return names
