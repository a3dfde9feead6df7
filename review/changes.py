"""What a reviewer asks of a preview: which things change, in which fields, why, and by whose hand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from review.events import STACK, Preview, PreviewStep, State
from review.values import Mark, Path, at, differences, parse, written

Op = Literal["replace", "delete", "create", "update"]
OPS: tuple[Op, ...] = ("replace", "delete", "create", "update")
"""What may be planned, the most dangerous first. The engine's other steps are parts of these, or change nothing."""

_KUBERNETES = "kubernetes:"
_CLIENT_CONFIGS = "pulumi-python:dynamic/meshgate:ClientConfigs"
_TOLD_BY_NAME = ("apiVersion", "kind", "metadata")
"""Properties of a new Kubernetes object that repeat its type and name."""


@dataclass(frozen=True)
class Field:
    """A property that changes."""

    path: str
    old: object
    new: object
    by_hand: bool = False
    """Whether somebody changed it to `old` since the last `up`."""


@dataclass(frozen=True)
class Change:
    """What `up` would do to one thing."""

    op: Op
    type: str
    kind: str
    """The last part of its type, such as Deployment."""
    name: str
    """Its name in the stack: `one-key`, or `cluster/namespace` where the component's name tells more."""
    reasons: tuple[Field, ...] = ()
    """The fields that make it a replacement. A field has no values where only its name is known."""
    fields: tuple[Field, ...] = ()
    gone: bool = False
    """Whether it is created because somebody deleted it."""

    @property
    def by_hand(self) -> bool:
        """Whether it puts right what somebody changed."""
        return self.gone or any(field.by_hand for field in self.fields)


def changes(preview: Preview) -> tuple[Change, ...]:
    """The changes of things, the most dangerous first. Components only group things and are left out."""
    parents = {step.urn: state.parent for step in (*preview.planned, *preview.found) if (state := step.new or step.old)}
    found = {step.urn: step for step in preview.found}
    made = [
        _change(op, step, found.get(step.urn), parents)
        for step in preview.planned
        for op in OPS
        if step.op == op and _custom(step)
    ]
    return tuple(sorted(made, key=lambda change: (OPS.index(change.op), change.name)))


def unchanged(preview: Preview) -> int:
    """How many things stay as they are."""
    return sum(step.op == "same" and _custom(step) for step in preview.planned)


def losses(preview: Preview) -> tuple[str, ...]:
    """What makes clients' configs useless, as the program tells it (infra/resources/client_configs.py)."""
    told = [step.new.inputs.get("lost") or () for step in preview.planned if step.type == _CLIENT_CONFIGS and step.new]
    return tuple(str(sentence) for some in told for sentence in some)


def outputs(preview: Preview) -> tuple[Field, ...]:
    """The outputs of the stack that change. An output that only `up` will know is told as a whole."""
    if preview.outputs is None or preview.outputs.new is None:
        return ()
    old = preview.outputs.old.outputs if preview.outputs.old else {}
    new = preview.outputs.new.outputs
    told: list[Field] = []
    for name in sorted({*old, *new}):
        leaves = list(differences(at(old, (name,)), at(new, (name,)), (name,)))
        if len(leaves) > 1 and all(after is Mark.UNKNOWN for _, _, after in leaves):
            told.append(Field(written((name,)), Mark.MISSING, Mark.UNKNOWN))
        else:
            told += _fields(leaves, new, old)
    return tuple(told)


def _custom(step: PreviewStep) -> bool:
    state = step.new or step.old
    return state is not None and state.custom


def _change(op: Op, step: PreviewStep, found: PreviewStep | None, parents: Mapping[str, str]) -> Change:
    fields = () if op == "delete" else tuple(_planned(step, found))
    by_path = {field.path: field for field in fields}
    reasons = (_reason(step, path) for path in step.reasons)
    return Change(
        op=op,
        type=step.type,
        kind="Provider" if step.type.startswith("pulumi:providers:") else step.type.rpartition(":")[2],
        name=_name(step.urn, parents),
        reasons=tuple(by_path.get(path, Field(path, Mark.MISSING, Mark.MISSING)) for path in reasons),
        fields=fields,
        gone=op == "create" and found is not None and found.new is None,
    )


def _name(urn: str, parents: Mapping[str, str]) -> str:
    """The names from the component down, without those that the next name begins with."""
    names = [urn.rpartition("::")[2]]
    while (urn := parents.get(urn, "")) and _type(urn) != STACK:
        name = urn.rpartition("::")[2]
        if names[0] != name and not names[0].startswith(f"{name}-"):
            names.insert(0, name)
    return "/".join(names)


def _type(urn: str) -> str:
    """The type in urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME."""
    return urn.split("::")[2].rpartition("$")[2] if urn.count("::") > 2 else ""


def _planned(step: PreviewStep, found: PreviewStep | None) -> Iterator[Field]:
    old, new = step.old or _NOTHING, step.new or _NOTHING
    drifted = {path: (was, now) for path, was, now in _drift(found)}
    kubernetes = step.type.startswith(_KUBERNETES)
    if step.op == "create":
        inputs = {name: value for name, value in new.inputs.items() if not (kubernetes and name in _TOLD_BY_NAME)}
        yield from _fields(differences({}, inputs), new.inputs, {})
    elif not step.changed:
        yield from _compared(old, new, drifted)
        if step.op == "update" and not kubernetes:
            yield from _put_back(old, new, drifted)
    else:
        for path, inputs_differ in step.changed.items():
            parts = parse(path)
            before = at(old.inputs if inputs_differ else old.outputs, parts)
            after = at(new.inputs, parts)
            leaves = list(differences(before, after, parts)) or [(parts, before, after)]
            yield from _fields(leaves, new.inputs, old.outputs, drifted)


def _compared(old: State, new: State, drifted: Iterable[Path]) -> Iterator[Field]:
    """The new inputs against the last outputs, which hold the old inputs and what was found since."""
    last = {name: old.outputs.get(name, value) for name, value in old.inputs.items()}
    yield from _fields(differences(last, new.inputs), new.inputs, old.outputs, drifted)


def _put_back(old: State, new: State, drifted: Mapping[Path, tuple[object, object]]) -> Iterator[Field]:
    """What was found changed, is no input, and will be put back."""
    ours = {path: values for path, values in drifted.items() if path[0] not in new.inputs}
    leaves = ((path, now, was) for path, (was, now) in ours.items())
    yield from _fields(leaves, old.outputs, new.inputs, ours)


def _drift(found: PreviewStep | None) -> Iterator[tuple[Path, object, object]]:
    """What somebody changed since the last `up`: the path, the value before, the value now."""
    if found is None or found.old is None or found.new is None:
        return
    was, now = found.old.outputs, found.new.outputs
    if found.changed is None:
        yield from differences(was, now)
    else:
        yield from ((parts, at(was, parts), at(now, parts)) for parts in map(parse, found.changed))


def _fields(
    leaves: Iterable[tuple[Path, object, object]], here: object, there: object, drifted: Iterable[Path] = ()
) -> Iterator[Field]:
    """Fields of leaves; `here` and `there` are the values that their paths lead into."""
    hands = list(drifted)
    for path, old, new in leaves:
        by_hand = any(path[: len(hand)] == hand or hand[: len(path)] == path for hand in hands)
        yield Field(written(path, here, there), old, new, by_hand)


def _reason(step: PreviewStep, path: str) -> str:
    return written(parse(path), *(state.inputs for state in (step.new, step.old) if state))


_NOTHING = State(custom=True, parent="", inputs={}, outputs={})
