"""The way out when Headscale or the cluster is gone for good: `pulumi destroy` passes over what was there.

It is a word of the command, by an environment variable, and no setting. A server that is away for an hour is not gone,
and Pulumi takes a destroy's settings from the last `up`, which would need the server.
"""

import os

from gateway.headscale.errors import UnauthorizedError, UnavailableError
from infra.kubernetes.client import ClusterError, ClusterUnavailableError
from infra.resources.connections import KeyLostError

VARIABLE = "MESHGATE_GONE"
HEADSCALE, CLUSTER = "headscale", "cluster"
_COMMANDS = {
    HEADSCALE: f"{VARIABLE}={HEADSCALE} pulumi destroy",
    CLUSTER: f"{VARIABLE}={HEADSCALE},{CLUSTER} PULUMI_K8S_DELETE_UNREACHABLE=true pulumi destroy",
}


class GoneError(Exception):
    """The variable names something else."""


def is_gone(error: Exception) -> bool:
    """Whether what failed is said to be gone for good; GoneError if the variable cannot be understood."""
    gone = set(filter(None, os.environ.get(VARIABLE, "").split(",")))
    if others := sorted(gone - _COMMANDS.keys()):
        raise GoneError(
            f"{VARIABLE} has {', '.join(others)}; it can have {HEADSCALE}, {CLUSTER} or both, with a comma."
        )
    return _place(error) in gone


def hint(error: Exception) -> str:
    """How to go on if it is gone for good; empty where it answers."""
    if not isinstance(error, UnavailableError | UnauthorizedError | KeyLostError | ClusterUnavailableError):
        return ""
    return f" If it is gone for good: `{_COMMANDS[_place(error)]}` passes over what was there."


def _place(error: Exception) -> str:
    """A managed server's API key lies in the cluster (KeyLostError), but it is the server that is lost with it."""
    return CLUSTER if isinstance(error, ClusterError) else HEADSCALE
