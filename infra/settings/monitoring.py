"""The section `gateways[].monitoring`."""

from typing import Annotated

from pydantic import Field

from infra.settings.kubernetes_names import ExtraLabels
from infra.settings.section import Section
from infra.settings.value_types import ObjectName


class MonitoringSettings(Section):
    """How the Prometheus operator of the cluster finds a pod's metrics: by a PodMonitor, made where this is given."""

    namespace: ObjectName
    """The namespace that Prometheus runs in, which the gateway's NetworkPolicy lets in."""
    labels: ExtraLabels = Field(default_factory=dict)
    """Labels of the objects, by which Prometheus selects them, such as `release: kube-prometheus-stack`."""
    interval: Annotated[str, Field(pattern=r"^[1-9][0-9]*(s|m)$")] = "30s"
    """Between two scrapes."""
    alerts: bool = False
    """Make a PrometheusRule of the alerts, too."""
