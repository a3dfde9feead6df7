"""Where the lab keeps its files: the one home of every path outside the work tree.

State makes one running lab; `down` removes it. The cache holds what is slow to make again (tools,
images), by the hash of its inputs; only `down ALL=1` removes it.
"""

from pathlib import Path

from console import environment, project

REPOSITORY = project.REPOSITORY
"""The work tree that this package is part of."""

STATE = Path("/var/lib/meshgate-lab")
"""State of the machine's one lab, whichever clone started it."""

LOGS = STATE / "logs"
"""Log of each part and of each step, `<name>.log`."""

RUN = STATE / "run"
"""Unix sockets and process ids."""

CONFIG = STATE / "node"
"""Configuration files of the node and of its parts."""

PKI = STATE / "pki"
"""The lab's own CA (`ca.crt`) and the certificates that it signed."""

VOLUMES = STATE / "volumes"
"""Host paths behind the persistent volumes."""

KUBECONFIG = STATE / "kubeconfig"
"""Administrator's kubeconfig of the lab's cluster."""

PULUMI = STATE / "pulumi"
"""The lab's stacks: the config file of each, and what follows."""

PULUMI_HOME = PULUMI / "home"
"""PULUMI_HOME of the lab's stacks: plugins and credentials, apart from the user's own."""

PULUMI_STATE = PULUMI / "state"
"""File backend of the lab's stacks."""

GO_MODULES = REPOSITORY / "lab" / "go"
"""One pinned Go module per directory."""


def cache() -> Path:
    """Return the cache directory: `$XDG_CACHE_HOME/meshgate`, else `~/.cache/meshgate`."""
    home = environment.callers().get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "meshgate"


def containerd() -> Path:
    """Return where the node's containerd keeps images, which are slow to import, and containers."""
    return cache() / "containerd"
