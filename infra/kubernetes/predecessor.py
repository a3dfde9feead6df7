"""A Deployment begins only when the one of its name that is being deleted has ended.

The Kubernetes plugin does not wait for the end of what it does not await. It would write to the object that is on its
way out, which takes the new Deployment with it, and two pods would meet on one volume.
"""

from collections.abc import Mapping
from typing import Any

import pulumi

from gateway.headscale.polling import poll
from infra.hook_threads import in_thread
from infra.kubernetes.client import KubernetesClient

END_SECONDS = 120


class PredecessorError(Exception):
    """The old Deployment does not end: one sentence for the user."""


def ended(context: str | None) -> pulumi.ResourceHookBinding:
    """Hooks for a Deployment: its creation waits until its predecessor is gone with its pods."""

    def wait(metadata: Mapping[str, Any]) -> None:
        with KubernetesClient(context) as cluster:
            wait_for_end(cluster, metadata["namespace"], metadata["name"])

    async def look(args: pulumi.ResourceHookArgs) -> None:
        if args.new_inputs:
            await in_thread(wait, args.new_inputs["metadata"])

    return pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook("predecessor", look)])


def wait_for_end(cluster: KubernetesClient, namespace: str, name: str) -> None:
    """Return once no Deployment of that name is being deleted. Raises PredecessorError after END_SECONDS."""

    def look() -> bool | None:
        found = cluster.deployment(namespace, name)
        return None if found and "deletionTimestamp" in found["metadata"] else True

    if not poll(look, END_SECONDS):
        raise PredecessorError(
            f"The old Deployment {namespace}/{name} is being deleted and has not ended after {END_SECONDS} s: see "
            f"`kubectl -n {namespace} get pods`, and run `pulumi up` again."
        )
