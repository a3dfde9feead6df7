"""The parts of a stack that are looked at: each works, or there is one sentence why not."""

from collections.abc import Callable
from dataclasses import dataclass

from console.errors import StepError
from gateway.headscale.errors import HeadscaleError
from infra.kubernetes.client import ClusterError
from infra.resources.connections import ConnectionsError

TROUBLES = (ClusterError, ConnectionsError, HeadscaleError, OSError, StepError)
"""What keeps from looking: each is one sentence."""


@dataclass(frozen=True)
class Part:
    """One part, and what is wrong with it; empty if it works."""

    name: str
    problem: str = ""
    note: str = ""
    """What there is to know of a part that works."""

    @property
    def said(self) -> str:
        """What people read of it."""
        return f"{self.name}: {self.problem or '; '.join(filter(None, ('works', self.note)))}"


def judged(name: str, look: Callable[[], str]) -> Part:
    """The part, with what `look` finds wrong, or with what kept that from looking."""
    try:
        return Part(name, look())
    except TROUBLES as error:
        return Part(name, str(error))
