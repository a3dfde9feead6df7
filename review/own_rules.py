"""Holds a preview to Meshgate's own rules (policy/). No policy pack has to be started for it."""

from typing import Any

from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from console import project
from policy.declared import SECRET, DeclaredResource, DeclaredStack
from policy.violations import violations
from review.events import Preview, PreviewStep, State
from review.values import Mark

PACK = project.REPOSITORY / "policy"
"""Their policy pack, for `pulumi up --policy-pack`."""

_PROTECT = f"{project.NAME}:protect"
_SHOWN = {Mark.SECRET: SECRET, Mark.UNKNOWN: UNKNOWN_STRING_VALUE}


def broken(environment: str, preview: Preview) -> tuple[str, ...]:
    """A sentence for each way in which a rule would be broken."""
    protect = preview.settings.get(_PROTECT)
    stack = DeclaredStack(environment, None if protect is None else protect == "true")
    staying = {one.urn: _resource(one, one.new) for one in preview.planned if one.new and not _goes(one)}
    planned = [(one.op, _resource(one, state)) for one in preview.planned if (state := one.new or one.old)]
    return tuple(map(str, violations([*staying.values()], planned, stack)))


def _goes(step: PreviewStep) -> bool:
    return step.op.startswith("delete")


def _resource(step: PreviewStep, state: State) -> DeclaredResource:
    return DeclaredResource(step.urn, step.type, _declared(state.inputs), state.protect)


def _declared(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """A value with marks, as the rules know them."""
    if isinstance(value, dict):
        return {name: _declared(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_declared(inner) for inner in value]
    return _SHOWN.get(value, value) if isinstance(value, Mark) else value
