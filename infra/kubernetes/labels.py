"""The labels and the annotation of every Kubernetes object that a stack declares."""

ADOPTED = {"pulumi.com/patchForce": "true"}
"""Annotation of every object of ours: after a killed run its fields belong to that run's field manager, and the next
run, whose manager has another name, takes them over."""
NOT_AWAITED = {"pulumi.com/skipAwait": "true"}
"""Annotation of an object whose readiness something else proves."""
INSTANCE = "app.kubernetes.io/instance"
PART_OF = "app.kubernetes.io/part-of"
OURS = {PART_OF: "meshgate"}
"""Part of every selector: a namespace may have pods of others, whose names for their parts are as plain as ours."""
OWNER = "meshgate/stack"
"""Label of every object that a stack declares: the id of the stack's state. Of what somebody hands over it is the
stack's name."""


def labels(component: str, instance: str) -> dict[str, str]:
    """Kubernetes' recommended labels."""
    return {
        "app.kubernetes.io/name": component,
        INSTANCE: instance,
        **OURS,
        "app.kubernetes.io/managed-by": "pulumi",
    }
