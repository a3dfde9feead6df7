"""What is known about Kubernetes kinds without asking the API server."""

from dataclasses import dataclass

from lab.kubernetes_plugin.errors import PluginError

_NOT_OBJECTS = ("helm.sh", "kustomize", "yaml")
"""Modules of the Pulumi package that are programs of the official plugin, not API objects."""

_CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "FlowSchema",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    }
)


@dataclass(frozen=True)
class Kind:
    """An API object's type: group ("" is core), version and kind."""

    group: str
    version: str
    name: str

    @property
    def api_version(self) -> str:
        """As in a manifest: "v1", "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def built_in(self) -> bool:
        """Served by every API server; groups of CRDs have a domain that is not k8s.io's."""
        return "." not in self.group or self.group.endswith(".k8s.io")

    @property
    def namespaced(self) -> bool:
        """Whether objects live in a namespace. A kind of a CRD is taken for namespaced until the server tells."""
        return not (self.built_in and self.name in _CLUSTER_SCOPED)


def is_secret(kind: Kind) -> bool:
    """Whether objects of the kind hold secrets by nature."""
    return kind.group == "" and kind.name == "Secret"


def parse_type(token: str) -> Kind:
    """Return the kind behind a Pulumi type such as "kubernetes:apps/v1:Deployment".

    Raises PluginError for what is no API object (Helm, Kustomize, Patch resources, …).
    """
    _, _, rest = token.partition(":")
    module, _, name = rest.partition(":")
    group, slash, version = module.partition("/")
    if not slash or not name or group in _NOT_OBJECTS:
        raise PluginError(
            f"{token} is not supported by the stand-in for Pulumi's Kubernetes plugin: it knows API objects only."
        )
    kind = Kind("" if group == "core" else group, version, name)
    if kind.built_in and name.endswith("Patch"):
        raise PluginError(
            f"{token} is not supported by the stand-in for Pulumi's Kubernetes plugin: declare the whole "
            f"{name.removesuffix('Patch')}, or change the object by other means."
        )
    return kind


_SELECTOR = ("spec.selector",)
_REPLACING: dict[str, tuple[str, ...]] = {
    "ConfigMap": ("data", "binaryData"),
    "Secret": ("type", "data", "stringData"),
    "Service": ("spec.clusterIP",),
    "PersistentVolumeClaim": ("spec",),
    "Pod": ("spec",),
    "Deployment": _SELECTOR,
    "DaemonSet": _SELECTOR,
    "StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "StorageClass": ("parameters", "provisioner"),
}
_IDENTITY = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
_VOLUME_SOURCES = ("hostPath", "local", "nfs", "csi", "iscsi", "fc")


def replacing_fields(kind: Kind, *, mutable: frozenset[str]) -> tuple[str, ...]:
    """Fields whose change makes a new object; `mutable` are kinds that may change in place all the same.

    They are those of the official plugin. `diff` adds the fields that the API server itself refuses to change.
    """
    if not kind.built_in or kind.name in mutable:
        return _IDENTITY
    if kind.name == "PersistentVolume":
        return (*_IDENTITY, *(f"spec.{source}" for source in _VOLUME_SOURCES))
    return (*_IDENTITY, *_REPLACING.get(kind.name, ()))
