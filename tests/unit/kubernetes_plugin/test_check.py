"""Check: names, namespaces, one form of Secrets, and what is refused."""

from typing import Any

import pytest

from lab.kubernetes_plugin.check import PluginResource, check
from lab.kubernetes_plugin.kinds import Kind, parse_type
from lab.kubernetes_plugin.names import Autonaming
from lab.kubernetes_plugin.properties import UNKNOWN, Properties, Secret
from lab.kubernetes_plugin.structure import Failure

CONFIG_MAP, SECRET = Kind("", "v1", "ConfigMap"), Kind("", "v1", "Secret")


def checked(
    kind_: Kind,
    olds: Properties | None = None,
    autonaming: Autonaming | None = None,
    **fields: Any,  # noqa: ANN401
) -> tuple[Properties, list[Failure]]:
    return check(
        PluginResource("web", kind_, b"seed", autonaming),
        {"apiVersion": kind_.api_version, "kind": kind_.name, **fields},
        olds or {},
        namespaced=lambda asked: asked.namespaced,
        default_namespace=lambda: "team",
    )


def test_the_namespace_is_filled_in_where_objects_live_in_one() -> None:
    assert checked(CONFIG_MAP, metadata={"name": "a"})[0]["metadata"] == {"name": "a", "namespace": "team"}
    assert checked(Kind("", "v1", "Namespace"), metadata={"name": "a"})[0]["metadata"] == {"name": "a"}


def test_a_name_that_the_program_no_longer_gives_is_not_kept() -> None:
    name = checked(CONFIG_MAP, olds={"metadata": {"name": "given"}})[0]["metadata"]["name"]
    assert name.startswith("web-")


def test_a_generated_name_is_left_to_the_server() -> None:
    metadata = checked(CONFIG_MAP, metadata={"generateName": "web-"})[0]["metadata"]
    assert metadata == {"generateName": "web-", "namespace": "team"}


def test_the_projects_autonaming_decides() -> None:
    assert checked(CONFIG_MAP, autonaming=Autonaming("proposed"))[0]["metadata"]["name"] == "proposed"
    assert [failure.property for failure in checked(CONFIG_MAP, autonaming=Autonaming(disabled=True))[1]] == [
        "metadata.name"
    ]


def test_names_are_made_in_secret_and_unknown_metadata_too() -> None:
    metadata = checked(CONFIG_MAP, metadata=Secret({"annotations": Secret({"a": "b"})}))[0]["metadata"].value
    assert metadata["annotations"] == Secret({"a": "b", "pulumi.com/autonamed": "true"})
    assert checked(CONFIG_MAP, metadata={"name": UNKNOWN, "namespace": UNKNOWN})[0]["metadata"] == {
        "name": UNKNOWN,
        "namespace": UNKNOWN,
    }


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({"stringData": {"k": "v"}, "data": {"l": "dw=="}}, Secret({"k": "dg==", "l": "dw=="})),
        ({"stringData": {"k": Secret("v")}}, Secret({"k": "dg=="})),
        ({"stringData": {"k": UNKNOWN}}, Secret({"k": UNKNOWN})),
        ({"stringData": UNKNOWN}, Secret(UNKNOWN)),
        ({"data": {}}, Secret({})),
    ],
)
def test_a_secret_has_one_form_and_is_always_secret(fields: Properties, data: Secret) -> None:
    inputs, failures = checked(SECRET, metadata={"name": "keys"}, **fields)
    assert failures == []
    assert inputs["data"] == data
    assert "stringData" not in inputs


@pytest.mark.parametrize(
    ("kind", "fields", "property_path", "words"),
    [
        (CONFIG_MAP, {"kind": "Secret"}, "kind", "'ConfigMap'"),
        (CONFIG_MAP, {"apiVersion": "v2"}, "apiVersion", "'v1'"),
        (CONFIG_MAP, {"metadata": "web"}, "metadata", "must be an object"),
        (CONFIG_MAP, {"metadata": {"name": "Web"}}, "metadata.name", "lower-case"),
        (CONFIG_MAP, {"metadata": {"name": 7}}, "metadata.name", "must be a string"),
        (CONFIG_MAP, {"metadata": {"labels": {"port": 80}}}, "metadata.labels.port", "must be a string"),
        (CONFIG_MAP, {"metadata": {"labels": []}}, "metadata.labels", "must be an object"),
        (Kind("", "v1", "Namespace"), {"metadata": {"namespace": "a"}}, "metadata.namespace", "no namespace"),
        (SECRET, {"data": {"k": "not base64"}}, "data.k", "base64"),
        (SECRET, {"stringData": {"k": 1}}, "stringData.k", "a string"),
        (
            CONFIG_MAP,
            {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "soon"}}},
            'metadata.annotations["pulumi.com/timeoutSeconds"]',
            "number of seconds",
        ),
        (
            CONFIG_MAP,
            {"metadata": {"annotations": {"pulumi.com/waitFor": "condition=Ready"}}},
            'metadata.annotations["pulumi.com/waitFor"]',
            "does not support",
        ),
        (
            CONFIG_MAP,
            {"metadata": {"annotations": {"pulumi.com/replaceUnready": "true"}}},
            'metadata.annotations["pulumi.com/replaceUnready"]',
            "does not support",
        ),
    ],
)
def test_wrong_structure_is_one_sentence(kind: Kind, fields: Properties, property_path: str, words: str) -> None:
    failures = checked(kind, **fields)[1]
    assert [failure.property for failure in failures] == [property_path]
    assert words in failures[0].reason
    assert failures[0].reason.endswith(".")


def test_a_secrets_value_is_never_in_a_failure() -> None:
    failures = checked(SECRET, data={"k": "s3cr3t!"})[1]
    assert failures
    assert "s3cr3t" not in str(failures)


def test_a_role_may_be_called_what_a_dns_name_may_not() -> None:
    role = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole")
    assert checked(role, metadata={"name": "system:Node"})[1] == []
    assert checked(role, metadata={"name": "a/b"})[1]


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("kubernetes:core/v1:Service", Kind("", "v1", "Service")),
        ("kubernetes:apps/v1:Deployment", Kind("apps", "v1", "Deployment")),
        ("kubernetes:example.com/v1:ServicePatch", Kind("example.com", "v1", "ServicePatch")),
    ],
)
def test_types_are_kinds(token: str, kind: Kind) -> None:
    assert parse_type(token) == kind


@pytest.mark.parametrize(
    "token", ["kubernetes:apps/v1:DeploymentPatch", "kubernetes:helm.sh/v3:Release", "kubernetes:yaml:ConfigFile"]
)
def test_what_is_no_object_is_refused_by_name(token: str) -> None:
    with pytest.raises(Exception, match=f"{token} is not supported"):
        parse_type(token)
