"""What there is: the lab's parts, what the stack made, and how to use it."""

import shutil
from collections.abc import Mapping
from typing import Any

from console.errors import StepError
from console.progress import console
from gateway.headscale.errors import HeadscaleError
from lab import paths
from lab.cluster import kube, node
from lab.cluster.startup import PKI
from lab.mesh import june, peer
from lab.processes import supervision
from lab.pulumi import plugin, pulumi_host
from lab.pulumi.stack import Stack
from lab.tools import go_builds, pinned_tools

_INDENT = 30


def show() -> None:
    """Print the state of the lab."""
    if not node.running():
        raise StepError("The lab does not run; start it with `make up`.")
    _section("The node", _by_state(supervision.states()))
    outputs = Stack(pulumi_host.find()).outputs()
    if not outputs:
        _line("The stack has made nothing yet; `make up` does.")
        return
    _section("The stack", _flat(outputs))
    _section("Headscale's nodes", _mesh())
    _section("June's orchestrator has", _given())
    _section("Now", {"a client of your own": "make client NAME=my-phone", "look inside": _look_inside()})
    if plugin.is_stand_in():
        _line("\nKubernetes objects were made by a stand-in for Pulumi's Kubernetes plugin (docs/lab.md says why).")


def _mesh() -> dict[str, str]:
    """Return the nodes of the mesh: whether each is there, and the routes that it may offer."""
    try:
        with peer.headscale(PKI.ca.read_text()) as headscale:
            nodes = headscale.nodes()
    except (HeadscaleError, StepError) as error:
        return {"unknown": str(error)}
    return {
        one.given_name: f"{'online' if one.online else 'offline'}, routes: {', '.join(one.approved_routes) or 'none'}"
        for one in nodes
    }


def _given() -> dict[str, str]:
    """Return the env that the stack gave to the orchestrator; a secret is where it comes from."""
    environment = kube.environment(june.NAMESPACE, june.DEPLOYMENT)
    return {name: environment.get(name, "(not set; `make up` does)") for name in june.VARIABLES}


def _look_inside() -> str:
    """Return the line that lets a shell's kubectl speak to the lab's cluster."""
    line = f"export KUBECONFIG={paths.KUBECONFIG}"
    return line if shutil.which("kubectl") else f"{line} PATH=$PATH:{go_builds.resolve(pinned_tools.KUBE).parent}"


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
