"""The rules over a preview's JSON: its steps, its settings, and what a terminal shows of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from policy.declared import Resource
from policy.preview import violations
from tests.unit.policy.objects import container, deployment, resource

ROOT = Path(__file__).parents[3]
KEY = resource("pulumi-python:dynamic/meshgate:WireGuardKey", "key", {"rotation": "2"}, protect=True)


def step(operation: str, one: Resource) -> dict[str, Any]:
    state = {"urn": one.urn, "type": one.type, "inputs": one.props, "protect": one.protect}
    states = {"create": ("newState",), "delete": ("oldState",)}.get(operation, ("oldState", "newState"))
    return {"op": operation, "urn": one.urn} | dict.fromkeys(states, state)


def preview(*steps: dict[str, Any], **settings: str) -> dict[str, Any]:
    return {"config": {f"meshgate:{name}": value for name, value in settings.items()}, "steps": list(steps)}


def test_a_preview_that_breaks_none() -> None:
    steps = [step("same", KEY), step("create", deployment()), step("update", deployment())]
    assert violations(preview(*steps, protect="true")) == []


def test_nothing_to_look_at() -> None:
    assert violations({}) == []


def test_a_rotated_key() -> None:
    (found,) = violations(preview(step("replace", KEY), protect="true"))
    assert str(found) == (
        "nothing-lost: WireGuardKey key: it would be replaced. It is the gateway's private key: every client's config "
        "names its public key, and a new one makes them all useless. Set `protect: false` to allow that."
    )
    assert violations(preview(step("replace", KEY), protect="false")) == []


def test_a_removed_gateway_counts_no_more() -> None:
    privileged = deployment(container(securityContext={}))
    assert violations(preview(step("delete", privileged), protect="true")) == []
    assert {found.rule for found in violations(preview(step("create", privileged), protect="true"))} == {
        "nothing-privileged"
    }


def test_a_stack_that_does_not_say() -> None:
    unprotected = resource("kubernetes:core/v1:PersistentVolumeClaim", "state", {})
    (found,) = violations(preview(step("create", unprotected)))
    assert "set `protect: true`, or `protect: false` to allow that." in found.sentence


def test_the_lab_is_told_by_its_name() -> None:
    one = deployment(container(image="meshgate/gateway:0.1.0"))
    text = json.dumps(preview(step("create", one)))
    assert [found.rule for found in violations(json.loads(text))] == ["image-by-digest"]
    assert violations(json.loads(text.replace("pulumi:prod", "pulumi:lab"))) == []


def test_the_command_prints_a_line_for_each_and_fails() -> None:
    def check(document: dict[str, Any]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "policy.preview"],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    assert check(preview(step("same", KEY), protect="true")) == (0, "")
    code, said = check(preview(step("create", deployment(hostPID=True)), step("replace", KEY), protect="true"))
    assert code == 1
    assert [line.split(": ")[:2] for line in said.splitlines()] == [
        ["nothing-privileged", "Deployment gateway"],
        ["nothing-lost", "WireGuardKey key"],
    ]
