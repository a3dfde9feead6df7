"""HeadscalePolicy: the policy of the mesh, which its server keeps in its database. There is one of it.

What a server went by before is kept in the state and put back in the end, unless somebody has changed it since.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pulumi import Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from gateway.headscale import policy as policies
from gateway.headscale.errors import (
    ConflictError,
    HeadscaleError,
    NoSuchCallError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from infra.kubernetes.client import ClusterError
from infra.resources.base import Props, Provider, ResourceError, log, sentence
from infra.resources.connections import Connections, KeyLostError

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale

_REFUSALS = (RefusedError, NotFoundError, ConflictError)
"""What a server answers to a policy that it does not take: a sentence that tells, sorted by its words."""


class HeadscalePolicyProvider(Provider):
    """Sets the policy as a whole. Another order of names or rules, and comments, are no change."""

    INPUTS = ()

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """A server that is there must take it. One that cannot say so before has to know its sections."""
        if olds and _same(olds["policy"], news["policy"]):
            return
        try:
            with connections.headscale() as headscale:
                yield from _why_not(headscale, news["policy"])
        except (HeadscaleError, KeyLostError, ClusterError) as error:
            if not connections.managed:  # else it may not be there yet
                yield "", sentence(connections, error)

    @override
    def drifted(self, olds: Props, news: Props) -> bool:
        """Whether the server's is another one than is declared."""
        return not _same(olds.get("stored") or "{}", news["policy"])

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Set it. One that says the same already, as after a killed run, is left as it is."""
        with connections.headscale() as headscale:
            stored = headscale.policy()
            before = stored.text if stored else ""
            outputs = {"before": before, "stored": before}
            if not before or not _same(before, props["policy"]):
                outputs["stored"] = _set(headscale, props["policy"])
        return "policy", outputs

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """The policy as the server has it."""
        with connections.headscale() as headscale:
            stored = headscale.policy()
        return {"stored": stored.text} if stored else None

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Set it again."""
        with connections.headscale() as headscale:
            return {"before": olds["before"], "stored": _set(headscale, news["policy"])}

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Put back what was there before; leave a policy that was there before, or that somebody has changed."""
        with connections.headscale() as headscale:
            stored = headscale.policy()
            if stored is None:
                return
            if not _same(stored.text, props["policy"]):
                log.warning("Headscale's policy is left as it is: somebody has changed it since the last `pulumi up`.")
            elif props["before"] and _same(props["before"], stored.text):
                log.warning("Headscale's policy is left as it is: it was there before this stack.")
            else:
                _put_back(headscale, props["before"])


def _put_back(headscale: "Headscale", before: str) -> None:
    try:
        headscale.set_policy(before or policies.ALLOW_ALL)
    except _REFUSALS as error:  # such as an upgraded server: the stack must be able to go
        log.warning("Headscale's policy is left as it is, since the one before it cannot be put back: %s", error)
        return
    if not before:
        log.warning("Headscale had no policy before this stack: now one is set that allows everybody everything.")


def _why_not(headscale: "Headscale", policy: str) -> Iterator[tuple[str, str]]:
    """Why the server would not take the policy, as far as it can be known."""
    stored = headscale.policy()
    if stored and stored.in_a_file:
        yield "policy", _in_a_file(headscale)
        return
    try:
        headscale.check_policy(policy)
    except NoSuchCallError:
        if "grants" in policies.document(policy):
            yield (
                "policy",
                f"headscale.policy has `grants`, which Headscale knows from 0.29 on; {headscale.url} is older.",
            )
    except (UnavailableError, UnauthorizedError):
        raise
    except HeadscaleError as error:
        yield "policy", f"headscale.policy cannot be used: {error}"


def _set(headscale: "Headscale", policy: str) -> str:
    try:
        headscale.set_policy(policy)
    except RefusedError as error:
        if "update is disabled" in str(error):
            raise ResourceError(_in_a_file(headscale)) from None
        raise
    return policy


def _in_a_file(headscale: "Headscale") -> str:
    return (
        f"headscale.policy cannot be set: Headscale at {headscale.url} keeps its policy in a file; set policy.mode to "
        "database in its configuration and restart it, or leave the setting out and change the file."
    )


def _same(one: str, other: str) -> bool:
    """Whether both say the same; a text that is no policy says nothing of what is declared."""
    try:
        return policies.same(policies.document(one), policies.document(other))
    except policies.PolicyError:
        return one == other


class HeadscalePolicy(Resource, module="meshgate", name="HeadscalePolicy"):
    """The policy of the mesh."""

    policy: Output[str]
    """JSON."""
    before: Output[str]
    """What the server went by before; empty when it had none."""
    stored: Output[str]
    """What it was last seen to go by."""

    def __init__(self, name: str, *, policy: policies.Document, opts: ResourceOptions | None = None) -> None:
        # As text: Pulumi makes every number of an object a float. It shows the difference of two such texts by parts.
        props = {"policy": json.dumps(policy, indent=2), "before": None, "stored": None}
        super().__init__(HeadscalePolicyProvider(), name, props, opts)
