"""Refuses to make somebody else's object ours.

The Kubernetes provider adopts what exists already, so that the next run finishes a killed one. But `pulumi destroy`
deletes whatever was adopted. So what may be somebody else's is looked at before it is made, in preview too: the
namespace, the Secret in a namespace of others, and each object in a namespace that the stack does not own. One with the
id of the stack's state is ours, from an earlier run; of another the user decides. A name says nothing: two states may
have the same one, such as a lost one and its successor.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from infra.hook_threads import in_thread
from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.labels import INSTANCE, OURS, OWNER, PART_OF

Object = Mapping[str, Any]
"""What tells an object from every other, as manifests have it: apiVersion, kind, metadata."""


class ForeignObjectError(Exception):
    """An object of that name exists and is not this stack's: one sentence for the user."""


class Ownership:
    """Hooks for objects that may be somebody else's: their creation fails then, with one sentence.

    `namespace` is the stack's, `recover` the id of a lost state whose objects are to be taken over. A cluster that
    cannot be reached fails the creation as well, in preview already, before anything is made elsewhere.
    """

    def __init__(self, context: str | None, namespace: str, recover: str | None) -> None:
        self._cluster = KubernetesClient(context)  # one connection for all looks, as long as the program runs
        self._namespace = namespace
        self._recover = recover
        self._stack = pulumi.get_stack()
        self.hooks = self.hooks_for("ownership", lambda inputs: inputs)
        """For an object of Kubernetes."""

    def hooks_for(self, name: str, made: Callable[[Mapping[str, Any]], Object]) -> pulumi.ResourceHookBinding:
        """For a resource that makes an object by itself, which `made` tells of the resource's inputs."""

        async def look(args: pulumi.ResourceHookArgs) -> None:
            if args.new_inputs:
                await in_thread(self._refuse, made(args.new_inputs))

        hook = pulumi.ResourceHook(name, look, pulumi.ResourceHookOptions(on_dry_run=True))
        return pulumi.ResourceHookBinding(before_create=[hook])

    def _refuse(self, wanted: Object) -> None:
        # Before the first `up` the stack's own id is not known, and nothing can have it.
        ids = {wanted["metadata"]["labels"].get(OWNER), self._recover}
        refuse_foreign(self._cluster, wanted, self._stack, ids, self._namespace)


def refuse_foreign(
    cluster: KubernetesClient, wanted: Object, stack: str, ids: set[str | None] | None, namespace: str | None = None
) -> None:
    """Raise ForeignObjectError when this object exists and is not the stack's, nor handed over.

    `ids` are those of its states; with None any state of the stack will do. `namespace` is the stack's.
    """
    found = cluster.labels(path(wanted))
    if found is None or found.get(OWNER, "") in {*filter(None, ids or ()), stack}:
        return
    name, where = wanted["metadata"]["name"], wanted["metadata"].get("namespace")
    what = f"{wanted['kind']} {'/'.join(filter(None, (where, name)))}"
    a_stacks = OWNER in found and found.get(PART_OF) == OURS[PART_OF]
    if a_stacks and where is not None and where == namespace:  # here the instance is a gateway
        raise ForeignObjectError(
            f"{what} is of another stack, or of another state of this one: set `namespace` to another one, or, if that "
            f"state is lost, take all of it over with its keys: `pulumi config set recover {found[OWNER]}`."
        )
    if a_stacks and found.get(INSTANCE) == stack:
        if ids is None:
            return
        raise ForeignObjectError(
            f"{what} is of another state of the stack {stack}: log in where that state lies, or, if it is lost, take "
            f"all of it over with its keys: `pulumi config set recover {found[OWNER]}`."
        )
    who = " ".join([*(["-n", where] if where else []), wanted["kind"].lower(), name])
    raise ForeignObjectError(
        f"{what} exists and is not this stack's, whose `pulumi destroy` would delete it; {_else(where, namespace)}, or "
        f"hand it over: `kubectl label --overwrite {who} {OWNER}={stack}`."
    )


def path(wanted: Object) -> str:
    """An object's path in the API."""
    group, kind, metadata = wanted["apiVersion"], wanted["kind"], wanted["metadata"]
    place = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"/{'apis' if '/' in group else 'api'}/{group}/{place}{_plural(kind.lower())}/{metadata['name']}"


def _plural(kind: str) -> str:
    """As the API names what it has of a kind: https://kubernetes.io/docs/reference/using-api/api-concepts/."""
    if kind.endswith("y"):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def _else(where: str | None, namespace: str | None) -> str:
    """What can be done but handing it over."""
    if where is None:
        return "use it as it is (`create_namespace: false`), set `namespace` to another name"
    return "set `namespace` to another one, remove it" if where == namespace else "remove it"
