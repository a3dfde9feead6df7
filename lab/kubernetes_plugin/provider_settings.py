"""The provider's configuration: what `kubernetes:` config or a `kubernetes.Provider` may set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes_plugin.properties import UNKNOWN, reveal

_REFUSED = {
    "alwaysRender": "it does not render YAML files",
    "cluster": "choose a context instead",
    "renderYamlToDirectory": "it does not render YAML files",
}
"""Settings of the official plugin that would change what happens, and why they are refused here."""

_FLAGS = {
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
}
_SERVER_SIDE_APPLY = ("enableServerSideApply", "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY")


@dataclass(frozen=True)
class ProviderSettings:
    """A provider's settings.

    `kubeconfig` is a path or the YAML itself (None: $KUBECONFIG, else ~/.kube/config, else the service
    account of the pod we run in); `context` and `namespace` override the kubeconfig's. `known` is false
    in a preview where the kubeconfig itself is an output that does not exist yet.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    config_map_mutable: bool = False
    secret_mutable: bool = False
    patch_force: bool = False
    upsert: bool = False
    delete_unreachable: bool = False
    known: bool = True

    @property
    def mutable_kinds(self) -> frozenset[str]:
        """Kinds whose data may change in place though the default is to replace them."""
        chosen = (("ConfigMap", self.config_map_mutable), ("Secret", self.secret_mutable))
        return frozenset(kind for kind, mutable in chosen if mutable)


def parse(properties: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> ProviderSettings:
    """Read checked provider inputs; the environment's PULUMI_K8S_* are the defaults of the flags."""
    given = reveal(dict(properties))
    flags = {name: _flag(given.get(name, environment.get(variable))) for name, variable in _FLAGS.items()}
    return ProviderSettings(
        kubeconfig=_text(given.get("kubeconfig")),
        context=_text(given.get("context")),
        namespace=_text(given.get("namespace")),
        config_map_mutable=flags["enableConfigMapMutable"],
        secret_mutable=flags["enableSecretMutable"],
        patch_force=flags["enablePatchForce"],
        upsert=flags["upsertExistingObjects"],
        delete_unreachable=flags["deleteUnreachable"],
        known=UNKNOWN not in (given.get("kubeconfig"), given.get("context")),
    )


def failures(properties: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """Return (setting, sentence) for each setting that this plugin cannot honour."""
    given = reveal(dict(properties))
    found = [
        (name, f"The stand-in for Pulumi's Kubernetes plugin does not support `{name}`: {why}.")
        for name, why in _REFUSED.items()
        if given.get(name) not in (None, "", False, "false")
    ]
    name, variable = _SERVER_SIDE_APPLY
    if not _flag(given.get(name, environment.get(variable, "true"))):
        found.append((name, f"The stand-in for Pulumi's Kubernetes plugin needs `{name}` to be true."))
    found += [
        (name, f"`{name}` must be true or false.")
        for name in _FLAGS
        if given.get(name) not in (None, True, False, "true", "false", UNKNOWN)
    ]
    return found


def _flag(value: object) -> bool:
    return value in (True, "true", "True", "1")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
