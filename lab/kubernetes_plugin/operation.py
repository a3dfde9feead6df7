"""One call of the engine about one object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes_plugin.await_.wait import Waiter
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.object_client import ObjectClient
from lab.kubernetes_plugin.provider_settings import ProviderSettings


@dataclass(frozen=True)
class Operation:
    """One call of the engine: which resource, on which cluster, how to wait and whom to warn."""

    urn: str
    kind: Kind
    client: ObjectClient
    settings: ProviderSettings
    waiter: Waiter
    warn: Callable[[str], None]


def object_id(live: Mapping[str, Any]) -> str:
    """Return a resource's id: "namespace/name", or "name" for what lives in no namespace."""
    metadata = live["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def split_id(resource_id: str) -> tuple[str | None, str]:
    """Return (namespace, name) of an id."""
    namespace, slash, name = resource_id.rpartition("/")
    return (namespace if slash else None), name
