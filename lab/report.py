"""What there is: the lab's parts, what the stack made, and how to use it."""

from collections.abc import Mapping
from typing import Any

from lab import june, kube, node, paths, plugin, pulumi_host
from lab.errors import LabError
from lab.progress import console
from lab.stack import Stack

_INDENT = 30


def show() -> None:
    """Print the state of the lab."""
    if not node.running():
        raise LabError("The lab does not run; start it with `make up`.")
    _section("The node", _by_state(node.states()))
    outputs = Stack(pulumi_host.find()).outputs()
    if not outputs:
        _line("The stack has made nothing yet; `make up` does.")
        return
    _section("The stack", _flat(outputs))
    _section("June's orchestrator has", kube.environment(june.NAMESPACE, june.DEPLOYMENT))
    if plugin.is_stand_in():
        _line("Kubernetes objects were made by a stand-in for Pulumi's Kubernetes plugin (docs/lab.md says why).")
    _line(f"Look inside:               export KUBECONFIG={paths.KUBECONFIG}")
    _line("A client of your own:      make client NAME=my-phone")


def _by_state(states: Mapping[str, str]) -> dict[str, str]:
    """Return the parts by state: usually all of them run."""
    return {
        state.lower(): ", ".join(name for name, one in states.items() if one == state)
        for state in sorted(set(states.values()))
    }


def _flat(outputs: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in outputs.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": one for key, one in _flat(value).items()}
        else:
            flat[name] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat


def _section(title: str, values: Mapping[str, str]) -> None:
    console.print(f"\n[bold]{title}[/bold]")
    for name, value in values.items():
        _line(f"  {name:<{_INDENT}}{value}")


def _line(text: str) -> None:
    console.print(text, markup=False)
