"""Kinds that not every cluster knows: where one is unknown, the preview refuses its objects with a sentence."""

import pulumi

from infra.hook_threads import in_thread
from infra.kubernetes.client import KubernetesClient

MONITORING = "monitoring.coreos.com/v1"
"""PodMonitor and PrometheusRule of the Prometheus operator."""


class UnknownKindError(Exception):
    """The cluster does not serve an API: one sentence for the user."""


def refusing_unknown(context: str | None, api_version: str, setting: str) -> pulumi.ResourceHookBinding:
    """Hooks for an object of this API: its creation fails where the cluster does not serve it, in preview already."""

    def look() -> None:
        with KubernetesClient(context) as cluster:
            refuse_unknown(cluster, api_version, setting)

    async def refuse(_: pulumi.ResourceHookArgs) -> None:
        await in_thread(look)

    name = f"{setting} needs {api_version}"
    hook = pulumi.ResourceHook(name, refuse, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook])


def refuse_unknown(cluster: KubernetesClient, api_version: str, setting: str) -> None:
    """Raise UnknownKindError when the cluster does not serve this group and version."""
    if cluster.get(f"/apis/{api_version}") is None:
        raise UnknownKindError(
            f"{setting} needs {api_version}, which the cluster does not serve: install the Prometheus operator, or "
            "leave the setting out and scrape /metrics by other means."
        )
