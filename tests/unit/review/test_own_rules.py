"""Meshgate's own rules over what the engine told: which values they are shown, and what the review says then."""

import json
from pathlib import Path
from typing import Any

import pytest

from review import events, own_rules, preview
from review.report import Report, Verdict
from tests.unit.policy.objects import container, deployment
from tests.unit.review.test_events import SECRET, state

KEY, DEPLOYMENT = "pulumi-python:dynamic/meshgate:WireGuardKey", "kubernetes:apps/v1:Deployment"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SUMMARY = '{"summaryEvent": {}}'


def settings(**values: str) -> str:
    return json.dumps({"preludeEvent": {"config": {f"meshgate:{name}": value for name, value in values.items()}}})


def step(op: str, type_: str, old: object = None, new: object = None) -> str:
    urn = f"urn:pulumi:prod::meshgate::{type_}::one"
    return json.dumps({"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": type_, "old": old, "new": new}}})


def pod(**changes: Any) -> str:  # noqa: ANN401
    return step("create", DEPLOYMENT, new=state(dict(deployment(container(**changes)).props)))


def broken(*printed: str, environment: str = "prod") -> list[str]:
    return list(own_rules.broken(environment, events.read("\n".join(printed))))


def test_an_image_by_tag() -> None:
    assert broken(pod(image="acme/gateway:1")) == [
        "image-by-digest: Deployment one: image acme/gateway:1 of container agent has no digest; "
        "write acme/gateway:1@sha256:…"
    ]
    assert broken(pod(image="acme/gateway:1"), environment="lab") == []


def test_what_is_not_known_yet_breaks_none() -> None:
    assert broken(pod(image=UNKNOWN)) == []


def test_a_secret_in_plain_text() -> None:
    (sentence,) = broken(pod(command=["run", SECRET]))
    assert sentence.startswith("no-plain-secret: Deployment one: the command of container agent is a secret")


@pytest.mark.parametrize("steps", [("replace",), ("create-replacement", "replace", "delete-replaced"), ("delete",)])
def test_what_is_taken_away(steps: tuple[str, ...]) -> None:
    kept = state() | {"protect": True}
    told = [
        step(op, KEY, None if op == "create-replacement" else kept, None if "delete" in op else kept) for op in steps
    ]
    (sentence,) = broken(settings(protect="true"), *told)
    assert sentence.startswith("nothing-lost: WireGuardKey one: it would be ")
    assert broken(settings(protect="false"), *told) == []


def test_a_stack_says_itself_what_it_may_lose() -> None:
    new = state()
    assert "set `protect: true`, or `protect: false`" in broken(step("create", KEY, new=new))[0]
    assert broken(settings(protect="true"), step("create", KEY, new=new | {"protect": True})) == []
    assert broken(settings(protect="false"), step("create", KEY, new=new)) == []


def review(tmp_path: Path, *printed: str, packs: tuple[Path, ...] = (own_rules.PACK,)) -> Report:
    """Of a Pulumi that prints events, and fails when it is to start a policy pack."""
    said = tmp_path / "said.jsonl"
    said.write_text("\n".join(printed) + "\n")
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\ncat "{said}"\ncase "$*" in *--policy-pack*) exit 1;; esac\n')
    program.chmod(0o755)
    return preview.preview("prod", tmp_path, {}, preview.Options(policy_packs=packs))


def test_a_review_asks_them_without_starting_their_pack(tmp_path: Path) -> None:
    report = review(tmp_path, pod(image="acme/gateway:1"), SUMMARY)
    assert report.verdict == Verdict.FAILED
    assert report.errors[0].startswith("image-by-digest: Deployment one: image acme/gateway:1")
    assert [change.kind for change in report.changes] == ["Deployment"]
    assert review(tmp_path, pod(image="acme/gateway:1"), SUMMARY, packs=()).verdict == Verdict.CHANGES


def test_a_pack_of_somebody_else_is_started(tmp_path: Path) -> None:
    assert review(tmp_path, SUMMARY, packs=(tmp_path,)).verdict == Verdict.FAILED
