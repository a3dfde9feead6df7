"""Diff beyond the recorded cases: unknowns, odd paths, what the server calls immutable."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubernetes_plugin.diff import FieldChange, diff
from lab.kubernetes_plugin.kinds import Kind, replacing_fields
from lab.kubernetes_plugin.properties import UNKNOWN, Secret, render_path

META = {"metadata": {"name": "web", "namespace": "rec"}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
)


def never(_: Mapping[str, Any]) -> tuple[str, ...]:
    raise AssertionError("the server must not be asked")


@given(st.dictionaries(st.text("ab", max_size=2), json_values))
def test_equal_inputs_are_no_change_and_ask_nobody(inputs: dict[str, object]) -> None:
    assert diff(inputs, inputs, replacing=("spec",), immutable=never).changes == {}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("spec", "ports", 0, "port"), "spec.ports[0].port"),
        (("metadata", "labels", "app.kubernetes.io/name"), 'metadata.labels["app.kubernetes.io/name"]'),
        (("data", 'quo"te'), 'data["quo\\"te"]'),
        (("a/b",), "a/b"),
    ],
)
def test_paths_are_written_as_pulumi_reads_them(path: tuple[str | int, ...], text: str) -> None:
    assert render_path(path) == text


def test_added_and_removed_members_are_one_change_each() -> None:
    changes = diff({"a": {"b": 1}, "l": [1, 2]}, {"c": {"d": {}}, "l": [1]}, replacing=()).changes
    assert changes == {"a": FieldChange.DELETE, "c": FieldChange.ADD, "l[1]": FieldChange.DELETE}


def test_true_is_not_one() -> None:
    assert diff({"a": True}, {"a": 1}, replacing=()).changes == {"a": FieldChange.UPDATE}


def test_a_secret_with_the_same_value_is_no_change() -> None:
    assert diff({"a": Secret("x")}, {"a": "x"}, replacing=()).changes == {}


def test_an_unknown_value_is_a_change_and_asks_nobody() -> None:
    found = diff(META | {"spec": {"a": UNKNOWN}}, META | {"spec": {"a": UNKNOWN}}, replacing=(), immutable=never)
    assert found.changes == {"spec.a": FieldChange.UPDATE}


def test_what_the_server_calls_immutable_is_replaced() -> None:
    found = diff(
        META | {"spec": {"a": 1, "b": 1}},
        META | {"spec": {"a": 2, "b": 2}},
        replacing=(),
        immutable=lambda _: ("spec.a",),
    )
    assert found.replaces == ("spec.a",)
    assert found.delete_before_replace


def test_a_field_that_replaces_anyway_asks_nobody() -> None:
    new = {"metadata": {"name": "other", "namespace": "rec"}}
    found = diff(META, new, replacing=("metadata.name",), immutable=never)
    assert found.replaces == ("metadata.name",)
    assert not found.delete_before_replace, "two names can exist side by side"


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (Kind("", "v1", "ConfigMap"), "data"),
        (Kind("", "v1", "Secret"), "data"),
        (Kind("", "v1", "Service"), "spec.clusterIP"),
        (Kind("", "v1", "PersistentVolumeClaim"), "spec"),
        (Kind("", "v1", "PersistentVolume"), "spec.hostPath"),
        (Kind("apps", "v1", "Deployment"), "spec.selector"),
        (Kind("apps", "v1", "StatefulSet"), "spec.serviceName"),
        (Kind("batch", "v1", "Job"), "spec.template"),
        (Kind("rbac.authorization.k8s.io", "v1", "RoleBinding"), "roleRef"),
        (Kind("example.com", "v1", "Thing"), "metadata.namespace"),
    ],
)
def test_fields_that_replace(kind: Kind, field: str) -> None:
    assert field in replacing_fields(kind, mutable=frozenset())


def test_config_maps_and_secrets_change_in_place_where_that_is_chosen() -> None:
    assert "data" not in replacing_fields(Kind("", "v1", "ConfigMap"), mutable=frozenset({"ConfigMap"}))
    assert "data" in replacing_fields(Kind("", "v1", "Secret"), mutable=frozenset({"ConfigMap"}))
