"""Services: they lead somewhere.

The official plugin waits ten seconds more for the set of pods to settle; here the first ready endpoint
is enough.
"""

from lab.kubernetes_plugin.await_.readiness import READY, Readiness
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.object_client import Object, ObjectClient

_ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice")
_SERVICE_LABEL = "kubernetes.io/service-name"


def service(client: ObjectClient, live: Object) -> Readiness:
    """Ready with a ready pod behind the selector, and with an address if it is a load balancer."""
    spec = live["spec"]
    if spec.get("type") == "ExternalName":
        return READY
    if spec.get("selector") and not _has_ready_endpoint(client, live):
        return Readiness(
            ready=False,
            waiting_for="[1/3] Finding Pods to direct traffic to",
            reasons=(
                "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' "
                "may not match labels on any Pods",
            ),
        )
    if spec.get("type") == "LoadBalancer" and not live.get("status", {}).get("loadBalancer", {}).get("ingress"):
        return Readiness(
            ready=False,
            waiting_for="[2/3] Attempting to allocate IP address to Service",
            reasons=("Service was not allocated an IP address; does your cloud provider support this?",),
        )
    return READY


def services_with_endpoints(client: ObjectClient, namespace: str) -> set[str]:
    """Return the names of the Services for which a controller has made endpoints, ready or not."""
    slices = client.items(_ENDPOINT_SLICE, namespace, _SERVICE_LABEL)
    return {entry["metadata"]["labels"][_SERVICE_LABEL] for entry in slices}


def _has_ready_endpoint(client: ObjectClient, live: Object) -> bool:
    metadata = live["metadata"]
    slices = client.items(_ENDPOINT_SLICE, metadata["namespace"], f"{_SERVICE_LABEL}={metadata['name']}")
    return any(
        endpoint.get("conditions", {}).get("ready") is not False
        for entry in slices
        for endpoint in entry.get("endpoints") or ()
    )
