"""ExistingNamespace: a namespace of somebody else's, looked at and left alone."""

from typing import Any

import pytest

from infra.kubernetes.client import ClusterError, ClusterUnavailableError
from infra.resources.base import ResourceError
from infra.resources.existing_namespace import ExistingNamespaceProvider, standard_for
from infra.settings.loading import checked
from infra.settings.stack import StackSettings
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import Connect, FakeConnections

INPUTS: dict[str, Any] = {"namespace": "june", "standard": "privileged"}
PATH = "/api/v1/namespaces/june"
ENFORCED = "pod-security.kubernetes.io/enforce"


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.labelled[PATH] = {"kubernetes.io/metadata.name": "june"}
    return cluster


@pytest.fixture
def provider(connect: Connect) -> ExistingNamespaceProvider:
    return connect(ExistingNamespaceProvider)


def refusal(provider: ExistingNamespaceProvider, **inputs: str) -> str:
    (failure,) = provider.check({}, INPUTS | inputs).failures
    return failure.reason


def test_its_whole_life_changes_nothing(provider: ExistingNamespaceProvider, cluster: FakeCluster) -> None:
    before = dict(cluster.labelled[PATH])
    assert not provider.check({}, dict(INPUTS)).failures
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert provider.read(made.id, made.outs).outs == made.outs
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes
    news = INPUTS | {"standard": "restricted"}
    assert provider.diff(made.id, made.outs, news).replaces == []
    assert provider.update(made.id, made.outs, news).outs == news
    provider.delete(made.id, made.outs)
    assert cluster.labelled == {PATH: before}


def test_one_that_is_not_there_is_refused(provider: ExistingNamespaceProvider, cluster: FakeCluster) -> None:
    del cluster.labelled[PATH]
    assert refusal(provider) == (
        "Namespace june does not exist; make it (`kubectl create namespace june`), or leave `create_namespace` out, so "
        "that the stack makes it."
    )
    assert provider.read("june", INPUTS).id == "", "so that the next preview refuses it"


@pytest.mark.parametrize(
    ("enforced", "standard", "refused"),
    [
        ("", "privileged", False),
        ("privileged", "privileged", False),
        ("baseline", "privileged", True),
        ("restricted", "baseline", True),
        ("baseline", "restricted", False),
        ("restricted", "restricted", False),
    ],
)
def test_its_pod_security_label_must_let_the_pods_in(
    provider: ExistingNamespaceProvider, cluster: FakeCluster, enforced: str, standard: str, refused: bool
) -> None:
    if enforced:
        cluster.labelled[PATH][ENFORCED] = enforced
    if not refused:
        assert not provider.check({}, INPUTS | {"standard": standard}).failures
        return
    assert refusal(provider, standard=standard) == (
        f"Namespace june does not let the stack's pods in: its label {ENFORCED} is {enforced}, and they need "
        f"{standard}; `kubectl label --overwrite namespace june {ENFORCED}={standard}` allows them, or set `namespace` "
        "to another one."
    )


def test_one_that_a_stack_made_is_refused(provider: ExistingNamespaceProvider, cluster: FakeCluster) -> None:
    """Of another stack, whose destroy would take ours along, or of this one, which would delete it now."""
    cluster.labelled[PATH]["meshgate/stack"] = "1b" * 16
    assert refusal(provider) == (
        "Namespace june was made by a stack and goes with it, as its label meshgate/stack says; if it is this stack, "
        "leave `create_namespace` out; if not, set `namespace` to another one."
    )


def test_who_may_not_look_at_it_may_work_in_it(
    provider: ExistingNamespaceProvider, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise ClusterError(f"The cluster refuses GET {path} (403): forbidden")

    monkeypatch.setattr(cluster, "labels", refuse)
    assert not provider.check({}, dict(INPUTS)).failures
    assert provider.read("june", INPUTS).id == "june"


def test_a_cluster_that_is_away_is_told(
    provider: ExistingNamespaceProvider, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_: str) -> None:
        raise ClusterUnavailableError("There is no cluster.")

    monkeypatch.setattr(cluster, "labels", unavailable)
    with pytest.raises(ResourceError, match=r"There is no cluster\."):
        provider.check({}, dict(INPUTS))


def test_preview_without_changes_asks_no_cluster(
    provider: ExistingNamespaceProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    monkeypatch.setattr(FakeConnections, "cluster", None)
    assert not provider.check(made.outs, dict(INPUTS)).failures


SERVER = {"url": "https://headscale.example.com"}
KEY = {"headscale_api_key": "a-key"}


@pytest.mark.parametrize(
    ("settings", "standard"),
    [
        ({"gateways": [{"name": "one", "endpoint": "vpn.example.com:31820"}]}, "privileged"),
        ({"headscale": SERVER | {"managed": True}, "access": ["mesh"]}, "baseline"),
        ({"headscale": SERVER | {"managed": False}, **KEY, "access": ["mesh"]}, "restricted"),
    ],
    ids=["a gateway", "a Headscale", "the key service alone"],
)
def test_a_stack_asks_for_no_more_than_its_pods_need(settings: dict[str, Any], standard: str) -> None:
    assert standard_for(checked(StackSettings, settings)) == standard
