"""The rules as CrossGuard's policies, for `pulumi preview --policy-pack policy`."""

import pulumi
from pulumi_policy import (
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.deserialize import serialize_properties

from console import project
from policy.declared import DeclaredResource, DeclaredStack
from policy.rules import RESOURCE_RULES, STACK_RULES, ResourceRule, StackRule


def policies() -> list[Policy]:
    """A policy for each rule."""
    return [*map(_of_resource, RESOURCE_RULES), *map(_of_stack, STACK_RULES)]


def _of_resource(rule: ResourceRule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for sentence in rule.check(_resource(args), _stack()):
            report(sentence, None)

    return ResourceValidationPolicy(rule.name, rule.description, validate)


def _of_stack(rule: StackRule) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for resource, sentence in rule.check([*map(_resource, args.resources)], _stack()):
            report(sentence, resource.urn)

    return StackValidationPolicy(rule.name, rule.description, validate)


def _resource(args: ResourceValidationArgs | PolicyResource) -> DeclaredResource:
    # As plain values: the SDK's own mappings raise on the first one that is not known yet, which ends the policy.
    return DeclaredResource(args.urn, args.resource_type, serialize_properties(args.props), args.opts.protect)


def _stack() -> DeclaredStack:
    return DeclaredStack(pulumi.get_stack(), pulumi.Config(project.NAME).get_bool("protect"))
