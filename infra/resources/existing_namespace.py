"""ExistingNamespace: a namespace that is somebody else's, and holds the stack's objects (`create_namespace: false`).

It is looked at, and never made, labelled, changed or deleted.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pulumi import Input, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.kubernetes.client import ClusterError, ClusterUnavailableError, KubernetesClient
from infra.kubernetes.labels import OWNER
from infra.resources.base import Props, Provider
from infra.resources.connections import Connections

if TYPE_CHECKING:
    from infra.settings.stack import StackSettings

ENFORCED = "pod-security.kubernetes.io/enforce"
RESTRICTED, BASELINE, PRIVILEGED = _STANDARDS = ("restricted", "baseline", "privileged")
"""Pod security standards, each of which allows what the one before it does, and more."""


def standard_for(settings: "StackSettings") -> str:
    """The strictest pod security standard that the stack's pods meet."""
    if any(gateway.target == "kubernetes" for gateway in settings.gateways):
        return PRIVILEGED  # NET_ADMIN, and the hostPath of /dev/net/tun
    return BASELINE if settings.headscale and settings.headscale.managed else RESTRICTED


def unfit(cluster: KubernetesClient, namespace: str, standard: str) -> str:
    """Why pods of this standard cannot be in the namespace; empty when they can, or when we may not look."""
    labels = _labels(cluster, namespace)
    if labels is None:
        return (
            f"Namespace {namespace} does not exist; make it (`kubectl create namespace {namespace}`), or leave "
            "`create_namespace` out, so that the stack makes it."
        )
    if OWNER in labels:
        return (
            f"Namespace {namespace} was made by a stack and goes with it, as its label {OWNER} says; if it is this "
            "stack, leave `create_namespace` out; if not, set `namespace` to another one."
        )
    enforced = labels.get(ENFORCED, PRIVILEGED)  # the API server's own default, unless it is told another one
    if enforced not in _STANDARDS[_STANDARDS.index(standard) :]:
        return (
            f"Namespace {namespace} does not let the stack's pods in: its label {ENFORCED} is {enforced}, and they "
            f"need {standard}; `kubectl label --overwrite namespace {namespace} {ENFORCED}={standard}` allows them, or "
            "set `namespace` to another one."
        )
    return ""


def _labels(cluster: KubernetesClient, namespace: str) -> dict[str, str] | None:
    """None when it is not there. Who may work in a namespace need not have the right to look at it: then none."""
    try:
        return cluster.labels(f"/api/v1/namespaces/{namespace}")
    except ClusterUnavailableError:
        raise
    except ClusterError:
        return {}


class ExistingNamespaceProvider(Provider):
    """Refuses a namespace that is not there, or that does not let the stack's pods in."""

    INPUTS = ("namespace", "standard")
    REPLACING = ("namespace",)

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """Told before anything is made in it."""
        if all(olds.get(name) == news[name] for name in self.INPUTS):
            return
        if why := unfit(connections.cluster, news["namespace"], news["standard"]):
            yield "", why

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Nothing: it is there."""
        return props["namespace"], {}

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """Whether it is still there."""
        return None if _labels(connections.cluster, props["namespace"]) is None else dict(props)

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Nothing: other pods are let in, too."""
        return {}


class ExistingNamespace(Resource, module="meshgate", name="ExistingNamespace"):
    """Namespace `namespace`, for pods that meet the pod security standard `standard`."""

    def __init__(
        self, name: str, *, namespace: Input[str], standard: Input[str], opts: ResourceOptions | None = None
    ) -> None:
        super().__init__(ExistingNamespaceProvider(), name, {"namespace": namespace, "standard": standard}, opts)
