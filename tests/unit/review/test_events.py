"""What is read of the engine's events, besides what the recordings show."""

import json
from typing import Any

from review import changes, events
from review.values import Mark
from review.verdict import Verdict, report

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
STACK = "urn:pulumi:prod::meshgate::pulumi:pulumi:Stack::meshgate-prod"


def step(op: str, type_: str, name: str, old: object = None, new: object = None, **more: Any) -> str:  # noqa: ANN401
    metadata = {"op": op, "urn": f"urn:pulumi:prod::meshgate::{type_}::{name}", "type": type_, "old": old, "new": new}
    return json.dumps({"resourcePreEvent": {"metadata": metadata | more}})


def state(inputs: object = None, *, custom: bool = True) -> dict[str, object]:
    return {"custom": custom, "parent": STACK, "inputs": inputs or {}, "outputs": inputs or {}}


def changed(*printed: str) -> tuple[changes.Change, ...]:
    return changes.changes(events.read("\n".join(printed)))


def test_a_kubernetes_secret_shows_nothing_but_its_name_though_its_provider_marked_nothing() -> None:
    inputs = {"data": {"a": "clear"}, "stringData": {"b": "clear"}, "more": "clear", "type": "Opaque"}
    annotated = {"metadata": {"name": "s", "annotations": {"kubectl/last-applied": "clear"}}}
    detailed = {path: {"inputDiff": True} for path in ("data.a", "metadata.annotations", "metadata.name", "type")}
    (made,) = changed(step("update", "kubernetes:core/v1:Secret", "s", new=state(inputs | annotated)))
    assert "clear" not in str(made)
    (made,) = changed(
        step(
            "update", "kubernetes:core/v1:Secret", "s", state(inputs), state(inputs | annotated), detailedDiff=detailed
        )
    )
    assert "clear" not in str(made)
    assert {field.path: field.new for field in made.fields} == {
        "data.a": Mark.SECRET,
        "metadata.annotations": Mark.SECRET,
        "metadata.name": "s",
        "type": "Opaque",
    }


def test_a_providers_kubeconfig_is_not_shown() -> None:
    old, new = (state({"kubeconfig": text}) for text in ("a whole file", "another whole file"))
    (made,) = changed(step("update", "pulumi:providers:kubernetes", "kubernetes", old, new))
    assert made.kind == "Provider"
    assert "whole file" not in str(made)


def test_components_and_the_steps_of_a_replacement_are_no_changes() -> None:
    token = "pulumi-python:dynamic/meshgate:Token"
    (made,) = changed(
        step("create", "meshgate:access:Gateway", "one", new=state(custom=False)),
        step("create-replacement", token, "t", state(), state()),
        step("replace", token, "t", state({"rotation": "a"}), state({"rotation": "b"}), keys=["rotation"]),
        step("delete-replaced", token, "t", state()),
        step("same", token, "other", state(), state()),
    )
    assert (made.op, made.kind, made.name) == ("replace", "Token", "t")
    assert made.reasons == made.fields == (changes.Field("rotation", "a", "b"),)


def test_a_reason_of_which_only_the_name_is_known_is_told_all_the_same() -> None:
    (made,) = changed(step("replace", "x:y:Z", "z", state(), state(), keys=["id"]))
    assert made.reasons == (changes.Field("id", Mark.MISSING, Mark.MISSING),)


def test_debug_messages_and_progress_are_not_told() -> None:
    printed = [
        json.dumps({"diagnosticEvent": {"message": "a secret", "severity": severity, "ephemeral": ephemeral}})
        for severity, ephemeral in (("debug", False), ("info", False), ("error", True), ("warning", True))
    ]
    assert events.read("\n".join(printed)) == events.Preview()


def test_what_is_no_event_is_what_was_said() -> None:
    assert events.read('{"a": [\nerror: no stack\n').said == '{"a": [\nerror: no stack'


def test_an_event_that_cannot_be_read_is_an_error() -> None:
    """Of a Pulumi to come, say: without it the comment would tell less than the truth."""
    printed = '{"resourcePreEvent": {"metadata": {"op": "delete"}}}\n[1]\n'
    first, second = events.read(printed).errors
    assert first == "An event of Pulumi's cannot be read (resourcePreEvent.metadata.urn: Field required)."
    assert second.startswith("An event of Pulumi's cannot be read (its form: ")


def test_what_makes_configs_useless_is_a_danger_though_nothing_is_replaced() -> None:
    configs = "pulumi-python:dynamic/meshgate:ClientConfigs"
    before: dict[str, object] = {"gateways": {"one": 1}}
    after: dict[str, object] = {"gateways": {"one": 2}}
    summary = json.dumps({"summaryEvent": {}})

    def told(new: dict[str, object]) -> tuple[Verdict, tuple[str, ...]]:
        printed = f"{step('update', configs, 'client-configs', state(before), state(new))}\n{summary}"
        found = report("prod", events.read(printed), ended_well=True)
        return found.verdict, found.losses

    assert told(after | {"lost": ["It is lost."]}) == (Verdict.DANGER, ("It is lost.",))
    assert told(after) == (Verdict.CHANGES, ())
