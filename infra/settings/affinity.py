"""The setting `affinity`, in Kubernetes' own words: it is checked here, and then handed on as it is."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from infra.settings.kubernetes_names import Key, Labels, label_value

_NAMES = {"extra_forbidden": "Kubernetes has no such field here", "missing": "it is missing"}


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class _Requirement(_Fields):
    key: Key
    operator: str
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if self.operator in {"In", "NotIn"} and not self.values:
            raise ValueError(f"operator {self.operator} needs values")
        if self.operator in {"Exists", "DoesNotExist"} and self.values:
            raise ValueError(f"operator {self.operator} takes no values")
        if self.operator in {"Gt", "Lt"} and not (len(self.values) == 1 and self.values[0].isdigit()):
            raise ValueError(f"operator {self.operator} takes one whole number in values")
        for value in self.values:
            label_value(value)
        return self


class _LabelRequirement(_Requirement):
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]


class _NodeRequirement(_Requirement):
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


class _Name(_Fields):
    key: Literal["metadata.name"]
    operator: Literal["In", "NotIn"]
    values: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)]


class _NodeTerm(_Fields):
    match_expressions: tuple[_NodeRequirement, ...] = ()
    match_fields: tuple[_Name, ...] = ()


class _NodeTerms(_Fields):
    node_selector_terms: Annotated[tuple[_NodeTerm, ...], Field(min_length=1)]


class _Weighted(_Fields):
    weight: Annotated[int, Field(ge=1, le=100)]


class _PreferredNode(_Weighted):
    preference: _NodeTerm


class _NodeAffinity(_Fields):
    required_during_scheduling_ignored_during_execution: _NodeTerms | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[_PreferredNode, ...] = ()


class _LabelSelector(_Fields):
    match_labels: Labels = Field(default_factory=dict)
    match_expressions: tuple[_LabelRequirement, ...] = ()


class _PodTerm(_Fields):
    topology_key: Key
    label_selector: _LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: _LabelSelector | None = None
    match_label_keys: tuple[Key, ...] = ()
    mismatch_label_keys: tuple[Key, ...] = ()


class _PreferredPod(_Weighted):
    pod_affinity_term: _PodTerm


class _PodAffinity(_Fields):
    required_during_scheduling_ignored_during_execution: tuple[_PodTerm, ...] = ()
    preferred_during_scheduling_ignored_during_execution: tuple[_PreferredPod, ...] = ()


class _Affinity(_Fields):
    node_affinity: _NodeAffinity | None = None
    pod_affinity: _PodAffinity | None = None
    pod_anti_affinity: _PodAffinity | None = None


def checked(affinity: dict[str, object]) -> dict[str, object]:
    """The affinity as it is; a ValueError with one sentence where Kubernetes would refuse it."""
    try:
        _Affinity.model_validate(affinity)
    except ValidationError as error:
        raise ValueError(_sentence(error.errors()[0])) from None
    return affinity


def _sentence(error: ErrorDetails) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] in _NAMES:
        what = _NAMES[error["type"]]
    elif what.startswith("Input "):
        what = f"{error['input']!r} cannot be used: it {what.removeprefix('Input ')}"
    return f"{where}: {what}"
