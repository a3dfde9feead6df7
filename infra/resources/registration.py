"""Why a gateway did not appear in Headscale: said in one sentence, with what its pod logged of it."""

from typing import TYPE_CHECKING

from gateway.headscale import exit_nodes
from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.pod_logs import last_words
from infra.resources.base import Props

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale

_NEW_KEY = "`pulumi up --refresh` makes a new one"


def failure(headscale: "Headscale", cluster: KubernetesClient, expected: exit_nodes.ExpectedNode, props: Props) -> str:
    """The sentence on a gateway that was waited for and, below it, the tail of its pod's log."""
    waited = f" after {props['deadline_seconds']:.0f} s"
    words = last_words(cluster, props["namespace"], props["deployment"], props["container"])
    return f"{sentence(headscale, expected, waited)}\n{words}"


def sentence(headscale: "Headscale", expected: exit_nodes.ExpectedNode, waited: str = "") -> str:
    """Why the gateway is no exit node."""
    why = exit_nodes.why_none(headscale, expected, new_key=_NEW_KEY)
    return f"Gateway {expected.hostname} is no exit node of {headscale.url}{waited}: {why}."
