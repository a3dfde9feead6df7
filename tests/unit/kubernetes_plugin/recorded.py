"""Answers of the official plugin v4.32.0 on a Kubernetes 1.34 cluster, reduced to the facts that matter.

Each case is one call of the ResourceProvider service: the request and the official answer, as protobuf's
JSON. URNs and everything else that does not decide the answer are left out.
"""

from dataclasses import dataclass
from typing import Any

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
NO_CHANGE = {"changes": "DIFF_NONE", "hasDetailedDiff": True}


@dataclass(frozen=True)
class Recorded:
    """One call and its answer; `fact` says what is to be learnt from it."""

    fact: str
    method: str
    request: dict[str, Any]
    response: dict[str, Any]


def secret(value: Any) -> dict[str, Any]:  # noqa: ANN401 (any property)
    """Mark a value as the wire does."""
    return {**SECRET, "value": value}


def config_map(value: str, **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 (any metadata)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "data": {"a": value},
        "metadata": {"namespace": "rec", **metadata},
    }


def keys(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 (any field)
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "rec"}, **fields}


def deployment(value: str) -> dict[str, Any]:
    container = {"name": "c", "image": "localhost/lab/gw:1", "env": [{"name": "X", "value": value}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "rec"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


def thing(value: int) -> dict[str, Any]:
    metadata = {"name": "one", "namespace": "rec"}
    return {"apiVersion": "rec.example.com/v1", "kind": "Thing", "metadata": metadata, "spec": {"a": value}}


CONFIG_MAP, SECRETS, DEPLOYMENT = (
    f"kubernetes:{name}" for name in ("core/v1:ConfigMap", "core/v1:Secret", "apps/v1:Deployment")
)
AUTONAMED = {"annotations": {"pulumi.com/autonamed": "true"}, "name": "cm-0c912c6c"}
PROVIDER = {"context": "lab", "version": "4.32.0"}

CASES = (
    Recorded(
        "the plugin info carries the version",
        "GetPluginInfo",
        {},
        {"version": "4.32.0"},
    ),
    Recorded(
        "provider settings are kept as given",
        "CheckConfig",
        {"news": PROVIDER, "olds": {}},
        {"inputs": PROVIDER},
    ),
    Recorded(
        "unchanged provider settings are no difference",
        "DiffConfig",
        {"news": PROVIDER, "oldInputs": PROVIDER, "olds": PROVIDER},
        {"changes": "DIFF_NONE"},
    ),
    Recorded(
        "secrets, previews and autonaming settings are understood",
        "Configure",
        {"acceptSecrets": True, "acceptResources": True, "args": PROVIDER},
        {"acceptSecrets": True, "supportsAutonamingConfiguration": True, "supportsPreview": True},
    ),
    Recorded(
        "a named object's inputs are kept as given",
        "Check",
        {"name": "dep", "type": DEPLOYMENT, "news": deployment("1"), "olds": {}},
        {"inputs": deployment("1")},
    ),
    Recorded(
        "an unnamed object keeps the name it was given before",
        "Check",
        {"name": "cm", "type": CONFIG_MAP, "news": config_map("2"), "olds": config_map("1", **AUTONAMED)},
        {"inputs": config_map("2", **AUTONAMED)},
    ),
    Recorded(
        "a Secret's stringData becomes data in base64, secret as a whole",
        "Check",
        {"name": "sec", "type": SECRETS, "news": keys(stringData=secret({"k": "s3cr3t"})), "olds": {}},
        {"inputs": keys(data=secret({"k": "czNjcjN0"}))},
    ),
    Recorded(
        "equal inputs are no difference",
        "Diff",
        {"type": DEPLOYMENT, "id": "rec/web", "oldInputs": deployment("1"), "news": deployment("1")},
        NO_CHANGE,
    ),
    Recorded(
        "a changed ConfigMap with a fixed name is replaced, the old one deleted first",
        "Diff",
        {
            "type": CONFIG_MAP,
            "id": "rec/fixed",
            "oldInputs": config_map("1", name="fixed"),
            "news": config_map("2", name="fixed"),
        },
        {
            "changes": "DIFF_SOME",
            "deleteBeforeReplace": True,
            "detailedDiff": {"data.a": {"kind": "UPDATE_REPLACE"}},
            "hasDetailedDiff": True,
            "replaces": ["data.a"],
        },
    ),
    Recorded(
        "a changed ConfigMap without a fixed name is replaced by one under a new name",
        "Diff",
        {
            "type": CONFIG_MAP,
            "id": "rec/cm-0c912c6c",
            "oldInputs": config_map("1", **AUTONAMED),
            "news": config_map("2", **AUTONAMED),
        },
        {
            "changes": "DIFF_SOME",
            "detailedDiff": {"data.a": {"kind": "UPDATE_REPLACE"}},
            "hasDetailedDiff": True,
            "replaces": ["data.a"],
        },
    ),
    Recorded(
        "a changed Secret is replaced",
        "Diff",
        {
            "type": SECRETS,
            "id": "rec/keys",
            "oldInputs": keys(data=secret({"k": "czNjcjN0"})),
            "news": keys(data=secret({"k": "czNjcjN0LTI="})),
        },
        {
            "changes": "DIFF_SOME",
            "deleteBeforeReplace": True,
            "detailedDiff": {"data.k": {"kind": "UPDATE_REPLACE"}},
            "hasDetailedDiff": True,
            "replaces": ["data.k"],
        },
    ),
    Recorded(
        "a drift that a refresh found is a difference like any other",
        "Diff",
        {
            "type": CONFIG_MAP,
            "id": "rec/fixed",
            "oldInputs": config_map("by-hand", name="fixed"),
            "news": config_map("2", name="fixed"),
        },
        {
            "changes": "DIFF_SOME",
            "deleteBeforeReplace": True,
            "detailedDiff": {"data.a": {"kind": "UPDATE_REPLACE"}},
            "hasDetailedDiff": True,
            "replaces": ["data.a"],
        },
    ),
)

CASES_THAT_ASK_THE_SERVER = (
    Recorded(
        "list elements are compared by position",
        "Diff",
        {"type": DEPLOYMENT, "id": "rec/web", "oldInputs": deployment("1"), "news": deployment("2")},
        {
            "changes": "DIFF_SOME",
            "detailedDiff": {"spec.template.spec.containers[0].env[0].value": {"kind": "UPDATE"}},
            "hasDetailedDiff": True,
        },
    ),
    Recorded(
        "a custom resource changes in place",
        "Diff",
        {"type": "kubernetes:rec.example.com/v1:Thing", "id": "rec/one", "oldInputs": thing(1), "news": thing(3)},
        {"changes": "DIFF_SOME", "detailedDiff": {"spec.a": {"kind": "UPDATE"}}, "hasDetailedDiff": True},
    ),
)
"""Calls whose answer the stand-in makes sure of by a dry run (without a cluster: taken as changeable)."""

FIELDS_OF_A_CREATE = [
    {
        "apiVersion": "rec.example.com/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {".": {}, "f:a": {}}},
        "manager": "pulumi-kubernetes",
        "operation": "Update",
        "time": "2026-11-23T08:09:21Z",
    }
]
"""managedFields of a custom resource as its create left them."""

FIELDS_EDITED_BY_HAND = [
    {
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {}},
        "manager": "pulumi-kubernetes",
        "operation": "Update",
        "time": "2026-11-23T08:10:00Z",
    },
    {
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}},
        "manager": "kubectl-patch",
        "operation": "Update",
        "time": "2026-11-23T08:10:15Z",
    },
]
"""managedFields of a ConfigMap after `kubectl patch`."""
