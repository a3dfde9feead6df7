"""A pod's gateway for the Prometheus operator: a PodMonitor, alerts as a PrometheusRule, and the way in for Prometheus.

A PodMonitor, not a ServiceMonitor: it needs no Service, and there is one pod. It gives targets the labels for which the
rules of infra/monitoring/alerts.yaml hold.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi_kubernetes.apiextensions import CustomResource

from infra import gateway_programs
from infra.components.stack_cluster import NamespacedComponent, StackCluster
from infra.kubernetes.custom_kinds import MONITORING, refusing_unknown
from infra.settings.gateway import GatewaySettings
from infra.settings.monitoring import MonitoringSettings

ALERTS = Path(__file__).parents[1] / "monitoring" / "alerts.yaml"
JOB = "meshgate"
"""The job of all gateways' targets, in and outside of a cluster."""


class GatewayMonitoring(NamespacedComponent):
    """A gateway's objects of monitoring.coreos.com, named meshgate-<gateway>."""

    def __init__(
        self,
        cluster: StackCluster,
        gateway: GatewaySettings,
        monitoring: MonitoringSettings,
        selector: dict[str, str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("meshgate:components:GatewayMonitoring", cluster, "gateway", gateway.name, gateway.pod, opts)
        self._monitoring = monitoring
        self._known = refusing_unknown(cluster.context, MONITORING, f"gateway {gateway.name}: `monitoring`")
        self._declare(
            "PodMonitor",
            f"{gateway.name}-monitor",
            f"meshgate-{gateway.name}",
            {
                "selector": {"matchLabels": selector},
                "podMetricsEndpoints": [
                    {
                        "port": gateway_programs.PROBE_PORT_NAME,
                        "path": "/metrics",
                        "interval": monitoring.interval,
                        "relabelings": [
                            {"targetLabel": "job", "replacement": JOB},
                            {"targetLabel": "gateway", "replacement": gateway.name},
                        ],
                    }
                ],
            },
        )
        if monitoring.alerts:
            groups = cluster.namespace.apply(lambda namespace: alerts(gateway.name, namespace))
            self._declare("PrometheusRule", f"{gateway.name}-alerts", f"meshgate-{gateway.name}", {"groups": groups})
        self.register_outputs({})

    def _declare(self, kind: str, resource: str, name: str, spec: dict[str, Any]) -> None:
        CustomResource(
            resource,
            api_version=MONITORING,
            kind=kind,
            metadata=self.metadata(name, labels=self._monitoring.labels),
            spec=spec,
            opts=pulumi.ResourceOptions.merge(self.opts(), pulumi.ResourceOptions(hooks=self._known)),
        )


def alerts(gateway: str, namespace: str) -> Sequence[dict[str, Any]]:
    """The groups of rules, for this one gateway: other stacks of the cluster have rules of their own."""
    groups: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
    own = f'job="{JOB}", namespace="{namespace}", gateway="{gateway}"'
    for group in groups:
        for rule in group["rules"]:
            rule["expr"] = rule["expr"].replace(f'job="{JOB}"', own)
    return groups


def way_in(monitoring: MonitoringSettings) -> dict[str, object]:
    """The rule of a NetworkPolicy that lets Prometheus in."""
    namespace = {"match_labels": {"kubernetes.io/metadata.name": monitoring.namespace}}
    return {
        "from": [{"namespace_selector": namespace}],
        "ports": [{"port": gateway_programs.PROBE_PORT, "protocol": "TCP"}],
    }
