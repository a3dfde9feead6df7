"""The provider's configuration: what `kubernetes:` config or a `kubernetes.Provider` may set.

Every setting of the official plugin is one of three: followed, without effect here, or refused by name.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lab.kubernetes_plugin.properties import UNKNOWN, reveal

LAB_PLUGIN = "MESHGATE_LAB_PLUGIN"
"""Environment variable of the lab. With `prompt` every update is answered at once, before anything is rolled out.

The official plugin does that with some updates of a Deployment.
"""
_PROMPT = "prompt"

_TEXTS = ("kubeconfig", "context", "namespace")
_FLAGS = {
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
}
_SERVER_SIDE_APPLY = ("enableServerSideApply", "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY")

REFUSED = {
    "alwaysRender": "it does not render YAML files",
    "cluster": "choose a context instead",
    "clusterIdentifier": "it replaces a provider when the API server's address changes",
    "helmReleaseSettings": "it installs no Helm charts",
    "kubeClientSettings": "the limits of its client are fixed",
    "renderYamlToDirectory": "it does not render YAML files",
    "skipUpdateUnreachable": "it fails for a cluster that cannot be reached",
}
"""Settings of the official plugin that would change what happens, and why they are refused here."""

_WITHOUT_EFFECT = ("suppressDeprecationWarnings", "suppressHelmHookWarnings")
"""The stand-in gives no such warnings."""

_ENGINES_OWN = ("version", "pluginDownloadURL", "__internal")
"""What Pulumi's engine itself adds to every provider."""

KNOWN = frozenset((*_TEXTS, *_FLAGS, _SERVER_SIDE_APPLY[0], *REFUSED, *_WITHOUT_EFFECT))
"""Every setting that the official plugin has."""


@dataclass(frozen=True)
class ProviderSettings:
    """A provider's settings.

    `kubeconfig` is a path or the YAML itself (None: $KUBECONFIG, else ~/.kube/config, else the service
    account of the pod we run in); `context` and `namespace` override the kubeconfig's. `prompt` is the
    lab's wish that an update does not wait (see LAB_PLUGIN). `known` is false in a preview where the kubeconfig
    itself is an output that does not exist yet.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    config_map_mutable: bool = False
    secret_mutable: bool = False
    patch_force: bool = False
    upsert: bool = False
    delete_unreachable: bool = False
    prompt: bool = False
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
        **{name: _text(given.get(name)) for name in _TEXTS},
        config_map_mutable=flags["enableConfigMapMutable"],
        secret_mutable=flags["enableSecretMutable"],
        patch_force=flags["enablePatchForce"],
        upsert=flags["upsertExistingObjects"],
        delete_unreachable=flags["deleteUnreachable"],
        prompt=environment.get(LAB_PLUGIN) == _PROMPT,
        known=UNKNOWN not in (given.get("kubeconfig"), given.get("context")),
    )


def failures(properties: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """Return (setting, sentence) for each setting that this plugin cannot honour."""
    given = reveal(dict(properties))
    found = [
        (name, f"The stand-in for Pulumi's Kubernetes plugin does not support `{name}`: {why}.")
        for name, why in REFUSED.items()
        if given.get(name) not in (None, "", False, "false")
    ]
    found += [(name, _unknown(name)) for name in sorted(given.keys() - KNOWN - set(_ENGINES_OWN))]
    name, variable = _SERVER_SIDE_APPLY
    if not _flag(given.get(name, environment.get(variable, "true"))):
        found.append((name, f"The stand-in for Pulumi's Kubernetes plugin needs `{name}` to be true."))
    found += [
        (name, f"`{name}` must be true or false.")
        for name in _FLAGS
        if given.get(name) not in (None, True, False, "true", "false", UNKNOWN)
    ]
    if environment.get(LAB_PLUGIN) not in (None, "", _PROMPT):
        found.append(("", f"{LAB_PLUGIN} must be `{_PROMPT}`, or not set; it is {environment[LAB_PLUGIN]!r}."))
    return found


def _unknown(name: str) -> str:
    near = get_close_matches(name, KNOWN, 1)
    hint = f"did you mean `{near[0]}`?" if near else "remove it."
    return f"Pulumi's Kubernetes provider has no setting `{name}`: {hint}"


def _flag(value: object) -> bool:
    return value in (True, "true", "True", "1")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
