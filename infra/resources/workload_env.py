"""WorkloadEnv: environment variables that we add to a container of somebody else's Deployment.

They are set by server-side apply under a field manager of our own. So Kubernetes knows which names are ours, and leaves
the others to whoever set them. The official plugin's DeploymentPatch cannot do this: it compares env entries by their
position in the live list, and every preview shows a change.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from pulumi import Input, Output, ResourceOptions, contains_unknowns
from pulumi.dynamic import CheckResult, Resource
from typing_extensions import override

from infra.kubernetes import container_env, rollout
from infra.kubernetes.client import FIELD_MANAGER, ClusterUnavailableError, KubernetesClient
from infra.resources.base import Props, Provider, ResourceError, log
from infra.resources.connections import Connections


class SecretKey(TypedDict):
    """A variable whose value is a key of a Secret in the Deployment's namespace."""

    secret: Input[str]
    key: Input[str]


_TARGET = ("namespace", "deployment", "container")


class WorkloadEnvProvider(Provider):
    """Adds the names, keeps to them, gives them back. Waits each time until the change is rolled out."""

    INPUTS = (*_TARGET, "manager", "values", "secrets")
    REPLACING = (*_TARGET, "manager")

    @override
    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Take names without a value out first: from here on they are none of the inputs."""
        return super().check(_olds, news | {kind: _given(news[kind]) for kind in ("values", "secrets")})

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """What is not there, paused, or set by others: told before anything is made, when it can be known."""
        changed = {name for name in self.INPUTS if news.get(name) != olds.get(name)}
        if not changed or contains_unknowns([news.get(name) for name in _TARGET]):
            return
        try:
            found = connections.cluster.deployment(news["namespace"], news["deployment"])
        except ClusterUnavailableError:  # a preview may come before the cluster
            return
        lacks = list(_lacks(found, news))
        yield from lacks
        if found is None or lacks:
            return
        yield from _paused(found, news)
        if not news["force"]:
            ours = set() if changed.intersection(_TARGET) else set(_wanted(olds))
            yield from _taken(found, news, ours)

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Add the names; take them back when the Deployment does not come up with them."""
        _apply(connections.cluster, props, ours=set())
        try:
            _settle(connections.cluster, props)
        except ResourceError:
            _give_back(connections.cluster, props)
            raise
        return "/".join((props["namespace"], props["deployment"], props["container"], props["manager"])), {}

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """The values as they are now; gone with the Deployment or container."""
        found = connections.cluster.deployment(props["namespace"], props["deployment"])
        if found is None or any(_lacks(found, props)):
            return None
        wanted = _wanted(props)
        there = container_env.variables(found, props["container"])
        live = {name: value for name, value in there.items() if name in wanted}
        return {
            "values": {name: value for name, value in live.items() if isinstance(value, str)},
            "secrets": {name: value for name, value in live.items() if not isinstance(value, str)},
        }

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Set the values, whoever changed them meanwhile; give back names that are no longer ours."""
        _apply(connections.cluster, news, ours=set(_wanted(olds)))
        _settle(connections.cluster, news)
        return {}

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Give the names back. What becomes of the Deployment then is its owner's: it delays nothing."""
        found = connections.cluster.deployment(props["namespace"], props["deployment"])
        if found is None:
            return
        if _give_back(connections.cluster, props) == found["metadata"]["generation"]:
            return
        where = f"{props['namespace']}/{props['deployment']}"
        if why := _unfinished(connections.cluster, props):
            log.warning("Deployment %s has its env back but is not rolled out: %s.", where, why)


def _apply(cluster: KubernetesClient, props: Props, ours: set[str]) -> None:
    found = cluster.deployment(props["namespace"], props["deployment"])
    for _, sentence in _lacks(found, props):
        raise ResourceError(sentence)
    if found is None:
        return
    for _, sentence in _paused(found, props):
        raise ResourceError(sentence)
    if not props["force"]:
        for _, sentence in _taken(found, props, ours):
            raise ResourceError(sentence)
    if not (wanted := _wanted(props)):
        _give_back(cluster, props)
        return
    entries = [container_env.entry(name, value) for name, value in sorted(wanted.items())]
    container = {"name": props["container"], "env": entries}
    _send(cluster, props, {"template": {"spec": {"containers": [container]}}})


def _give_back(cluster: KubernetesClient, props: Props) -> int:
    return _send(cluster, props, {})


def _send(cluster: KubernetesClient, props: Props, spec: Mapping[str, Any]) -> int:
    """Server-side apply; returns the Deployment's generation after it."""
    applied = cluster.apply_deployment(props["namespace"], props["deployment"], spec, props["manager"])
    return int(applied["metadata"]["generation"])


def _settle(cluster: KubernetesClient, props: Props) -> None:
    if why := _unfinished(cluster, props):
        where, seconds = f"{props['namespace']}/{props['deployment']}", props["deadline_seconds"]
        raise ResourceError(f"Deployment {where} is not rolled out with its new env after {seconds:.0f} s: {why}.")


def _unfinished(cluster: KubernetesClient, props: Props) -> str:
    return rollout.wait(cluster, props["namespace"], props["deployment"], props["deadline_seconds"])


def _lacks(found: dict[str, Any] | None, props: Props) -> Iterator[tuple[str, str]]:
    where = f"{props['namespace']}/{props['deployment']}"
    if found is None:
        yield (
            "deployment",
            f"Deployment {where} does not exist; set orchestrator.namespace and orchestrator.deployment to the one "
            "that hands out WireGuard configs, or leave `orchestrator` out.",
        )
        return
    names = [container["name"] for container in found["spec"]["template"]["spec"]["containers"]]
    if props["container"] not in names:
        yield (
            "container",
            f"Deployment {where} has no container {props['container']!r} but {', '.join(names)}; "
            "set orchestrator.container to one of them.",
        )


def _paused(found: dict[str, Any], props: Props) -> Iterator[tuple[str, str]]:
    if rollout.is_paused(found):
        namespace, name = props["namespace"], props["deployment"]
        yield (
            "",
            f"Deployment {namespace}/{name} is paused, so no pod would get the new env; "
            f"`kubectl -n {namespace} rollout resume deployment {name}` lets it go on.",
        )


def _taken(found: dict[str, Any], props: Props, ours: set[str]) -> Iterator[tuple[str, str]]:
    live = container_env.variables(found, props["container"])
    # A killed run may have set names without coming to tell Pulumi.
    ours = ours | container_env.set_by(found, props["container"], props["manager"])
    wanted = _wanted(props).items()
    taken = [name for name, value in wanted if name not in ours and live.get(name, value) != value]
    if taken:
        yield (
            "",
            f"Container {props['container']} of Deployment {props['namespace']}/{props['deployment']} already has "
            f"{', '.join(sorted(taken))} with another value, set by somebody else; remove it there (its chart or "
            "manifest), so that it can be set here.",
        )


def _given(variables: object) -> object:
    """The variables that have a value; all, while in a preview nobody knows which there are."""
    if not isinstance(variables, Mapping):
        return variables
    return {name: value for name, value in variables.items() if value != "" and not _lacks_key(value)}


def _lacks_key(value: object) -> bool:
    return isinstance(value, Mapping) and value["key"] == ""


def _wanted(props: Props) -> dict[str, Any]:
    """Both kinds of variables, but for a kind that a preview knows nothing of."""
    kinds = (props["values"], props["secrets"])
    return {name: value for kind in kinds if isinstance(kind, Mapping) for name, value in kind.items()}


class WorkloadEnv(Resource, module="meshgate", name="WorkloadEnv"):
    """Variables of a container, owned by field manager `manager`; every other variable is left alone.

    `values` maps names to values, `secrets` names to keys of Secrets; a name whose value or key is empty is left out.
    A name that somebody else has set to another value is refused unless `force`. `deadline_seconds` is how long the
    Deployment may take to roll out.
    """

    values: Output[dict[str, str]]
    secrets: Output[dict[str, dict[str, str]]]

    def __init__(
        self,
        name: str,
        *,
        namespace: Input[str],
        deployment: Input[str],
        container: Input[str],
        values: Input[Mapping[str, Input[str]]],
        secrets: Input[Mapping[str, SecretKey]] | None = None,
        manager: Input[str] = FIELD_MANAGER,
        force: Input[bool] = False,
        deadline_seconds: Input[float] = 300,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "namespace": namespace,
            "deployment": deployment,
            "container": container,
            "values": values,
            "secrets": {} if secrets is None else secrets,
            "manager": manager,
            "force": force,
            "deadline_seconds": deadline_seconds,
        }
        super().__init__(WorkloadEnvProvider(), name, inputs, opts)
