"""Which Headscale a resource is of: told by the server's Noise key, which stays when its URL moves.

An id means something on one server alone. A stack that is led to another server would delete there what is not its own.
"""

from typing import TYPE_CHECKING

from infra.resources.base import Props, log

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


def is_left(headscale: "Headscale", props: Props, what: str) -> bool:
    """Whether the resource is of another server, and so is left there. That is told, as nobody removes it."""
    if not is_another(headscale, props):
        return False
    tell_left(what, props)
    return True


def tell_left(what: str, props: Props) -> None:
    """Say that something stays on the server that these properties name."""
    log.warning("%s is left at %s: that is another Headscale.", what, props["server"])
