"""The rules over a plan: what it leaves, what it takes away, and what a terminal shows of it."""

import pytest

from console.project import LAB
from policy.declared import DeclaredResource, DeclaredStack
from policy.violations import violations
from tests.unit.policy.objects import container, deployment, resource

KEY = resource("pulumi-python:dynamic/meshgate:WireGuardKey", "key", {"rotation": "2"}, protect=True)
KEPT, MAY_LOSE, SILENT = (DeclaredStack("prod", protect) for protect in (True, False, None))


def test_a_plan_that_breaks_none() -> None:
    staying: list[DeclaredResource] = [KEY, deployment()]
    assert violations(staying, [("same", KEY), ("create", deployment())], KEPT) == []
    assert violations([], [], SILENT) == []


@pytest.mark.parametrize(("operation", "done"), [("replace", "replaced"), ("delete", "deleted")])
def test_a_key_that_goes(operation: str, done: str) -> None:
    (found,) = violations([], [(operation, KEY)], KEPT)
    assert str(found) == (
        f"nothing-lost: WireGuardKey key: it would be {done}. It is the gateway's private key: every client's config "
        "names its public key, and a new one makes them all useless. Set `protect: false` to allow that."
    )
    assert violations([], [(operation, KEY)], MAY_LOSE) == []


def test_the_steps_of_a_replacement_are_told_once() -> None:
    steps = [(operation, KEY) for operation in ("create-replacement", "replace", "delete-replaced")]
    assert len(violations([KEY], steps, KEPT)) == 1


def test_what_goes_is_held_to_no_other_rule() -> None:
    privileged = deployment(container(securityContext={}))
    assert violations([], [("delete", privileged)], KEPT) == []
    assert {found.rule for found in violations([privileged], [("create", privileged)], KEPT)} == {"nothing-privileged"}


def test_a_stack_that_does_not_say() -> None:
    unprotected = resource("kubernetes:core/v1:PersistentVolumeClaim", "state", {})
    (found,) = violations([unprotected], [("create", unprotected)], SILENT)
    assert "set `protect: true`, or `protect: false` to allow that." in found.sentence


def test_the_lab_is_told_by_its_name() -> None:
    one = deployment(container(image="meshgate/gateway:0.1.0"))
    assert [found.rule for found in violations([one], [], KEPT)] == ["image-by-digest"]
    assert violations([one], [], DeclaredStack(LAB)) == []
