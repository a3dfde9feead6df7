"""The section `cluster`."""

import ipaddress

from infra.settings.section import Section
from infra.settings.value_types import Network


class ClusterSettings(Section):
    """The Kubernetes cluster, and what it uses itself: client networks keep clear of that."""

    context: str | None = None
    """Context of the kubeconfig; the current one when not set."""
    pod_networks: tuple[Network, ...] = (ipaddress.IPv4Network("10.244.0.0/16"),)
    """Where the cluster's pods get their addresses."""
    service_networks: tuple[Network, ...] = (ipaddress.IPv4Network("10.96.0.0/12"),)
    """Where the cluster's Services get their addresses."""
