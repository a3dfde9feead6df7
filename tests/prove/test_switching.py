"""A stack that is switched from each way in to each other one, and back, is what it was each time."""

import json
import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from lab.cluster import kube
from lab.mesh import june
from lab.pulumi.stack import Stack
from tests.e2e import every_way, lab_world
from tests.prove.figures import show

pytestmark = pytest.mark.timeout(1800)

ROUND = (
    *("mesh", "wireguard", "mesh", "openvpn", "mesh", "ipsec", "wireguard"),
    *("openvpn", "wireguard", "ipsec", "openvpn", "ipsec", "mesh"),
)
"""Each of the twelve changes from one way to another, once."""
KINDS = "deployments,services,configmaps,secrets,persistentvolumeclaims,networkpolicies,serviceaccounts"
USERS = (f"meshgate-{every_way.NAME}", f"meshgate-{every_way.NAME}-devices")


@pytest.fixture
def ways(stack: Stack) -> Iterator[Stack]:
    with every_way.running(stack) as ways:
        yield ways


def test_each_change_leaves_nothing_behind(stack: Stack, ways: Stack) -> None:
    seen: dict[str, dict[str, Any]] = {}
    seconds: dict[str, list[float]] = {}
    for way in ROUND:
        seconds.setdefault(way, []).append(every_way.offer(ways, stack, way))
        found = everything(ways)
        assert found == seen.setdefault(way, found), way
    show(f"{len(ROUND) - 1} changes from one way in to another: each way is the same each time")
    means = (f"{way} {statistics.mean(each):.0f} s" for way, each in seconds.items())
    show(f"`pulumi up` until the way is there: {', '.join(means)}")


def everything(ways: Stack) -> dict[str, Any]:
    """What is there of the stack: in its state, in the cluster, in Headscale, in the orchestrator's env."""
    objects = json.loads(kube.kubectl("get", KINDS, "-n", every_way.NAMESPACE, "-o", "json"))["items"]
    with lab_world.headscale() as headscale:
        users = [name for name in USERS if has_user(headscale, name)]
        nodes = [node.given_name for node in headscale.nodes() if every_way.NAME in node.given_name]
    return {
        "state": sorted(resource["urn"] for resource in ways.resources()),
        "cluster": sorted((one["kind"], one["metadata"]["name"]) for one in objects),
        "users": users,
        "nodes": sorted(nodes),
        "env": sorted(kube.environment(every_way.JUNE, june.DEPLOYMENT)),
    }


def has_user(headscale: Headscale, name: str) -> bool:
    try:
        headscale.user(name)
    except NotFoundError:
        return False
    return True
