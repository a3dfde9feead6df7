"""The gateways as the app's backend sees them: names more in the orchestrator's env, and the Secret of the tokens.

Four names are the chosen gateway's; where there are several, GATEWAYS lists them and each has four names of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Secret

from infra.components.cluster import Cluster
from infra.components.component import Component
from infra.kubernetes.labels import ADOPTED, labels
from infra.resources.workload_env import SecretKey, WorkloadEnv
from infra.settings.orchestrator import OrchestratorSettings

TOKEN_SECRET = "meshgate-gateway"  # noqa: S105 (a name)
TOKEN_KEY = "token"  # noqa: S105 (a name)
"""Of the chosen gateway; each of several has its token at `token-<name>` too."""


@dataclass(frozen=True)
class GatewayAccess:
    """What a backend needs of a gateway to let devices in."""

    gateway: pulumi.Resource
    public_key: pulumi.Output[str]
    endpoint: str
    peers_url: pulumi.Input[str]
    token: pulumi.Output[str]
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
        cluster: Cluster,
        settings: OrchestratorSettings,
        gateways: Mapping[str, GatewayAccess],
    ) -> None:
        super().__init__("meshgate:components:OrchestratorEnv", "orchestrator")
        name = settings.gateway or next(iter(gateways))
        chosen = gateways[name]
        several = {name: chosen, **gateways} if len(gateways) > 1 else {}  # the chosen one first
        secret = Secret(
            "token",
            metadata={
                "name": TOKEN_SECRET,
                "namespace": settings.namespace,
                "labels": labels("orchestrator", pulumi.get_stack()),
                "annotations": ADOPTED,
            },
            string_data={TOKEN_KEY: chosen.token, **{_key(name): access.token for name, access in several.items()}},
            opts=self.child(provider=cluster.provider, hooks=cluster.ownership),
        )
        values = _values(chosen, "HEADSCALE_SERVER", "GATEWAY_PEERS_URL")
        secrets = {"GATEWAY_PEERS_TOKEN": _token(chosen, TOKEN_KEY)}
        if several:
            names = [access.shown(name) for name, access in several.items()]
            values["GATEWAYS"] = pulumi.Output.all(*names).apply(lambda shown: ",".join(filter(None, shown)))
        for name, access in several.items():
            prefix = f"GATEWAY_{name.upper().replace('-', '_')}"
            values |= _values(access, prefix, f"{prefix}_PEERS_URL")
            secrets[f"{prefix}_PEERS_TOKEN"] = _token(access, _key(name))
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


def _key(name: str) -> str:
    return f"{TOKEN_KEY}-{name}"


def _values(access: GatewayAccess, prefix: str, peers_url: str) -> dict[str, pulumi.Input[str]]:
    return {
        f"{prefix}_PUBLIC_KEY": access.shown(access.public_key),
        f"{prefix}_ENDPOINT": access.shown(access.endpoint),
        peers_url: access.shown(access.peers_url),
    }


def _token(access: GatewayAccess, key: str) -> SecretKey:
    return {"secret": TOKEN_SECRET, "key": access.shown(key)}
