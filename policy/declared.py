"""What the rules look at: a stack and the resources that it declares, whoever shows them (CrossGuard, a preview)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pulumi_policy import proxy

from console.project import LAB

SECRET = "[secret]"  # noqa: S105 (how a preview shows one)
"""Stands for a value that Pulumi knows to be a secret."""
UNKNOWN = frozenset(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))
"""Stand for values that only `pulumi up` learns; it looks at the rules again."""


@dataclass(frozen=True)
class DeclaredStack:
    """A stack's name, and its setting `protect`: None when it does not say."""

    name: str
    protect: bool | None = None

    @property
    def lab(self) -> bool:
        """Whether it is the embedded lab."""
        return self.name == LAB


@dataclass(frozen=True)
class DeclaredResource:
    """A resource as it is to be: Pulumi's type token, camel-cased properties, whether the engine protects it."""

    urn: str
    type: str
    props: Mapping[str, Any]
    protect: bool = False

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.urn.rpartition("::")[2]


def at(value: object, *path: str) -> Any:  # noqa: ANN401 (any JSON)
    """The value at a path into objects; None where there is nothing, or nothing known yet."""
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return None if isinstance(value, str) and value in UNKNOWN else value


def each(value: object, *path: str) -> Iterator[Any]:
    """The items of a list at a path; none of what is not there or not known yet."""
    found = at(value, *path)
    yield from found if isinstance(found, list) else ()


def pod(resource: DeclaredResource) -> Mapping[str, Any] | None:
    """The PodSpec of a Kubernetes object that has one."""
    template = ("template", "spec")
    for path in (("spec", *template), ("spec", "jobTemplate", "spec", *template), template, ("spec",)):
        spec = at(resource.props, *path)
        if isinstance(at(spec, "containers"), list):
            return dict(spec)
    return None


def containers(resource: DeclaredResource) -> Iterator[Mapping[str, Any]]:
    """Every container of its pods."""
    spec = pod(resource)
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        yield from each(spec, kind)


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """The variables whose values are written out, with those that are known."""
    literal = {variable["name"]: at(variable, "value") for variable in each(container, "env")}
    return {name: value for name, value in literal.items() if isinstance(value, str)}
