"""What somebody changed by hand is found, and repaired by no more Pulumi than it takes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from console.errors import StepError
from lab import drift, lifecycle
from lab.mesh import june
from lab.pulumi.stack import Stack

SERVER = "urn:pulumi:lab::meshgate::kubernetes:apps/v1:Deployment::server"
LEFT = {SERVER: "1", drift.JUNE: "2", drift.HEADSCALE: "3", drift.PROGRAM: "4"}


class Recorded:
    """A stack that writes down what it is asked to do, and gives June's env when it does it from the truth."""

    log = None

    def __init__(self, *, lacking: bool = False, helps: bool = True) -> None:
        self.lacking, self.helps = lacking, helps
        self.asked: list[str] = []

    def refresh(self, urns: Sequence[str]) -> None:
        self.asked.append(f"refresh {' '.join(urn.rpartition('::')[2] for urn in urns)}")

    def up(self, tell: Callable[[str], object], *, refresh: bool = False) -> None:
        self.asked.append("up --refresh" if refresh else "up")
        self.lacking &= not (refresh and self.helps)


@pytest.fixture
def converge(monkeypatch: pytest.MonkeyPatch) -> Callable[..., drift.Seen]:
    def converge(stack: Recorded, now: drift.Seen, before: drift.Seen = LEFT) -> drift.Seen:
        monkeypatch.setattr(drift, "remembered", lambda: before)
        monkeypatch.setattr(drift, "look", lambda _: now)
        monkeypatch.setattr(june, "lacks", lambda: ["GATEWAY_PEERS_URL"] if stack.lacking else [])
        return lifecycle._converge(cast("Stack", stack))

    return converge


@pytest.mark.parametrize(
    ("now", "asked"),
    [
        (LEFT, []),
        (LEFT | {drift.PROGRAM: "new"}, ["up"]),
        (LEFT | {SERVER: drift.GONE}, ["refresh server", "up"]),
        (LEFT | {drift.JUNE: "new"}, ["up --refresh"]),
        (LEFT | {drift.HEADSCALE: "new"}, ["up --refresh"]),
        (LEFT | {SERVER: "new", drift.JUNE: "new"}, ["refresh server", "up --refresh"]),
        # A Headscale that is gone cannot be asked until `up` has made it anew.
        ({SERVER: drift.GONE, drift.JUNE: "2", drift.PROGRAM: "4"}, ["refresh server", "up"]),
    ],
)
def test_what_was_changed_is_looked_at_and_no_more(
    now: drift.Seen, asked: list[str], converge: Callable[..., drift.Seen]
) -> None:
    stack = Recorded()
    converge(stack, now)
    assert stack.asked == asked


def test_before_the_first_up_nothing_is_known(converge: Callable[..., drift.Seen]) -> None:
    stack = Recorded()
    converge(stack, LEFT, before={})
    assert stack.asked == ["up"]


def test_what_could_not_be_looked_at_is_looked_at_the_next_time(converge: Callable[..., drift.Seen]) -> None:
    assert converge(Recorded(), LEFT) == {}
    assert converge(Recorded(), {SERVER: "1", drift.JUNE: "2"}) == {drift.HEADSCALE: "3"}


def test_an_orchestrator_without_its_env_gets_it_whatever_was_remembered(converge: Callable[..., drift.Seen]) -> None:
    stack = Recorded(lacking=True)
    converge(stack, LEFT)
    assert stack.asked == ["up", "up --refresh"]


def test_no_success_without_it(converge: Callable[..., drift.Seen]) -> None:
    with pytest.raises(StepError, match="did not get GATEWAY_PEERS_URL"):
        converge(Recorded(lacking=True, helps=False), LEFT)


def test_objects_in_the_cluster_are_those_that_the_state_has() -> None:
    resources = [
        {"urn": "a", "type": "kubernetes:core/v1:Secret", "id": "meshgate/token"},
        {"urn": "b", "type": "kubernetes:apps/v1:Deployment", "id": "meshgate/server"},
        {"urn": "c", "type": "kubernetes:core/v1:Namespace", "id": "meshgate"},
        {"urn": "d", "type": "pulumi:providers:kubernetes", "id": "x"},
        {"urn": "e", "type": "pulumi-python:dynamic/meshgate:User", "id": "7"},
        {"urn": "f", "type": "meshgate:gateway:Gateway"},
    ]
    assert list(drift.of_state(resources)) == [
        ("a", "v1", "Secret", "meshgate/token"),
        ("b", "apps/v1", "Deployment", "meshgate/server"),
        ("c", "v1", "Namespace", "meshgate"),
    ]


def test_what_the_cluster_itself_counts_is_no_change() -> None:
    def live(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
        metadata = {"name": "a", "resourceVersion": "1", "annotations": {"deployment.kubernetes.io/revision": "1"}}
        return {"kind": "Deployment", "metadata": metadata | changes, "spec": {"replicas": 1}, "status": changes}

    assert drift.essence(live()) == drift.essence(live(resourceVersion="2", generation=3, managedFields=[{}]))
    assert drift.essence(live()) == drift.essence(live(annotations={"deployment.kubernetes.io/revision": "2"}))
    assert drift.essence(live()) != drift.essence(live(labels={"by": "hand"}))
    assert drift.essence(live()) != drift.essence(live() | {"spec": {"replicas": 2}})


def test_what_an_up_left_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "FILE", tmp_path / "left.json")
    assert drift.remembered() == {}
    drift.remember(LEFT)
    assert drift.remembered() == LEFT
