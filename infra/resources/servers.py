"""Which Headscale a resource is of: told by the server's Noise key, which stays when its URL moves.

An id means something on one server alone. A stack that is led to another server would delete there what is not its own.
"""

from typing import TYPE_CHECKING

from infra.resources.base import Props

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale

KEY = "server_key"
"""The output that has the Noise key."""


def known(headscale: "Headscale") -> dict[str, str]:
    """The output of a resource that is on this server now."""
    return {KEY: headscale.noise_key()}


def is_another(headscale: "Headscale", props: Props) -> bool:
    """Whether the resource is of another server than this."""
    return props.get(KEY) not in (None, headscale.noise_key())
