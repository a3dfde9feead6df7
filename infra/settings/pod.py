"""The section `pod`: how a pod fits into the cluster that it runs in, in the whole stack or in one part of it."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from infra.settings.kubernetes_names import ExtraAnnotations, ExtraLabels, Key, Labels, LabelValue, ObjectName
from infra.settings.resources import ContainerResources
from infra.settings.section import Section


def _affinity(given: dict[str, object]) -> dict[str, object]:
    from infra.settings import affinity  # most stacks have none, and the models of it take their time

    return affinity.checked(given)


class Toleration(Section):
    """A taint of nodes that the pod may run on all the same."""

    key: Key | None = None
    """The taint's key; every taint when not set, with `operator: Exists`."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the taint's value counts."""
    value: LabelValue = ""
    """The taint's value, with `operator: Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; every effect when not set."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """How long the pod stays with `effect: NoExecute`; for ever when not set."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError(f"value {self.value!r} has no effect with operator Exists; use Equal, or leave it out")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("it has no key; give one, or operator: Exists for every taint")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("toleration_seconds has an effect with effect: NoExecute alone; set that, or leave it out")
        return self


class PodSettings(Section):
    """How pods fit into the cluster. What `gateways[].pod`, `headscale.pod` or `mesh_clients.pod` says takes the place
    of what `pod` says for the whole stack, setting by setting."""

    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Names of Secrets with a registry's credentials, in the stack's namespace."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When a node pulls the images; Kubernetes' own choice when not set."""
    node_selector: Labels = Field(default_factory=dict)
    """Labels that a node must have to run the pod, such as the node that an endpoint's name points to."""
    tolerations: tuple[Toleration, ...] = ()
    affinity: Annotated[dict[str, object], AfterValidator(_affinity)] = Field(default_factory=dict)
    """Which nodes the pod wants, and which pods beside it: nodeAffinity, podAffinity and podAntiAffinity, with the
    names that Kubernetes has for their fields. There is one pod, and so nothing to spread."""
    priority_class: ObjectName | None = None
    """Name of the PriorityClass, by which pods go first where room is short."""
    resources: ContainerResources = ContainerResources()
    labels: ExtraLabels = Field(default_factory=dict)
    """Labels of the pod, besides its own. Another one restarts it."""
    annotations: ExtraAnnotations = Field(default_factory=dict)
    """Annotations of the pod, besides its own, such as `sidecar.istio.io/inject: "false"`. Another one restarts it."""
    object_labels: ExtraLabels = Field(default_factory=dict)
    """Labels of all objects that go with the pod (Deployment, Services, Secrets, volume claim), besides their own."""
    object_annotations: ExtraAnnotations = Field(default_factory=dict)
    """Annotations of all these objects, besides their own."""
    disruption_budget: bool = False
    """Make a PodDisruptionBudget that lets nobody evict the pod while it is ready. There is one pod at a time, so
    `kubectl drain` of its node then waits until somebody deletes the pod. Without it a drain evicts the pod, and its
    users wait until it runs elsewhere."""

    def changed_by(self, part: "PodSettings") -> "PodSettings":
        """These settings with those of one part of the stack in their place."""
        return self.model_copy(update={name: getattr(part, name) for name in part.model_fields_set})
