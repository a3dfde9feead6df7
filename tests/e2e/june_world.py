"""June's world before a stack of ours comes: Headscale 0.23.0 in one namespace, the orchestrator in another.

Manifests of June's make both. In that cluster the namespaces are `headscale` and `june-services`, which
the lab's own stack and its June have here.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.headscale.client import Headscale
from lab.cluster import image_import, kube, pki
from lab.images import archives, recipes
from lab.mesh import june
from lab.network import topology
from lab.tools import pinned_tools

HEADSCALE, SERVICES = "june-headscale", "june-app"
HEADSCALE_PORT, ORCHESTRATOR_PORT = 30882, 30883
URL = f"https://{topology.NODE_IPV4}:{HEADSCALE_PORT}"
ORCHESTRATOR = f"http://{topology.NODE_IPV4}:{ORCHESTRATOR_PORT}"
ROLLOUT_SECONDS = 90.0
_KINDS = "deployments,services,configmaps,secrets,persistentvolumeclaims,networkpolicies,serviceaccounts"
_REVISION = "deployment.kubernetes.io/revision"
"""Of a Deployment: counts its rollouts."""


@dataclass(frozen=True)
class World:
    """What an administrator of June's knows of it."""

    ca_certificate: str
    api_key: str

    def headscale(self) -> Headscale:
        """A client of that Headscale."""
        return Headscale(URL, self.api_key, ca_certificate=self.ca_certificate)

    def everything(self) -> dict[str, Any]:
        """All objects of both namespaces, and these themselves, as June's manifests and Kubernetes made them."""
        found = [json.loads(kube.kubectl("get", "namespace", name, "-o", "json")) for name in (HEADSCALE, SERVICES)]
        for name in (HEADSCALE, SERVICES):
            found += json.loads(kube.kubectl("get", _KINDS, "-n", name, "-o", "json"))["items"]
        return {_name(one): _content(one) for one in found}


@contextmanager
def running(directory: Path) -> Iterator[World]:
    """Give the world for the time of the block; its certificates are made in `directory`."""
    certificates = pki.Pki(directory)
    certificates.ensure([pki.Subject("headscale", topology.NODE_IPV4, hosts=(topology.NODE_IPV4,))])
    image_import.load(images := archives.ensure([recipes.headscale(pinned_tools.HEADSCALE_0_23)]))
    values = {"namespace": HEADSCALE, "url": URL, "image": images[0].reference, "node_port": str(HEADSCALE_PORT)}
    namespace, *rest = kube.manifest("june-headscale", values)
    try:
        kube.apply([namespace, _tls(certificates), *rest], manager="june")
        june.apply(_orchestrators_image(), SERVICES, ORCHESTRATOR_PORT)
        kube.wait_for_rollout(HEADSCALE, "headscale", ROLLOUT_SECONDS)
        june.wait(SERVICES)
        command = ("headscale", "apikeys", "create", "--expiration", "1h", "--output", "json")
        api_key = json.loads(kube.kubectl("exec", "-n", HEADSCALE, "deploy/headscale", "--", *command))
        yield World(certificates.ca.read_text(), api_key)
    finally:
        kube.kubectl("delete", "namespace", HEADSCALE, SERVICES, "--ignore-not-found")


def _tls(certificates: pki.Pki) -> dict[str, Any]:
    files = {"tls.crt": certificates.certificate("headscale"), "tls.key": certificates.key("headscale")}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "headscale-tls", "namespace": HEADSCALE},
        "type": "kubernetes.io/tls",
        "stringData": {name: file.read_text() for name, file in files.items()},
    }


def _orchestrators_image() -> str:
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    return kube.kubectl("get", "deploy", "-n", june.NAMESPACE, june.DEPLOYMENT, "-o", image)


def _name(one: dict[str, Any]) -> str:
    return f"{one['metadata'].get('namespace', '')}/{one['kind']}/{one['metadata']['name']}"


def _content(one: dict[str, Any]) -> dict[str, Any]:
    """All but what Kubernetes counts and reports."""
    metadata = one["metadata"]
    annotations = {name: value for name, value in metadata.get("annotations", {}).items() if name != _REVISION}
    content = {name: value for name, value in one.items() if name not in {"metadata", "status"}}
    return content | {"uid": metadata["uid"], "labels": metadata.get("labels", {}), "annotations": annotations}
