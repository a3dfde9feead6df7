"""The pods of a stack, and whether what `pod` says of them can work: of each alone, and of the whole stack."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.settings import resources
from infra.settings.pod import PodSettings

if TYPE_CHECKING:
    from infra.settings.gateway import GatewaySettings
    from infra.settings.stack import StackSettings


@dataclass(frozen=True)
class _Pod:
    place: str
    """Where its own settings stand."""
    own: PodSettings
    containers: tuple[str, ...]
    capacity: int = 0


def problems(settings: "StackSettings") -> Iterator[str]:
    """What cannot work, one sentence each."""
    pods = tuple(_pods(settings))
    if settings.pod.model_fields_set and not pods:
        yield "pod is set, but nothing of this stack runs in the cluster; leave it out"
    there = {container for pod in pods for container in pod.containers}
    yield from _without_effect("pod", settings.pod, there, "this stack")
    for pod in pods:
        yield from _without_effect(pod.place, pod.own, set(pod.containers), "this pod")
        given = settings.pod.changed_by(pod.own).resources
        place = pod.place if "resources" in pod.own.model_fields_set else "pod"
        for container in pod.containers:
            for problem in resources.problems(container, pod.capacity, given.of(container)):
                yield f"{place}.resources.{container}: {problem}"


def _pods(settings: "StackSettings") -> Iterator[_Pod]:
    if settings.headscale and settings.headscale.managed:
        yield _Pod("headscale.pod", settings.headscale.pod, ("headscale",))
    if "mesh" in settings.access:
        yield _Pod("mesh_clients.pod", settings.clients.pod, ("keys",))
    for index, gateway in enumerate(settings.gateways):
        if gateway.target == "kubernetes":
            containers = _containers(gateway, in_mesh=settings.mesh(gateway) is not None)
            yield _Pod(f"gateways[{index}].pod", gateway.pod, containers, gateway.capacity)


def _containers(gateway: "GatewaySettings", *, in_mesh: bool) -> tuple[str, ...]:
    return (*(["tailscale"] if in_mesh else []), *gateway.access, "agent")


def _without_effect(place: str, pod: PodSettings, there: set[str], whose: str) -> Iterator[str]:
    if others := sorted(pod.resources.model_fields_set - there):
        yield (
            f"{place}.resources names {', '.join(others)}, and {whose} has no such container; "
            f"there are {', '.join(sorted(there))}"
        )
