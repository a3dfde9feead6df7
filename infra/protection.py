"""What a stack cannot have again: the engine refuses to replace or delete it, in preview already."""

import pulumi

KEPT = {
    "pulumi-python:dynamic/meshgate:WireGuardKey": "the gateway's private key: every client's config names its public "
    "key, and a new one makes them all useless",
    "pulumi-python:dynamic/meshgate:CertificateAuthority": "the CA of all devices with certificates: each would need a "
    "new profile",
    "pulumi-python:dynamic/meshgate:IssuingCertificate": "what the gateway issues its devices' certificates with: each "
    "would need a new profile",
    "pulumi-python:dynamic/meshgate:ExitNode": "the gateway's node in the mesh: its addresses are what others know",
    "pulumi-python:dynamic/meshgate:HeadscaleUser": "the Headscale user that owns the stack's nodes and keys",
    "pulumi-python:dynamic/meshgate:DevicesUser": "every device that joined the mesh by the key service",
    # Nothing but the Verdict, which holds nothing, depends on these two. So they are the first to go: while they stand,
    # so does all else.
    "pulumi-python:dynamic/meshgate:WorkloadEnv": "what the app knows of its gateways: without it no device gets in",
    "pulumi-python:dynamic/meshgate:ClientConfigs": "what clients' configs hold: without it no change that makes them "
    "useless is known as one",
    "kubernetes:core/v1:PersistentVolumeClaim": "a volume with state: the devices of a gateway, or all of Headscale",
    "kubernetes:core/v1:Namespace": "the namespace: its volumes go with it",
}
"""By type: what is lost with such a resource."""
ALLOWANCE = "`protect: false` in the stack's settings allows that (docs/policies.md)."
"""How a refusal ends."""


def protect() -> None:
    """Protect the resources of these types that the program declares from here on."""
    pulumi.runtime.register_stack_transformation(_protected)


def _protected(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    if args.type_ not in KEPT:
        return None
    kept = pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=True))
    return pulumi.ResourceTransformationResult(args.props, kept)
