"""The rules as CrossGuard asks them: its own argument objects in, reports out."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pytest
from pulumi.runtime import Settings, configure, set_all_config
from pulumi_policy import (
    PolicyCustomTimeouts,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.deserialize import deserialize_properties
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policy.crossguard import policies
from policy.declared import DeclaredResource
from policy.rules import RESOURCE_RULES, STACK_RULES
from tests.unit.policy.objects import container, deployment, environment, resource

POLICIES = {policy.name: policy for policy in policies()}
Reports = list[tuple[str, str | None]]


@pytest.fixture(autouse=True)
def stack() -> Iterator[None]:
    """The stack prod, as the pack's process is told of it."""
    configure(Settings(project="meshgate", stack="prod"))
    set_all_config({"meshgate:protect": "true"})
    yield
    set_all_config({})


def seen(one: DeclaredResource) -> Mapping[str, Any]:
    """Properties as the SDK hands them to a policy: read-only, and raising where one is not known yet."""
    return unknown_checking_proxy(deserialize_properties(json.loads(json.dumps(one.props))))


def options(one: DeclaredResource) -> PolicyResourceOptions:
    return PolicyResourceOptions(one.protect, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


def reports(rule: str, *resources: DeclaredResource) -> Reports:
    """What a policy reports of these resources."""
    found: Reports = []

    def report(message: str, urn: str | None = None) -> None:
        found.append((message, urn))

    policy = POLICIES[rule]
    if isinstance(policy, StackValidationPolicy):
        policy.validate(StackValidationArgs([_in_stack(one) for one in resources]), report)
        return found
    assert isinstance(policy, ResourceValidationPolicy)
    for one in resources:
        policy.validate(ResourceValidationArgs(one.type, seen(one), one.urn, one.name, options(one), None), report)
    return found


def _in_stack(one: DeclaredResource) -> PolicyResource:
    return PolicyResource(one.type, seen(one), one.urn, one.name, options(one), None, None, [], {})


def test_each_rule_is_a_policy() -> None:
    assert list(POLICIES) == [rule.name for rule in (*RESOURCE_RULES, *STACK_RULES)]


def test_a_broken_rule_is_reported_and_a_kept_one_is_not() -> None:
    assert reports("nothing-privileged", deployment()) == []
    assert reports("nothing-privileged", deployment(hostPID=True)) == [
        ("hostPID puts the pod into the node's own namespace; leave it out.", None)
    ]


def test_a_rule_for_the_stack_names_the_resource() -> None:
    inside = deployment(environment(MESHGATE_CLIENT_NETWORKS="100.64.0.0/24"))
    assert reports("networks-apart", deployment()) == []
    ((said, urn),) = reports("networks-apart", inside)
    assert "100.64.0.0/24 of gateway one lies inside the mesh's 100.64.0.0/10" in said
    assert urn == inside.urn


def test_a_value_that_is_not_known_does_not_end_the_rule_for_the_others() -> None:
    values = environment(MESHGATE_PUBLIC_KEY=UNKNOWN_STRING_VALUE)
    privileged = container(name="second", securityContext={})
    assert reports("no-plain-secret", deployment(values)) == []
    assert len(reports("nothing-privileged", deployment(values, privileged))) == 2


def test_the_engine_says_what_it_protects_and_the_stack_what_it_may_lose() -> None:
    kind = "pulumi-python:dynamic/meshgate:WireGuardKey"
    assert reports("nothing-lost", resource(kind, "key", {}, protect=True)) == []
    assert len(reports("nothing-lost", resource(kind, "key", {}))) == 1
    pulumi.runtime.set_config("meshgate:protect", "false")
    assert reports("nothing-lost", resource(kind, "key", {})) == []
