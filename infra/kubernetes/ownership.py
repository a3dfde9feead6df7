"""Refuses to make somebody else's object ours.

The Kubernetes provider adopts what exists already, so that the next run finishes a killed one. But `pulumi destroy`
deletes whatever was adopted. So two objects are looked at before they are made, in preview too: the namespace, and the
Secret in a namespace of others. One with the stack's labels is ours, from an earlier run; of another the user decides.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import pulumi

from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.labels import INSTANCE, PART_OF

_ELSE = {"Namespace": "set `namespace` to another name", "Secret": "remove it"}


class ForeignObjectError(Exception):
    """An object of that name exists and is not this stack's: one sentence for the user."""


def refusing_hooks(context: str | None) -> pulumi.ResourceHookBinding:
    """Hooks for a Namespace or Secret: its creation fails with one sentence when it is somebody else's.

    A cluster that cannot be reached fails it as well, in preview already, before anything is made elsewhere.
    """

    def refuse(inputs: Mapping[str, Any]) -> None:
        with KubernetesClient(context) as cluster:
            refuse_foreign(cluster, inputs["kind"], inputs["metadata"])

    async def look(args: pulumi.ResourceHookArgs) -> None:
        if args.new_inputs:
            await asyncio.to_thread(refuse, args.new_inputs)

    hook = pulumi.ResourceHook("ownership", look, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook])


def refuse_foreign(cluster: KubernetesClient, kind: str, metadata: Mapping[str, Any]) -> None:
    """Raise ForeignObjectError when an object of this kind and name exists without the labels of `metadata`."""
    name, namespace = metadata["name"], metadata.get("namespace")
    path = f"/api/v1/namespaces/{name}" if kind == "Namespace" else f"/api/v1/namespaces/{namespace}/secrets/{name}"
    found = cluster.labels(path)
    ours = {label: metadata["labels"][label] for label in (PART_OF, INSTANCE)}
    if found is None or ours.items() <= found.items():
        return
    who = f"{kind.lower()} {name}" if namespace is None else f"-n {namespace} {kind.lower()} {name}"
    labels = " ".join(f"{label}={value}" for label, value in ours.items())
    raise ForeignObjectError(
        f"{kind} {'/'.join(filter(None, (namespace, name)))} exists and is not this stack's, whose `pulumi destroy` "
        f"would delete it; {_ELSE[kind]}, or hand it over: `kubectl label --overwrite {who} {labels}`."
    )
