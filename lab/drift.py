"""What somebody changed by hand since the last `up`, found without Pulumi.

A refresh asks for each of the stack's resources, which takes seconds; a run that finds all as it was left does without.
What is remembered are hashes: of each object of the stack in the cluster, of June's Deployment, of Headscale's content,
and of all that `pulumi up` starts from. Where none of them has changed there is nothing to run.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

from console import project
from console.errors import StepError
from gateway.headscale.errors import HeadscaleError
from lab import paths
from lab.cluster import kube
from lab.cluster.startup import PKI
from lab.mesh import june, peer
from lab.pulumi.stack import Stack
from lab.tools import cache

FILE = paths.PULUMI / "left.json"
JUNE, HEADSCALE, PROGRAM = "june", "headscale", "program"
GONE = "gone"

Seen = Mapping[str, str]
"""The hash of each thing, by its URN or as above; Headscale is not among them while it does not answer."""

_PROGRAM = tuple(project.REPOSITORY / name for name in ("__main__.py", "infra", "Pulumi.yaml", "requirements.lock"))
"""What `pulumi up` runs, besides Pulumi itself."""

_OF_THE_CLUSTER = ("resourceVersion", "generation", "managedFields")
"""Metadata that changes with each write, also of a status."""


@dataclass(frozen=True)
class Drift:
    """What is other than the last `up` left it: URNs of objects in the cluster, and whether anything else is.

    `program` says that the program, its settings or its state are others.
    """

    objects: Sequence[str] = ()
    elsewhere: bool = False
    program: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything for `pulumi up` to do."""
        return bool(self.objects) or self.elsewhere or self.program


def found(before: Seen, now: Seen) -> Drift:
    """Compare what was remembered with what is; nothing is known of what does not answer."""
    changed = [name for name, was in before.items() if name in now and now[name] != was]
    objects = [name for name in changed if name not in (JUNE, HEADSCALE, PROGRAM)]
    elsewhere = any(name in changed for name in (JUNE, HEADSCALE))
    return Drift(objects, elsewhere, program=PROGRAM in changed or PROGRAM not in before)


def look(stack: Stack) -> Seen:
    """Return what is now: objects that the stack's state names, and what it changes elsewhere."""
    with kube.client() as api:
        seen = dict(_objects(api, stack))
    seen[PROGRAM] = cache.fingerprint(str(stack.programs), *filter(Path.exists, (*_PROGRAM, *stack.files())))
    if (content := _headscale()) is not None:
        seen[HEADSCALE] = _hash(content)
    return seen


def remembered() -> Seen:
    """Return what the last `up` left; empty before the first."""
    seen: dict[str, str] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return seen


def remember(seen: Seen) -> None:
    """Keep what an `up` left, for the next."""
    draft = FILE.with_suffix(".new")
    draft.write_text(json.dumps(seen, indent=2))
    draft.replace(FILE)


def _objects(api: ApiClient, stack: Stack) -> Iterator[tuple[str, str]]:
    dynamic = DynamicClient(api, cache_file=str(paths.RUN / "kinds.json"))
    for urn, api_version, kind, name in of_state(stack.resources()):
        yield urn, _one(dynamic, api_version, kind, name)
    yield JUNE, _one(dynamic, "apps/v1", "Deployment", f"{june.NAMESPACE}/{june.DEPLOYMENT}")


def of_state(resources: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """Yield URN, apiVersion, kind and `[namespace/]name` of each object in the cluster that the state has."""
    for resource in resources:
        package, _, rest = resource["type"].partition(":")
        version, _, kind = rest.partition(":")
        if package == "kubernetes" and resource.get("id") and "/" in version:
            yield resource["urn"], version.removeprefix("core/"), kind, resource["id"]


def _one(dynamic: DynamicClient, api_version: str, kind: str, name: str) -> str:
    namespace, _, name = name.rpartition("/")
    try:
        resource = dynamic.resources.get(api_version=api_version, kind=kind)
        return _hash(essence(resource.get(name=name, namespace=namespace or None).to_dict()))
    except (NotFoundError, ResourceNotFoundError):
        return GONE


def essence(live: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people and programs decide of an object: without its status and what the cluster counts."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _OF_THE_CLUSTER}
    annotations = metadata.get("annotations") or {}
    metadata["annotations"] = {
        key: value for key, value in annotations.items() if key != "deployment.kubernetes.io/revision"
    }
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def _headscale() -> object:
    """Return what the stack cares for in Headscale; None while it does not answer."""
    try:
        with peer.headscale(PKI.ca.read_text()) as server:
            nodes = server.nodes()
            keys = server.api_keys()
    except (HeadscaleError, StepError):
        return None
    return {
        "nodes": sorted([one.id, one.given_name, one.node_key, *sorted(one.approved_routes)] for one in nodes),
        "keys": sorted([one.prefix, str(one.expiration)] for one in keys),
    }


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
