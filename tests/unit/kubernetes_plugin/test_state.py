"""What the state keeps of an object, and what a refresh makes of a drift."""

import copy
from typing import Any

import pytest

from lab.kubernetes_plugin import state
from lab.kubernetes_plugin.properties import Properties, Secret
from lab.kubernetes_plugin.quantities import parse_quantity
from tests.unit.kubernetes_plugin.recorded import config_map, deployment, keys

SERVER_SIDE = {"creationTimestamp": "2026-11-23T08:09:19Z", "resourceVersion": "884", "uid": "602cd435"}


def live(inputs: dict[str, Any]) -> dict[str, Any]:
    answered = copy.deepcopy(inputs)
    answered["metadata"] |= SERVER_SIDE
    return answered


def test_outputs_are_the_live_object_and_three_fields_of_our_own() -> None:
    inputs = config_map("1", name="fixed")
    assert state.outputs(inputs, live(inputs), manager="pulumi-kubernetes-e902e298") == {
        "__fieldManager": "pulumi-kubernetes-e902e298",
        "__initialApiVersion": "v1",
        "__inputs": inputs,
        **live(inputs),
    }


def test_a_secrets_data_is_secret_in_the_outputs_whatever_the_inputs_say() -> None:
    inputs = keys(data={"k": "czNjcjN0"})
    assert state.outputs(inputs, live(inputs), manager="m")["data"] == Secret({"k": "czNjcjN0"})


def test_a_dry_runs_status_is_left_out() -> None:
    inputs = config_map("1")
    assert "status" not in state.preview_outputs(inputs, {**live(inputs), "status": {}}, manager="m")


def test_schema_extensions_are_renamed_in_outputs_and_back_in_inputs() -> None:
    inputs = {"apiVersion": "v1", "schema": [{"x-kubernetes-preserve-unknown-fields": True}], "other-name": 1}
    outputs = state.outputs(inputs, inputs, manager="m")
    assert outputs["schema"] == [{"x_kubernetes_preserve_unknown_fields": True}]
    assert outputs["other-name"] == 1
    assert state.kept_inputs(outputs) == inputs


def test_without_a_drift_the_inputs_stay() -> None:
    inputs = deployment("1")
    answered = live(inputs)
    answered["spec"] |= {"progressDeadlineSeconds": 600}
    answered["spec"]["template"]["spec"]["containers"][0] |= {"terminationMessagePath": "/dev/termination-log"}
    assert state.inputs_from_live(answered, inputs) == inputs


def test_a_value_changed_by_hand_is_in_the_inputs() -> None:
    inputs = config_map("2", name="fixed")
    assert state.inputs_from_live(live(config_map("by-hand", name="fixed")), inputs) == config_map(
        "by-hand", name="fixed"
    )


@pytest.mark.parametrize(
    ("given", "found", "expected"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"a": 1}, id="a member removed by hand is gone"),
        pytest.param({"ro": False, "l": {}}, {}, {"ro": False, "l": {}}, id="empty members are left out by the server"),
        pytest.param(
            {"env": [{"name": "X", "value": "1"}]},
            {"env": [{"name": "INJECTED", "value": "i"}, {"name": "X", "value": "1"}]},
            {"env": [{"name": "X", "value": "1"}]},
            id="elements of others in a keyed list are theirs",
        ),
        pytest.param(
            {"rules": [{"verbs": ["get"]}]},
            {"rules": [{"verbs": ["get"]}, {"verbs": ["*"]}]},
            {"rules": [{"verbs": ["get"]}, {"verbs": ["*"]}]},
            id="an element added to a list with one owner is a drift",
        ),
        pytest.param(
            {"ports": [{"port": 53, "protocol": "UDP", "name": "u"}, {"port": 53, "protocol": "TCP", "name": "t"}]},
            {"ports": [{"port": 53, "protocol": "TCP", "name": "t"}, {"port": 53, "protocol": "UDP", "name": "u"}]},
            {"ports": [{"port": 53, "protocol": "UDP", "name": "u"}, {"port": 53, "protocol": "TCP", "name": "t"}]},
            id="our order, whatever the server's",
        ),
        pytest.param(
            {"requests": {"memory": "1024Mi", "cpu": 1}},
            {"requests": {"memory": "1Gi", "cpu": "1"}},
            {"requests": {"memory": "1024Mi", "cpu": 1}},
            id="quantities are compared by value",
        ),
        pytest.param({"k": "1024Mi"}, {"k": "1Gi"}, {"k": "1Gi"}, id="and only where quantities are"),
        pytest.param({"a": Secret("x")}, {"a": "y"}, {"a": Secret("y")}, id="secrets stay secret"),
    ],
)
def test_a_refresh_sees_what_is_ours(given: Properties, found: Properties, expected: Properties) -> None:
    assert state.inputs_from_live(found, given) == expected


def test_an_import_takes_everything_but_what_the_server_fills_in() -> None:
    found = {
        "apiVersion": "v1",
        "kind": "Secret",
        "data": {"k": "dg=="},
        "status": {"a": 1},
        "metadata": {
            "name": "keys",
            "labels": {"app": "web"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"},
            "managedFields": [],
            **SERVER_SIDE,
        },
    }
    assert state.imported_inputs(found) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "data": Secret({"k": "dg=="}),
        "metadata": {"name": "keys", "labels": {"app": "web"}, "annotations": {"mine": "1"}},
    }


@pytest.mark.parametrize(
    ("left", "right"),
    [("500m", "0.5"), ("1Ki", "1024"), ("1e3", "1k"), ("2", 2), ("1.5Gi", "1536Mi"), ("1E", "1000P")],
)
def test_equal_quantities(left: str, right: str) -> None:
    assert parse_quantity(left) == parse_quantity(right)


@pytest.mark.parametrize("text", ["", "Gi", "1gi", "one", "1 Gi", None])
def test_no_quantities(text: object) -> None:
    assert parse_quantity(text) is None
