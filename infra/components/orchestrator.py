"""The gateway as the app's backend sees it: four names more in the orchestrator's env, and the token's Secret."""

import pulumi
from pulumi_kubernetes.core.v1 import Secret

from infra.components.cluster import Cluster
from infra.components.component import ADOPTED, Component, labels
from infra.resources.workload_env import WorkloadEnv
from infra.settings import OrchestratorSettings

TOKEN_SECRET = "meshgate-gateway"  # noqa: S105 (a name)


class OrchestratorEnv(Component):
    """The gateway's key, endpoint, peer API and its token in the env of the orchestrator's container."""

    def __init__(
        self,
        cluster: Cluster,
        settings: OrchestratorSettings,
        env: dict[str, pulumi.Input[str]],
        token: pulumi.Input[str],
        gateway: pulumi.Resource,
    ) -> None:
        super().__init__("meshgate:components:OrchestratorEnv", "orchestrator")
        secret = Secret(
            "token",
            metadata={
                "name": TOKEN_SECRET,
                "namespace": settings.namespace,
                "labels": labels("orchestrator", pulumi.get_stack()),
                "annotations": ADOPTED,
            },
            string_data={"token": token},
            opts=self.child(provider=cluster.provider, hooks=cluster.ownership),
        )
        WorkloadEnv(
            "env",
            namespace=settings.namespace,
            deployment=settings.deployment,
            container=settings.container,
            values=env,
            secrets={"GATEWAY_PEERS_TOKEN": {"secret": TOKEN_SECRET, "key": "token"}},
            # Only a gateway that stands is shown to the app.
            opts=self.child(secret, gateway),
        )
        self.register_outputs({})
