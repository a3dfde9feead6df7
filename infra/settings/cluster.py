"""The section `cluster`."""

import ipaddress

from infra.settings.section import Section
from infra.settings.value_types import Network


class ClusterSettings(Section):
    """The Kubernetes cluster and what it uses itself: no client network overlaps that, and no client reaches it."""

    context: str | None = None
    """Context of the kubeconfig; the current one when not set."""
    pod_networks: tuple[Network, ...] = (ipaddress.IPv4Network("10.244.0.0/16"),)
    """Where the cluster's pods get their addresses."""
    service_networks: tuple[Network, ...] = (ipaddress.IPv4Network("10.96.0.0/12"),)
    """Where the cluster's Services get their addresses."""
    node_networks: tuple[Network, ...] = ()
    """Where the cluster's nodes have addresses outside of private networks, such as 203.0.113.0/28. Kubernetes tells a
    pod only the address by which it knows the pod's own node. Close a node's address in the mesh by
    `gateways[].block_networks`."""
