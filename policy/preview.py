"""The rules over a preview, where the engine cannot start policy packs, and for what those are not shown.

pulumi preview --json | python -m policy.preview
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy.declared import Resource, Stack
from policy.losses import lost
from policy.rules import RESOURCE_RULES, STACK_RULES

_SETTING = "meshgate:protect"


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


def violations(preview: Mapping[str, Any]) -> list[Violation]:
    """The rules that the outcome of a `pulumi preview --json` would break."""
    steps: Sequence[Mapping[str, Any]] = preview.get("steps") or []
    stack = _stack(preview, steps)
    return [*broken([_resource(step["newState"]) for step in steps if _stays(step)], stack), *_lost(steps, stack)]


def broken(resources: Sequence[Resource], stack: Stack) -> Iterator[Violation]:
    """The rules that resources break."""
    for rule in RESOURCE_RULES:
        for resource in resources:
            yield from (Violation(rule.name, resource.urn, sentence) for sentence in rule.check(resource, stack))
    for stack_rule in STACK_RULES:
        for resource, sentence in stack_rule.check(resources, stack):
            yield Violation(stack_rule.name, resource.urn, sentence)


def _lost(steps: Sequence[Mapping[str, Any]], stack: Stack) -> Iterator[Violation]:
    for step in steps:
        state = step.get("oldState") or step["newState"]
        for sentence in lost(step["op"], _resource(state), stack):
            yield Violation("nothing-lost", step["urn"], sentence)


def _stack(preview: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Stack:
    setting = (preview.get("config") or {}).get(_SETTING)
    # urn:pulumi:<stack>::<project>::<type>::<name>
    name = steps[0]["urn"].split("::")[0].rpartition(":")[2] if steps else ""
    return Stack(name, None if setting is None else setting == "true")


def _stays(step: Mapping[str, Any]) -> bool:
    return bool(step.get("newState")) and not step["op"].startswith("delete")


def _resource(state: Mapping[str, Any]) -> Resource:
    return Resource(state["urn"], state["type"], state.get("inputs") or {}, state.get("protect", False))


if __name__ == "__main__":
    found = violations(json.load(sys.stdin))
    sys.stdout.writelines(f"{one}\n" for one in found)
    sys.exit(1 if found else 0)
