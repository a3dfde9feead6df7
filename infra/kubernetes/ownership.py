"""Refuses to make somebody else's object ours.

The Kubernetes provider adopts what exists already, so that the next run finishes a killed one. But `pulumi destroy`
deletes whatever was adopted. So two objects are looked at before they are made, in preview too: the namespace, and the
Secret in a namespace of others. One with the id of the stack's state is ours, from an earlier run; of another the user
decides. A name says nothing: two states may have the same one, such as a lost one and its successor.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import pulumi

from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.labels import INSTANCE, OWNER, PART_OF

_ELSE = {"Namespace": "set `namespace` to another name", "Secret": "remove it"}


class ForeignObjectError(Exception):
    """An object of that name exists and is not this stack's: one sentence for the user."""


def refusing_hooks(context: str | None, recover: str | None) -> pulumi.ResourceHookBinding:
    """Hooks for a Namespace or Secret: its creation fails with one sentence when it is somebody else's.

    `recover` is the id of a lost state whose objects are to be taken over. A cluster that cannot be reached fails the
    creation as well, in preview already, before anything is made elsewhere.
    """
    stack = pulumi.get_stack()

    def refuse(inputs: Mapping[str, Any]) -> None:
        metadata = inputs["metadata"]
        with KubernetesClient(context) as cluster:
            # Before the first `up` the stack's own id is not known, and nothing can have it.
            refuse_foreign(cluster, inputs["kind"], metadata, stack, {metadata["labels"].get(OWNER), recover})

    async def look(args: pulumi.ResourceHookArgs) -> None:
        if args.new_inputs:
            await asyncio.to_thread(refuse, args.new_inputs)

    hook = pulumi.ResourceHook("ownership", look, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook])


def refuse_foreign(
    cluster: KubernetesClient, kind: str, metadata: Mapping[str, Any], stack: str, ids: set[str | None] | None
) -> None:
    """Raise ForeignObjectError when an object of this kind and name exists and is not the stack's, nor handed over.

    `ids` are those of its states; with None any state of the stack will do.
    """
    name, namespace = metadata["name"], metadata.get("namespace")
    path = f"/api/v1/namespaces/{name}" if kind == "Namespace" else f"/api/v1/namespaces/{namespace}/secrets/{name}"
    found = cluster.labels(path)
    if found is None or found.get(OWNER, "") in {*filter(None, ids or ()), stack}:
        return
    same_name = OWNER in found and (found.get(PART_OF), found.get(INSTANCE)) == ("meshgate", stack)
    if same_name and ids is None:
        return
    what = f"{kind} {'/'.join(filter(None, (namespace, name)))}"
    if same_name:
        raise ForeignObjectError(
            f"{what} is of another state of the stack {stack}: log in where that state lies, or, if it is lost, take "
            f"all of it over with its keys: `pulumi config set recover {found[OWNER]}`."
        )
    who = f"{kind.lower()} {name}" if namespace is None else f"-n {namespace} {kind.lower()} {name}"
    raise ForeignObjectError(
        f"{what} exists and is not this stack's, whose `pulumi destroy` would delete it; {_ELSE[kind]}, or hand it "
        f"over: `kubectl label --overwrite {who} {OWNER}={stack}`."
    )
