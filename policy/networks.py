"""Client networks lie outside of the mesh's, and each is of one gateway. Else answers go astray, or are dropped."""

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from infra.settings.value_types import MESH_NETWORKS, IPNetwork
from policy.declared import DeclaredResource, DeclaredStack, at, containers, environment

GATEWAY = "meshgate:access:Gateway"
_INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class ClientNetwork:
    """A pool of addresses, the gateway that gives them out, and the resource that says so."""

    network: IPNetwork
    gateway: str
    resource: DeclaredResource


def networks(resources: Sequence[DeclaredResource], _: DeclaredStack) -> Iterator[tuple[DeclaredResource, str]]:
    """Pools inside the mesh, and those of two gateways that share addresses."""
    found = list(_client_networks(resources))
    for one in found:
        for mesh in MESH_NETWORKS:
            if _overlap(one.network, mesh):
                yield (
                    one.resource,
                    f"client network {one.network} of gateway {one.gateway} lies inside the mesh's {mesh}, whose "
                    "addresses tailscaled drops; use for example 10.77.0.0/16.",
                )
    for one, other in itertools.combinations(found, 2):
        if one.gateway != other.gateway and _overlap(one.network, other.network):
            yield (
                other.resource,
                f"client network {other.network} of gateway {other.gateway} overlaps {one.network} of gateway "
                f"{one.gateway}; give each gateway addresses of its own.",
            )


def _client_networks(resources: Sequence[DeclaredResource]) -> Iterator[ClientNetwork]:
    """The networks that the agents in pods are told. The components of gateways elsewhere tell their own."""
    in_pods = set()
    for resource in resources:
        gateway = at(resource.props, "metadata", "labels", _INSTANCE) or resource.name
        for container in containers(resource):
            if listed := environment(container).get("MESHGATE_CLIENT_NETWORKS"):
                in_pods.add(gateway)
                yield from _parsed(listed.split(","), gateway, resource)
    for resource in resources:
        if resource.type == GATEWAY and resource.name not in in_pods:
            yield from _parsed(at(resource.props, "client_networks") or [], resource.name, resource)


def _parsed(texts: Sequence[str], gateway: str, resource: DeclaredResource) -> Iterator[ClientNetwork]:
    for text in texts:
        with suppress(ValueError):  # the agent refuses it itself
            yield ClientNetwork(ipaddress.ip_network(text), gateway, resource)


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)
