"""A trial that changes nothing: reads the state, decrypts its secrets and the stack file's, asks the cluster."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from console import project
from console.errors import StepError
from console.progress import step
from console.run import capture
from infra.kubernetes.client import ClusterError, KubernetesClient
from pipeline.stack import Stack

DEADLINE_SECONDS = 120
"""How long Pulumi may take for one part."""

_PARTS = (
    ("open the backend", ("whoami",), False),
    ("read the state, and decrypt its secrets", ("stack", "export", "--show-secrets"), True),
    ("decrypt the secrets of the stack file", ("config", "--show-secrets", "--json"), True),
)
"""What is tried with Pulumi, by which command, and whether that takes the stack's name."""


def problems(stack: Stack, programs: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """What does not work, a sentence each. The cluster is asked with the process' own environment."""
    for part, arguments, of_stack in _PARTS:
        named = [f"--stack={stack.name}"] if of_stack else []
        command = [str(programs / "pulumi"), *arguments, *named, "--non-interactive", "--color=never"]
        try:
            with step(f"Try to {part}"):
                # What it prints has secrets, and goes nowhere.
                capture(command, doing=part, cwd=project.REPOSITORY, base=variables, deadline_seconds=DEADLINE_SECONDS)
        except StepError as error:
            yield str(error)
            return  # what follows would say the same
    if stack.in_cluster:
        try:
            with step("Try to ask the cluster"), KubernetesClient(stack.context) as cluster:
                cluster.labels(f"/api/v1/namespaces/{stack.namespace}")
        except ClusterError as error:
            yield str(error)
