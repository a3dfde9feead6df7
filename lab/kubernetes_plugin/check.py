"""Check: turn a resource's declared inputs into those that are kept in the state.

Fills in what the program left out (name, namespace), brings Secrets into one form (`data`, base64, kept
secret) and refuses wrong structure (see `structure`).
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes_plugin.kinds import Kind, is_secret
from lab.kubernetes_plugin.names import AUTONAMED, Autonaming, is_autonamed, unique_name
from lab.kubernetes_plugin.properties import UNKNOWN, Properties, Secret, Value, reveal
from lab.kubernetes_plugin.structure import Failure, structure_failures


@dataclass(frozen=True)
class PluginResource:
    """Which resource is checked: its `name` in the program, `kind`, and the engine's `seed` for naming."""

    name: str
    kind: Kind
    seed: bytes = b""
    autonaming: Autonaming | None = None


def check(
    resource: PluginResource,
    news: Mapping[str, Any],
    olds: Mapping[str, Any],
    *,
    namespaced: Callable[[Kind], bool],
    default_namespace: Callable[[], str],
) -> tuple[Properties, list[Failure]]:
    """Return the inputs to keep, and what is wrong with them.

    `olds` are the inputs kept so far (empty for a new resource or a replacement). The two callables
    are asked only if the program names no namespace.
    """
    structure = structure_failures(resource.kind, reveal(dict(news)))
    if structure:
        return dict(news), structure
    inputs = _with_one_secret_form(news) if is_secret(resource.kind) else dict(news)
    given = inputs.get("metadata", {})
    metadata = dict(given.value if isinstance(given, Secret) else given)
    failures = _assign_name(resource, metadata, reveal(dict(olds)))
    if "namespace" not in metadata and namespaced(resource.kind):
        metadata["namespace"] = default_namespace()
    inputs["metadata"] = Secret(metadata) if isinstance(given, Secret) else metadata
    return inputs, failures


def _assign_name(resource: PluginResource, metadata: Properties, olds: Mapping[str, Any]) -> list[Failure]:
    """Give the object a name where the program gives none: its old one, the engine's, a new one."""
    if "name" in metadata or "generateName" in metadata:
        return []
    autonaming = resource.autonaming or Autonaming()
    if is_autonamed(olds):
        name = olds["metadata"]["name"]
    elif autonaming.disabled:
        return [Failure("metadata.name", "A name is needed: automatic naming is disabled for this project.")]
    else:
        name = autonaming.proposed or unique_name(resource.name, resource.seed)
    metadata["name"] = name
    given = metadata.get("annotations", {})
    if isinstance(given, Secret):
        metadata["annotations"] = Secret(given.value | {AUTONAMED: "true"})
    elif given is not UNKNOWN:
        metadata["annotations"] = given | {AUTONAMED: "true"}
    return []


def _with_one_secret_form(inputs: Mapping[str, Any]) -> Properties:
    """Return a Secret's inputs with `stringData` moved into `data`, which is always secret."""
    normal = dict(inputs)
    clear = reveal(normal.pop("stringData", {}))
    data = reveal(normal.get("data", {}))
    if UNKNOWN in (clear, data):
        normal["data"] = Secret(UNKNOWN)
    elif clear or "data" in normal:
        normal["data"] = Secret(data | {key: _encoded(value) for key, value in clear.items()})
    return normal


def _encoded(value: Value) -> Value:
    return value if value is UNKNOWN else base64.b64encode(value.encode()).decode()
