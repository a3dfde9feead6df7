"""The cluster as the stack sees it: the Kubernetes provider, the stack's namespace, and what lives in it."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import Namespace, PersistentVolumeClaim
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from infra.components.component import Component
from infra.kubernetes.labels import ADOPTED, OWNER, labels
from infra.kubernetes.ownership import refusing_hooks
from infra.resources.stack_id import StackId
from infra.settings.pod import PodSettings
from infra.settings.stack import StackSettings

PROVIDER_FLAGS: Mapping[str, Any] = {
    # A run killed between the API call and the state write leaves objects that only this adopts.
    "upsert_existing_objects": True,
    # A changed Secret or ConfigMap is updated in place; pods notice by an annotation of theirs.
    "enable_secret_mutable": True,
    "enable_config_map_mutable": True,
}
"""How the Kubernetes provider works in every stack."""


class StackCluster(Component):
    """Provider and namespace, each declared when somebody first takes it: gateways on bare metal need neither."""

    def __init__(self, settings: StackSettings) -> None:
        super().__init__("meshgate:components:Cluster", "cluster")
        self._settings = settings
        self.stack_id = StackId("id", opts=self.child()).value
        self.register_outputs({})

    @property
    def context(self) -> str | None:
        """Of the kubeconfig; None for the current one."""
        return self._settings.cluster.context

    @cached_property
    def provider(self) -> kubernetes.Provider:
        """For all that is in the cluster."""
        return kubernetes.Provider(
            "kubernetes",
            context=self._settings.cluster.context,
            opts=self.child(),
            **PROVIDER_FLAGS,
        )

    @cached_property
    def ownership(self) -> pulumi.ResourceHookBinding:
        """For what may be somebody else's already."""
        return refusing_hooks(self._settings.cluster.context, self._settings.recover)

    def pod(self, own: PodSettings) -> PodSettings:
        """The stack's settings of pods, changed by those of one part."""
        return self._settings.pod.changed_by(own)

    @property
    def owner(self) -> Mapping[str, pulumi.Input[str]]:
        """The label of all that is this stack's."""
        return {OWNER: self.stack_id}

    @cached_property
    def namespace(self) -> pulumi.Output[str]:
        """The stack's own."""
        # NET_ADMIN and the hostPath of /dev/net/tun are outside the "baseline" pod security standard.
        security = {"pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/warn": "baseline"}
        namespace = Namespace(
            "namespace",
            metadata={
                "name": self._settings.namespace,
                "labels": {**labels("meshgate", pulumi.get_stack()), **security, **self.owner},
                "annotations": ADOPTED,
            },
            opts=self.child(provider=self.provider, hooks=self.ownership),
        )
        name: pulumi.Output[str] = namespace.metadata.name
        return name


class NamespacedComponent(Component):
    """A component whose Kubernetes objects live in the stack's namespace and share its labels.

    `pod` is what the settings say of this component's pod alone.
    """

    def __init__(
        self,
        kind: str,
        cluster: StackCluster,
        component: str,
        instance: str,
        pod: PodSettings,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(kind, instance, opts=opts)
        self.cluster = cluster
        self.pod = cluster.pod(pod)
        self.labels = labels(component, instance)

    def metadata(
        self, name: str, annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None
    ) -> dict[str, object]:
        """Metadata of an object of this component; labels of ours stay."""
        return {
            "name": name,
            "namespace": self.cluster.namespace,
            "labels": {**self.pod.object_labels, **(labels or {}), **self.labels, **self.cluster.owner},
            "annotations": {**self.pod.object_annotations, **ADOPTED, **(annotations or {})},
        }

    def opts(self, *depends_on: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a Kubernetes object of this component."""
        return self.child(*depends_on, provider=self.cluster.provider)

    def claim(self, resource: str, name: str, size: str, storage_class: str | None) -> PersistentVolumeClaim:
        """The volume that this component's state is on; `resource` is its name in the stack."""
        chosen = {"storage_class_name": storage_class} if storage_class else {}
        return PersistentVolumeClaim(
            resource,
            metadata=self.metadata(name),
            spec={"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **chosen},
            opts=self.opts(),
        )

    def disruption_budget(self, resource: str, name: str, selector: Mapping[str, str]) -> None:
        """Keeps the one pod where it is, if the settings say so; an eviction of one that is not ready does no harm."""
        if self.pod.disruption_budget:
            PodDisruptionBudget(
                resource,
                metadata=self.metadata(name),
                spec={
                    "max_unavailable": 0,
                    "unhealthy_pod_eviction_policy": "AlwaysAllow",
                    "selector": {"match_labels": selector},
                },
                opts=self.opts(),
            )
