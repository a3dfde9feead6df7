"""The cluster as the stack sees it: the Kubernetes provider and the stack's namespace."""

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import Namespace

from infra.components.component import Component, labels
from infra.components.ownership import refusing_hooks
from infra.settings import Settings


class Cluster(Component):
    """Provider and namespace; children of other components take both from here."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("meshgate:components:Cluster", "cluster")
        self.provider = kubernetes.Provider(
            "kubernetes",
            context=settings.cluster.context,
            # A run killed between the API call and the state write leaves objects that only this adopts.
            upsert_existing_objects=True,
            # A changed Secret or ConfigMap is updated in place; pods notice by an annotation of theirs.
            enable_secret_mutable=True,
            enable_config_map_mutable=True,
            opts=self.child(),
        )
        self.ownership = refusing_hooks(settings.cluster.context)
        # NET_ADMIN and the hostPath of /dev/net/tun are outside the "baseline" pod security standard.
        security = {"pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/warn": "baseline"}
        self.resource = Namespace(
            "namespace",
            metadata={"name": settings.namespace, "labels": labels("meshgate", pulumi.get_stack()) | security},
            opts=self.child(provider=self.provider, hooks=self.ownership),
        )
        self.namespace: pulumi.Output[str] = self.resource.metadata.name
        self.register_outputs({})
