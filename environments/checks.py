"""Holds answers against what is there: the cluster, Headscale, the orchestrator. It changes nothing."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml
from kubernetes import config

from environments.answers import AnswerError, Values, whole
from gateway.headscale.client import Headscale
from gateway.headscale.errors import HeadscaleError, UnauthorizedError
from infra.kubernetes import ownership
from infra.kubernetes.client import ClusterError, ClusterUnavailableError, KubernetesClient
from infra.kubernetes.labels import OWNER
from infra.resources import existing_namespace
from infra.resources.connections import Connections, settings_by
from infra.resources.workload_env import WorkloadEnvProvider
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings
from infra.settings.value_types import NODE_PORTS

Found = dict[str, list[str]]

NOBODYS_KEY = "nobody.s-key"
"""In the form of a key: a Headscale refuses it, and has then shown that it is one."""


class Checks:
    """Questions to the surroundings of one environment; each raises AnswerError, one sentence."""

    def __init__(self, environment: str) -> None:
        self._environment = environment

    def contexts(self) -> tuple[list[str], str | None]:
        """The contexts of the kubeconfig, and the current one."""
        try:
            contexts, current = config.list_kube_config_contexts()
        except Exception:
            # Whatever the library stumbles over in the file: the check of the answer says it.
            return [], None
        return [context["name"] for context in contexts], current["name"] if current else None

    def cluster(self, context: str | None) -> None:
        """Whether the cluster answers, and lets us in."""
        try:
            with KubernetesClient(context) as cluster:
                cluster.labels("/api/v1/namespaces/default")
        except ClusterError as error:
            raise AnswerError(str(error)) from error

    def networks(self, context: str | None) -> Found:
        """The networks of pods and Services by the setting's name, as far as the cluster tells them."""
        with KubernetesClient(context) as cluster:
            nodes = _listed(cluster, "/api/v1/nodes")
            cidrs = _listed(cluster, "/apis/networking.k8s.io/v1/servicecidrs")
            # kubeadm's own word covers the nodes that are yet to come.
            kubeadm = _kubeadm_networking(cluster)
        pods = [cidr for node in nodes for cidr in node["spec"].get("podCIDRs", [])]
        services = [network for cidr in cidrs for network in cidr["spec"]["cidrs"]]
        found = {
            "pod_networks": kubeadm["podSubnet"].split(",") if "podSubnet" in kubeadm else pods,
            "service_networks": services or kubeadm.get("serviceSubnet", "").split(","),
        }
        return {name: list(filter(None, networks)) for name, networks in found.items()}

    def namespace(self, context: str | None, namespace: str) -> None:
        """Whether the namespace is free, or this environment's already."""
        try:
            with KubernetesClient(context) as cluster:
                wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
                ownership.refuse_foreign(cluster, wanted, self._environment, ids=None)
        except (ownership.ForeignObjectError, ClusterError) as error:
            raise AnswerError(str(error)) from error

    def existing_namespace(self, context: str | None, namespace: str, standard: str) -> None:
        """Whether the namespace is there, and lets pods of this pod security standard in."""
        try:
            with KubernetesClient(context) as cluster:
                why = existing_namespace.unfit(cluster, namespace, standard)
        except ClusterError as error:
            raise AnswerError(str(error)) from error
        if why:
            raise AnswerError(why)

    def headscale(self, url: str, ca_certificate: str | None) -> None:
        """Whether a Headscale answers there, with a certificate that is trusted."""
        with suppress(UnauthorizedError):
            self._api_keys(url, ca_certificate, NOBODYS_KEY)

    def api_key(self, url: str, ca_certificate: str | None, key: str) -> None:
        """Whether Headscale takes the key."""
        try:
            self._api_keys(url, ca_certificate, key)
        except UnauthorizedError as error:
            raise AnswerError(f"{error} `headscale apikeys create` there makes one.") from error

    def _api_keys(self, url: str, ca_certificate: str | None, key: str) -> None:
        try:
            with Headscale(url, key, ca_certificate=ca_certificate) as headscale:
                headscale.api_keys()
        except UnauthorizedError:
            raise
        except HeadscaleError as error:
            raise AnswerError(str(error)) from error

    def node_port(self, context: str | None, namespace: str, port: int) -> None:
        """Whether the port is free on every node. A stack's Services in the environment's namespace do not count.

        A cluster gives a number to one Service, whatever the protocol (kubernetes#91404).
        """
        with KubernetesClient(context) as cluster:
            services = _listed(cluster, "/api/v1/services")
        for service in services:
            owner, name = service["metadata"]["namespace"], service["metadata"]["name"]
            ours = owner == namespace and OWNER in service["metadata"].get("labels", {})
            taken = [one.get("nodePort") for one in service["spec"].get("ports", [])]
            if port in taken and not ours:
                raise AnswerError(
                    f"Node port {port} is taken by Service {owner}/{name}; "
                    f"choose another one of {NODE_PORTS.start}-{NODE_PORTS[-1]}."
                )

    def orchestrator(self, values: Values) -> None:
        """Whether the Deployment and its container are there."""
        orchestrator = whole(values).orchestrator
        if orchestrator is None:
            return
        target = {name: getattr(orchestrator, name) for name in ("namespace", "deployment", "container")}
        with Connections(settings_by(values.get)) as connections:
            for _, sentence in WorkloadEnvProvider().refusals(connections, {}, target | {"force": True}):
                raise AnswerError(sentence)


def _listed(cluster: KubernetesClient, path: str) -> list[dict[str, Any]]:
    """The items of the list at a path of the API."""
    return list(_seen(cluster, path).get("items", []))


def _kubeadm_networking(cluster: KubernetesClient) -> dict[str, str]:
    """`networking` of kubeadm's ClusterConfiguration."""
    config_map = _seen(cluster, "/api/v1/namespaces/kube-system/configmaps/kubeadm-config")
    configuration = yaml.safe_load(config_map.get("data", {}).get("ClusterConfiguration", "{}"))
    return dict(configuration.get("networking", {}))


def _seen(cluster: KubernetesClient, path: str) -> dict[str, Any]:
    """The object at a path of the API. Empty when we may not see it, or when an older cluster has no such thing."""
    try:
        return cluster.get(path) or {}
    except ClusterUnavailableError:
        raise
    except ClusterError:
        return {}


def check_all(checks: Checks, values: Values, settings: StackSettings) -> None:
    """Every check that whole settings allow, in the order of the questions."""
    context = settings.cluster.context
    checks.cluster(context)
    if settings.create_namespace:
        checks.namespace(context, settings.namespace)
    else:
        checks.existing_namespace(context, settings.namespace, existing_namespace.standard_for(settings))
    headscale = settings.headscale
    if headscale and settings.headscale_api_key:
        checks.headscale(headscale.url, headscale.ca_certificate)
        checks.api_key(headscale.url, headscale.ca_certificate, settings.headscale_api_key.get_secret_value())
    for port in (headscale.node_port, headscale.stun_node_port) if headscale else ():
        if port:
            checks.node_port(context, settings.namespace, port)
    for gateway in settings.gateways:
        for port in published_on_nodes(gateway):
            checks.node_port(context, settings.namespace, port)
    checks.orchestrator(values)


def published_on_nodes(gateway: GatewaySettings) -> Iterator[int]:
    """The ports by which a Service of the cluster publishes the gateway on every node."""
    if gateway.target == "kubernetes" and gateway.exposure == "NodePort":
        yield from (port.published for port in gateway.client_ports)
