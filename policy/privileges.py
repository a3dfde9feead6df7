"""Nothing privileged: a pod has no capability but NET_ADMIN and a low port, and of its node only /dev/net/tun."""

from collections.abc import Iterator, Mapping
from typing import Any

from policy.declared import DeclaredResource, DeclaredStack, at, containers, each, pod

ALLOWED_CAPABILITY = "NET_ADMIN"
LOW_PORTS = "NET_BIND_SERVICE"
"""Kubernetes' own "restricted" standard allows it. IPsec's port is 500."""
ALLOWED_HOST_PATH = "/dev/net/tun"


def privileges(resource: DeclaredResource, _: DeclaredStack) -> Iterator[str]:
    """What a pod would be allowed beyond NET_ADMIN and /dev/net/tun."""
    spec = pod(resource)
    for namespace in ("hostNetwork", "hostPID", "hostIPC"):
        if at(spec, namespace):
            yield f"{namespace} puts the pod into the node's own namespace; leave it out."
    for volume in each(spec, "volumes"):
        path = at(volume, "hostPath", "path")
        if path not in {None, ALLOWED_HOST_PATH}:
            yield f"volume {volume['name']} is {path} of the node; only {ALLOWED_HOST_PATH} may be."
    if at(spec, "securityContext", "seccompProfile", "type") == "Unconfined":
        yield "its seccomp profile is Unconfined; use RuntimeDefault."
    for container in containers(resource):
        for what in _of_container(container):
            yield f"container {container['name']} {what}"


def _of_container(container: Mapping[str, Any]) -> Iterator[str]:
    context = at(container, "securityContext")
    if at(context, "privileged"):
        yield f"is privileged; give it the capability {ALLOWED_CAPABILITY} instead."
    if at(context, "allowPrivilegeEscalation") is not False:
        yield "may escalate its privileges; set allowPrivilegeEscalation to false."
    if more := sorted({*each(context, "capabilities", "add")} - {ALLOWED_CAPABILITY, LOW_PORTS}):
        yield f"adds the capabilities {', '.join(more)}; only {ALLOWED_CAPABILITY} and {LOW_PORTS} may be added."
    if "ALL" not in each(context, "capabilities", "drop"):
        yield "keeps the runtime's own capabilities; drop ALL."
    if at(context, "seccompProfile", "type") == "Unconfined":
        yield "has the seccomp profile Unconfined; use RuntimeDefault."
