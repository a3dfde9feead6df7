"""What all components share: the place of their children in the tree, and the labels of what they declare."""

import pulumi

ADOPTED = {"pulumi.com/patchForce": "true"}
"""Annotation of every object of ours: after a killed run its fields belong to that run's field manager, and the next
run, whose manager has another name, takes them over."""
INSTANCE = "app.kubernetes.io/instance"
PART_OF = "app.kubernetes.io/part-of"


class Component(pulumi.ComponentResource):
    """A component whose children are parented by `child()`."""

    def child(
        self,
        *depends_on: pulumi.Resource,
        provider: pulumi.ProviderResource | None = None,
        hooks: pulumi.ResourceHookBinding | None = None,
    ) -> pulumi.ResourceOptions:
        """Options of a resource of this component."""
        return pulumi.ResourceOptions(parent=self, depends_on=list(depends_on), provider=provider, hooks=hooks)


def labels(component: str, instance: str) -> dict[str, str]:
    """Kubernetes' recommended labels."""
    return {
        "app.kubernetes.io/name": component,
        INSTANCE: instance,
        PART_OF: "meshgate",
        "app.kubernetes.io/managed-by": "pulumi",
    }
