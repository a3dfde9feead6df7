"""What can be wrong with a resource's inputs, told before anything is sent anywhere.

This looks at what all objects have in common, and at Secrets. The API server checks the fields of a kind, in a preview
too.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes_plugin.await_.wait import TIMEOUT_SECONDS
from lab.kubernetes_plugin.kinds import Kind, is_secret
from lab.kubernetes_plugin.names import annotations, name_problem
from lab.kubernetes_plugin.properties import UNKNOWN, render_path

_NOT_SUPPORTED = ("pulumi.com/waitFor", "pulumi.com/replaceUnready")
"""Annotations that would change what the official plugin does, and that are not followed here."""


@dataclass(frozen=True)
class Failure:
    """Something wrong with the inputs: the property's path and one sentence."""

    property: str
    reason: str


def structure_failures(kind: Kind, inputs: Mapping[str, Any]) -> list[Failure]:
    """Return what is wrong with the (revealed) inputs of an object of that kind."""
    failures = [
        Failure(field, f"`{field}` must be {expected!r}, as the resource's type says, not {inputs.get(field)!r}.")
        for field, expected in (("apiVersion", kind.api_version), ("kind", kind.name))
        if inputs.get(field) != expected
    ]
    metadata = inputs.get("metadata", {})
    if not isinstance(metadata, dict):
        return [*failures, Failure("metadata", "`metadata` must be an object.")]
    failures += _metadata_failures(kind, metadata)
    failures += [
        Failure(render_path(("metadata", "annotations", name)), f"The stand-in does not support the annotation {name}.")
        for name in _NOT_SUPPORTED
        if name in annotations(inputs)
    ]
    timeout = annotations(inputs).get(TIMEOUT_SECONDS)
    if isinstance(timeout, str) and not timeout.isdecimal():
        sentence = f"The annotation {TIMEOUT_SECONDS} must be a number of seconds, not {timeout!r}."
        failures.append(Failure(render_path(("metadata", "annotations", TIMEOUT_SECONDS)), sentence))
    if is_secret(kind):
        failures += _secret_failures(inputs)
    return failures


def _metadata_failures(kind: Kind, metadata: Mapping[str, Any]) -> list[Failure]:
    failures = []
    for field in ("name", "namespace"):
        value = metadata.get(field)
        if value is None or value is UNKNOWN:
            continue
        problem = name_problem(value, kind.group) if isinstance(value, str) else "must be a string"
        if problem:
            failures.append(Failure(f"metadata.{field}", f"`metadata.{field}` {value!r} {problem}."))
    if "namespace" in metadata and not kind.namespaced:
        failures.append(Failure("metadata.namespace", f"A {kind.name} lives in no namespace."))
    for field in ("labels", "annotations"):
        members = metadata.get(field, {})
        if members is UNKNOWN:
            continue
        if not isinstance(members, dict):
            failures.append(Failure(f"metadata.{field}", f"`metadata.{field}` must be an object."))
            continue
        failures += [
            Failure(render_path(("metadata", field, key)), f"`{key}` in `metadata.{field}` must be a string.")
            for key, value in members.items()
            if not isinstance(value, str) and value is not UNKNOWN
        ]
    return failures


def _secret_failures(inputs: Mapping[str, Any]) -> list[Failure]:
    """Check a Secret's values; what they are is never part of the sentence."""
    failures = []
    for field, valid, expected in (
        ("data", _is_base64, "base64 (use `stringData` for plain text)"),
        ("stringData", lambda value: isinstance(value, str), "a string"),
    ):
        members = inputs.get(field, {})
        if members is UNKNOWN:
            continue
        if not isinstance(members, dict):
            failures.append(Failure(field, f"`{field}` of a Secret must be an object."))
            continue
        failures += [
            Failure(render_path((field, key)), f"`{key}` in `{field}` of a Secret must be {expected}.")
            for key, value in members.items()
            if value is not UNKNOWN and not valid(value)
        ]
    return failures


def _is_base64(value: object) -> bool:
    try:
        base64.b64decode(value if isinstance(value, str) else b"?", validate=True)
    except binascii.Error:
        return False
    return True
