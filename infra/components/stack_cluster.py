"""The cluster as the stack sees it: the Kubernetes provider, the stack's namespace, and what lives in it."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import Namespace, PersistentVolumeClaim
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from infra.components.component import Component
from infra.components.pod_overlay import laid_over
from infra.kubernetes import predecessor
from infra.kubernetes.labels import ADOPTED, NOT_AWAITED, OWNER, labels
from infra.kubernetes.ownership import Object, Ownership
from infra.resources.existing_namespace import BASELINE, ENFORCED, PRIVILEGED, ExistingNamespace, standard_for
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

    @property
    def ownership(self) -> pulumi.ResourceHookBinding:
        """For what may be somebody else's already."""
        return self._ownership.hooks

    @property
    def guard(self) -> pulumi.ResourceHookBinding | None:
        """For an object in the namespace: in one that the stack owns nothing is somebody else's."""
        return None if self._settings.create_namespace else self.ownership

    def guard_for(self, name: str, made: Callable[[Mapping[str, Any]], Object]) -> pulumi.ResourceHookBinding | None:
        """For a resource that makes such an object by itself."""
        return None if self._settings.create_namespace else self._ownership.hooks_for(name, made)

    @cached_property
    def _ownership(self) -> Ownership:
        return Ownership(self._settings.cluster.context, self._settings.namespace, self._settings.recover)

    @cached_property
    def succession(self) -> pulumi.ResourceHookBinding:
        """For a Deployment, whose predecessor may not have ended yet."""
        return predecessor.ended(self._settings.cluster.context)

    def pod(self, own: PodSettings) -> PodSettings:
        """The stack's settings of pods, changed by those of one part."""
        return self._settings.pod.changed_by(own)

    @property
    def owner(self) -> Mapping[str, pulumi.Input[str]]:
        """The label of all that is this stack's."""
        return {OWNER: self.stack_id}

    @cached_property
    def namespace(self) -> pulumi.Output[str]:
        """Where the stack's objects are: its own, or somebody else's."""
        if not self._settings.create_namespace:
            existing = ExistingNamespace(
                "namespace",
                namespace=self._settings.namespace,
                standard=standard_for(self._settings),
                opts=self.child(),
            )
            # The name alone would let objects be made before it is looked at, and its own output is unknown in preview.
            return existing.urn.apply(lambda _: self._settings.namespace)
        # NET_ADMIN and the hostPath of /dev/net/tun are outside the "baseline" pod security standard.
        security = {ENFORCED: PRIVILEGED, "pod-security.kubernetes.io/warn": BASELINE}
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
        return self.child(*depends_on, provider=self.cluster.provider, hooks=self.cluster.guard)

    def declare_deployment(
        self, resource: str, name: str, spec: Mapping[str, Any], *depends_on: pulumi.Resource
    ) -> Deployment:
        """A Deployment of one pod that its Readiness waits for; `resource` is its name in the stack."""
        if self.pod.disruption_budget:
            self._keep_in_place(resource, name, spec["selector"])
        return Deployment(
            resource,
            metadata=self.metadata(name, NOT_AWAITED),
            spec={**spec, "template": laid_over(spec["template"], self.pod)},
            opts=pulumi.ResourceOptions.merge(
                self.opts(*depends_on), pulumi.ResourceOptions(hooks=self.cluster.succession)
            ),
        )

    def claim(self, resource: str, name: str, size: str, storage_class: str | None) -> PersistentVolumeClaim:
        """The volume that this component's state is on; `resource` is its name in the stack."""
        chosen = {"storage_class_name": storage_class} if storage_class else {}
        return PersistentVolumeClaim(
            resource,
            metadata=self.metadata(name),
            spec={"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **chosen},
            opts=self.opts(),
        )

    def _keep_in_place(self, resource: str, name: str, selector: Mapping[str, object]) -> None:
        """A budget that lets nobody evict the one pod, but while it is not ready, which does no harm."""
        PodDisruptionBudget(
            resource,
            metadata=self.metadata(name),
            spec={"max_unavailable": 0, "unhealthy_pod_eviction_policy": "AlwaysAllow", "selector": selector},
            opts=self.opts(),
        )
