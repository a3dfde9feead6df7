"""Ingresses: a controller has taken them, and their paths lead somewhere.

Some controllers on bare metal publish no address, so that an Ingress never becomes ready. The program of such a
cluster asks not to wait, by the annotation skipAwait.
"""

from collections.abc import Iterator
from typing import Any

from lab.kubernetes_plugin.await_.readiness import READY, Readiness
from lab.kubernetes_plugin.await_.service import services_with_endpoints
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.object_client import Object, ObjectClient

_SERVICE = Kind("", "v1", "Service")
_NO_ENDPOINT = "Ingress has at least one rule with an unavailable target endpoint."
_NO_ADDRESS = (
    "Ingress .status.loadBalancer field was not updated with a hostname/IP address. "
    "\n    for more information about this error, see https://pulumi.io/xdv72s"
)
_SETTLED_SECONDS, _NEVER_SEEN_SECONDS = 10.0, 60.0
"""How long a path may lack endpoints: in a namespace with endpoints, and in one without any."""


def ingress(client: ObjectClient, live: Object) -> Readiness:
    """Ready with an address from the controller and endpoints behind each path; endpoints may be missing in the end."""
    namespace = live["metadata"]["namespace"]
    known = services_with_endpoints(client, namespace)
    leads_nowhere = any(
        name not in known and not _is_external(client, namespace, name) for name in _services(live["spec"])
    )
    addressed = bool(live.get("status", {}).get("loadBalancer", {}).get("ingress"))
    if addressed and not leads_nowhere:
        return READY
    searching = "[1/3] Finding a matching service for each Ingress path"
    unaddressed = "[2/3] Waiting for update of .status.loadBalancer with hostname/IP"
    return Readiness(
        ready=False,
        waiting_for=searching if leads_nowhere else unaddressed,
        reasons=(*([_NO_ENDPOINT] if leads_nowhere else []), *([] if addressed else [_NO_ADDRESS])),
        tolerated_after=(_SETTLED_SECONDS if known else _NEVER_SEEN_SECONDS) if addressed else None,
    )


def _services(spec: dict[str, Any]) -> Iterator[str]:
    """Name the Service behind each path; the official plugin looks at no other backends."""
    for rule in spec.get("rules") or ():
        for path in rule.get("http", {}).get("paths") or ():
            if name := path["backend"].get("service", {}).get("name"):
                yield name


def _is_external(client: ObjectClient, namespace: str, name: str) -> bool:
    found = client.get(_SERVICE, namespace, name)
    return bool(found and found["spec"].get("type") == "ExternalName")
