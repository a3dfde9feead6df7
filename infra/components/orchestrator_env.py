"""HEADSCALE_SERVER_PUBLIC_KEY and all else that the orchestrator's env tells of the gateways; a Secret has the tokens.

Four names are of the chosen gateway. Where there are several, GATEWAYS lists them and each has four names of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Secret

from infra.components.component import Component
from infra.components.stack_cluster import StackCluster
from infra.kubernetes.labels import ADOPTED, labels
from infra.resources.token import digest
from infra.resources.workload_env import SecretKey, WorkloadEnv
from infra.settings.orchestrator import OrchestratorSettings

TOKEN_SECRET = "meshgate-gateway"  # noqa: S105 (a name)


@dataclass(frozen=True)
class GatewayAccess:
    """What a backend needs of a gateway to let devices in."""

    gateway: pulumi.Resource
    public_key: pulumi.Output[str]
    endpoint: str
    peers_url: pulumi.Input[str]
    token: pulumi.Output[str]
    previous_token: pulumi.Output[str]
    """What a pod may have that is not restarted yet; empty before the first rotation."""
    joined: pulumi.Output[bool] | None = None
    """Whether an awaited machine is there; None of a gateway that the stack itself brought up."""

    def shown(self, value: pulumi.Input[str]) -> pulumi.Input[str]:
        """The value, empty as long as there is no gateway behind it."""
        if self.joined is None:
            return value
        return pulumi.Output.all(self.joined, value).apply(lambda both: str(both[1]) if both[0] else "")


class OrchestratorEnv(Component):
    """The gateways' keys, endpoints, peer APIs and their tokens in the env of the orchestrator's container."""

    def __init__(
        self,
        cluster: StackCluster,
        settings: OrchestratorSettings,
        gateways: Mapping[str, GatewayAccess],
    ) -> None:
        super().__init__("meshgate:components:OrchestratorEnv", "orchestrator")
        name = settings.gateway or next(iter(gateways))
        chosen = gateways[name]
        several = {name: chosen, **gateways} if len(gateways) > 1 else {}  # the chosen one first
        tokens = [token for access in gateways.values() for token in (access.token, access.previous_token)]
        secret = Secret(
            "token",
            metadata={
                "name": TOKEN_SECRET,
                "namespace": settings.namespace,
                "labels": labels("orchestrator", pulumi.get_stack()),
                "annotations": ADOPTED,
            },
            string_data=pulumi.Output.all(*tokens).apply(
                lambda given: {_key(token): token for token in given if token}
            ),
            opts=self.child(provider=cluster.provider, hooks=cluster.ownership),
        )
        values: dict[str, pulumi.Input[str]] = {
            "HEADSCALE_SERVER_PUBLIC_KEY": chosen.shown(chosen.public_key),
            "HEADSCALE_SERVER_ENDPOINT": chosen.shown(chosen.endpoint),
            "GATEWAY_PEERS_URL": chosen.shown(chosen.peers_url),
        }
        secrets = {"GATEWAY_PEERS_TOKEN": _token(chosen)}
        if several:
            names = [access.shown(name) for name, access in several.items()]
            values["GATEWAYS"] = pulumi.Output.all(*names).apply(lambda shown: ",".join(filter(None, shown)))
        for name, access in several.items():
            one = name.upper().replace("-", "_")
            values[f"GATEWAY_{one}_PUBLIC_KEY"] = access.shown(access.public_key)
            values[f"GATEWAY_{one}_ENDPOINT"] = access.shown(access.endpoint)
            values[f"GATEWAY_{one}_PEERS_URL"] = access.shown(access.peers_url)
            secrets[f"GATEWAY_{one}_PEERS_TOKEN"] = _token(access)
        WorkloadEnv(
            "env",
            namespace=settings.namespace,
            deployment=settings.deployment,
            container=settings.container,
            values=values,
            secrets=secrets,
            # Only a gateway that stands is shown to the app.
            opts=self.child(secret, *(access.gateway for access in gateways.values())),
        )
        self.register_outputs({})


def _key(token: str) -> str:
    """The token's key in the Secret. Another token has another key, so a rotated one rolls the Deployment out."""
    return f"token-{digest(token)}"


def _token(access: GatewayAccess) -> SecretKey:
    return {"secret": TOKEN_SECRET, "key": access.shown(pulumi.Output.unsecret(access.token.apply(_key)))}
