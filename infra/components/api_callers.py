"""Who reaches an API inside the cluster, as a NetworkPolicy says it."""

from collections.abc import Iterable

from infra.settings.api_caller import ApiCaller
from infra.settings.orchestrator import OrchestratorSettings


def callers(orchestrator: OrchestratorSettings | None, others: Iterable[ApiCaller]) -> list[dict[str, object]]:
    """NetworkPolicyPeers: the orchestrator's namespace, if there is one, and others. An empty list is nobody."""
    own = [ApiCaller(namespace=orchestrator.namespace)] if orchestrator else []
    return [_peer(caller) for caller in (*own, *others)]


def _peer(caller: ApiCaller) -> dict[str, object]:
    """Both selectors in one mean pods that fit both."""
    if caller.network:
        return {"ip_block": {"cidr": str(caller.network)}}
    peer: dict[str, object] = {}
    if caller.namespace:
        peer["namespace_selector"] = {"match_labels": {"kubernetes.io/metadata.name": caller.namespace}}
    if caller.pod_labels:
        peer["pod_selector"] = {"match_labels": caller.pod_labels}
    return peer
