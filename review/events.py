"""The engine's events as a preview streams or logs them: one JSON object a line. Nothing else reads them.

Their form is that of sdk/go/common/apitype/events.go. A run prints other lines too, such as an error before the engine
began. They are not JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from review.values import Mark, plain

STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class State:
    """A resource before or after; secrets are marked."""

    custom: bool
    """Whether it is a thing of its own, and no component that only groups others."""
    parent: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    protect: bool = False
    """Whether the engine refuses to end it."""


@dataclass(frozen=True)
class PreviewStep:
    """What the engine would do to a resource, or found when it looked at it (`refresh`)."""

    op: str
    urn: str
    type: str
    old: State | None
    new: State | None
    reasons: tuple[str, ...] = ()
    """The properties that make it a replacement."""
    changed: dict[str, bool] | None = None
    """The changed properties as the provider tells them, and whether it compared inputs; None when it does not."""


@dataclass(frozen=True)
class Preview:
    """All that a preview told."""

    planned: tuple[PreviewStep, ...] = ()
    found: tuple[PreviewStep, ...] = ()
    """Each resource as it was and as it was found, where the two could be compared."""
    outputs: PreviewStep | None = None
    """The stack itself, with its outputs before and after."""
    errors: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    """The broken rules that must be kept. The engine goes on and plans all else."""
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """The stack's config, as text; secret ones are hidden."""
    whole: bool = False
    """Whether the engine came to its summary."""
    said: str = ""
    """What was printed besides events."""


def read(printed: str) -> Preview:
    """What a run printed, events and all else."""
    events: list[_Event] = []
    said: list[str] = []
    unread: list[str] = []
    for line in printed.splitlines():
        try:
            events.append(_Event.model_validate_json(line))
        except ValidationError as error:
            why = error.errors()[0]
            if why["type"] == "json_invalid":
                said.append(line)
            else:  # never left out in silence: it may be the dangerous one
                where = ".".join(map(str, why["loc"])) or "its form"
                unread.append(f"An event of Pulumi's cannot be read ({where}: {why['msg']}).")
    begun = [event.begun.metadata for event in events if event.begun]
    ended = [event.ended.metadata for event in events if event.ended]
    stack = [step for step in ended if step.type == STACK and step.op != "refresh"]
    spoken = [event.said for event in events if event.said and not event.said.ephemeral]
    ruled = [event.rule for event in events if event.rule]
    return Preview(
        planned=tuple(step.step() for step in begun if step.type != STACK and step.op != "refresh"),
        found=tuple(step.step() for step in ended if step.type != STACK and step.op == "refresh"),
        outputs=stack[-1].step() if stack else None,
        errors=(
            *(one.message for one in spoken if one.severity == "error"),
            *unread,
        ),
        broken=tuple(rule.text for rule in ruled if rule.level == "mandatory"),
        warnings=(
            *(one.message for one in spoken if one.severity == "warning"),
            *(rule.text for rule in ruled if rule.level != "mandatory"),
        ),
        settings={name: value for event in events if event.prelude for name, value in event.prelude.config.items()},
        whole=any(event.summary is not None for event in events),
        said="\n".join(said),
    )


class _State(BaseModel):
    custom: bool = False
    protect: bool = False
    parent: str = ""
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}

    def state(self, type_: str) -> State:
        return State(self.custom, self.parent, _masked(type_, self.inputs), _masked(type_, self.outputs), self.protect)


class _Prelude(BaseModel):
    config: dict[str, str] = {}


class _Diff(BaseModel):
    input_diff: bool = Field(False, alias="inputDiff")


class _Metadata(BaseModel):
    op: str
    urn: str
    type: str
    old: _State | None = None
    new: _State | None = None
    keys: list[str] | None = None
    detailed: dict[str, _Diff] | None = Field(None, alias="detailedDiff")

    def step(self) -> PreviewStep:
        old = self.old.state(self.type) if self.old else None
        new = self.new.state(self.type) if self.new else None
        detailed = self.detailed
        changed = None if detailed is None else {path: diff.input_diff for path, diff in detailed.items()}
        return PreviewStep(self.op, self.urn, self.type, old, new, tuple(self.keys or ()), changed)


class _Resource(BaseModel):
    metadata: _Metadata


class _Diagnostic(BaseModel):
    message: str
    severity: str
    ephemeral: bool = False


class _Policy(BaseModel):
    name: str = Field(alias="policyName")
    message: str
    level: str = Field(alias="enforcementLevel")

    @property
    def text(self) -> str:
        return f"{self.name}: {self.message}"


class _Event(BaseModel):
    prelude: _Prelude | None = Field(None, alias="preludeEvent")
    begun: _Resource | None = Field(None, alias="resourcePreEvent")
    ended: _Resource | None = Field(None, alias="resOutputsEvent")
    said: _Diagnostic | None = Field(None, alias="diagnosticEvent")
    rule: _Policy | None = Field(None, alias="policyEvent")
    summary: dict[str, Any] | None = Field(None, alias="summaryEvent")


def _masked(type_: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The properties with marks. A Kubernetes Secret shows only its name and type, whatever its provider says."""
    shown = {name: plain(value) for name, value in properties.items() if not name.startswith("__")}
    if "kubeconfig" in shown:  # of a provider: a file, or a whole one with its keys
        shown["kubeconfig"] = Mark.SECRET
    if not type_.endswith(":Secret"):
        return shown
    named = {"apiVersion", "kind", "metadata", "type"}
    masked = {name: value if name in named else Mark.SECRET for name, value in shown.items()}
    if isinstance(metadata := masked.get("metadata"), dict) and "annotations" in metadata:
        # kubectl keeps all that it applied in one of them.
        masked["metadata"] = metadata | {"annotations": Mark.SECRET}
    return masked
