"""Whose an object is, by its labels, and what is said when it is somebody else's."""

from typing import Any

import pytest

from infra.kubernetes.ownership import ForeignObjectError, path, refuse_foreign
from tests.unit.resources.fake_cluster import FakeCluster

OWN, OTHER = "1b" * 16, "5a" * 16
STACKS = {"app.kubernetes.io/part-of": "meshgate", "app.kubernetes.io/instance": "one"}


def wanted(kind: str = "Deployment", api_version: str = "apps/v1", name: str = "headscale") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "theirs"}}


def refused(labels: dict[str, str], *, namespace: str = "theirs") -> str:
    cluster = FakeCluster()
    cluster.labelled[path(wanted())] = labels
    with pytest.raises(ForeignObjectError) as raised:
        refuse_foreign(cluster, wanted(), "prod", {OWN, None}, namespace)
    return str(raised.value)


@pytest.mark.parametrize(
    ("kind", "api_version", "where"),
    [
        ("Secret", "v1", "/api/v1/namespaces/theirs/secrets/headscale"),
        ("PersistentVolumeClaim", "v1", "/api/v1/namespaces/theirs/persistentvolumeclaims/headscale"),
        ("Deployment", "apps/v1", "/apis/apps/v1/namespaces/theirs/deployments/headscale"),
        (
            "NetworkPolicy",
            "networking.k8s.io/v1",
            "/apis/networking.k8s.io/v1/namespaces/theirs/networkpolicies/headscale",
        ),
        ("Ingress", "networking.k8s.io/v1", "/apis/networking.k8s.io/v1/namespaces/theirs/ingresses/headscale"),
        (
            "PrometheusRule",
            "monitoring.coreos.com/v1",
            "/apis/monitoring.coreos.com/v1/namespaces/theirs/prometheusrules/headscale",
        ),
    ],
)
def test_an_object_is_looked_for_where_the_api_has_it(kind: str, api_version: str, where: str) -> None:
    assert path(wanted(kind, api_version)) == where


def test_a_namespace_is_in_none() -> None:
    assert path({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "june"}}) == "/api/v1/namespaces/june"


@pytest.mark.parametrize("owner", [OWN, "prod"], ids=["of this state", "handed over"])
def test_what_is_ours_is_taken(owner: str) -> None:
    cluster = FakeCluster()
    refuse_foreign(cluster, wanted(), "prod", {OWN}, "theirs")
    cluster.labelled[path(wanted())] = {"meshgate/stack": owner}
    refuse_foreign(cluster, wanted(), "prod", {OWN}, "theirs")


def test_an_object_of_others_in_a_namespace_of_theirs_is_refused() -> None:
    """As June's own Deployment `headscale`, where a managed Headscale would be."""
    assert refused({"app": "headscale"}) == (
        "Deployment theirs/headscale exists and is not this stack's, whose `pulumi destroy` would delete it; set "
        "`namespace` to another one, remove it, or hand it over: "
        "`kubectl label --overwrite -n theirs deployment headscale meshgate/stack=prod`."
    )


def test_another_namespace_is_no_way_where_it_is_not_the_stacks() -> None:
    assert "would delete it; remove it, or hand it over" in refused({}, namespace="ours")


@pytest.mark.parametrize("instance", ["one", "prod"], ids=["a gateway", "a gateway of the stack's name"])
def test_two_stacks_in_one_namespace_do_not_take_each_others_objects(instance: str) -> None:
    labels = STACKS | {"app.kubernetes.io/instance": instance, "meshgate/stack": OTHER}
    assert refused(labels) == (
        "Deployment theirs/headscale is of another stack, or of another state of this one: set `namespace` to another "
        f"one, or, if that state is lost, take all of it over with its keys: `pulumi config set recover {OTHER}`."
    )
