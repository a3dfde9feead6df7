"""The rules over what a preview plans, where no policy pack runs. They also see what the plan takes away."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policy.declared import DeclaredResource, DeclaredStack
from policy.losses import lost
from policy.rules import RESOURCE_RULES, STACK_RULES

Step = tuple[str, DeclaredResource]
"""An operation of the engine, such as `replace`, and what it is done to."""


@dataclass(frozen=True)
class Violation:
    """A broken rule: its name, the URN of the resource that breaks it, and a sentence for the user."""

    rule: str
    urn: str
    sentence: str

    def __str__(self) -> str:
        """As one line."""
        kind, _, name = self.urn.rpartition("::")
        return f"{self.rule}: {kind.rpartition(':')[2]} {name}: {self.sentence}"


def violations(staying: Sequence[DeclaredResource], planned: Sequence[Step], stack: DeclaredStack) -> list[Violation]:
    """The rules that a plan would break: by the resources that it leaves, and by its steps. Each is told once."""
    return list(dict.fromkeys((*broken(staying, stack), *_lost(planned, stack))))


def broken(resources: Sequence[DeclaredResource], stack: DeclaredStack) -> Iterator[Violation]:
    """The rules that resources break."""
    for rule in RESOURCE_RULES:
        for resource in resources:
            yield from (Violation(rule.name, resource.urn, sentence) for sentence in rule.check(resource, stack))
    for stack_rule in STACK_RULES:
        for resource, sentence in stack_rule.check(resources, stack):
            yield Violation(stack_rule.name, resource.urn, sentence)


def _lost(planned: Sequence[Step], stack: DeclaredStack) -> Iterator[Violation]:
    for operation, resource in planned:
        for sentence in lost(operation, resource, stack):
            yield Violation("nothing-lost", resource.urn, sentence)
